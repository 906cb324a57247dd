"""Do values of a column come again? What decides whether a dictionary is worth its work."""

from __future__ import annotations

import pyarrow as pa

from dativo import _compute as pc

SAMPLE_ROWS = 4096


def repeats(array: pa.Array) -> bool:
    """Whether the first values are, on average, there four times or more; never for nested types."""
    sample = array.slice(0, SAMPLE_ROWS)
    if pa.types.is_nested(sample.type):
        return False
    values = len(sample) - sample.null_count
    return bool(pc.count_distinct(sample, mode="only_valid").as_py() * 4 <= values)
