"""Do values of a column come again? What decides whether a dictionary is worth its work."""

from __future__ import annotations

import pyarrow as pa

from dativo import _compute as pc

SAMPLE_ROWS = 4096
FEW_ROWS = 256
"""So few are counted as Python values, sooner than pyarrow's compute functions are imported."""


def repeats(array: pa.Array) -> bool:
    """Whether the first values are, on average, there four times or more; never for nested types."""
    sample = array.slice(0, SAMPLE_ROWS)
    if pa.types.is_nested(sample.type):
        return False
    values = len(sample) - sample.null_count
    if len(sample) <= FEW_ROWS:
        # Times as numbers: Python has no year 10,000.
        width = sample.type.bit_width if pa.types.is_temporal(sample.type) else 0
        numbers = sample.view(pa.int64() if width == 64 else pa.int32()) if width else sample
        return bool(len({value for value in numbers.to_pylist() if value is not None}) * 4 <= values)
    return bool(pc.count_distinct(sample, mode="only_valid").as_py() * 4 <= values)
