"""Do values of a column come again? What decides whether a dictionary is worth its work."""

from __future__ import annotations

import pyarrow as pa

SAMPLE_ROWS = 4096


def repeats(array: pa.Array) -> bool:
    """Whether the first values are, on average, there four times or more; never for nested types.

    They are counted as Python values: so few take a quarter of a millisecond, and pyarrow's compute functions take twenty to be
    imported.
    """
    sample = array.slice(0, SAMPLE_ROWS)
    if pa.types.is_nested(sample.type):
        return False
    values = len(sample) - sample.null_count
    return bool(len({value for value in _plain(sample).to_pylist() if value is not None}) * 4 <= values)


def _plain(array: pa.Array) -> pa.Array:
    """As values that Python makes quickly; times as numbers also because Python has no year 10,000."""
    if pa.types.is_temporal(array.type) and not pa.types.is_interval(array.type):
        return array.view(pa.int64() if array.type.bit_width == 64 else pa.int32())
    if pa.types.is_decimal(array.type):
        return array.view(pa.binary(array.type.byte_width))
    return array
