"""Whether values of a column come again, of few rows and of more than are looked at."""

from __future__ import annotations

import pyarrow as pa
import pytest

from dativo.targets._repetition import SAMPLE_ROWS, repeats

NUMBERS = pa.int64()
KINDS = [
    pa.int64(),
    pa.timestamp("us", "UTC"),
    pa.time64("us"),
    pa.float64(),
    pa.utf8(),
    pa.decimal128(21, 2),
    pa.decimal256(50, 2),
]


def column(kind: pa.DataType, values: list[int | None]) -> pa.Array:
    array = pa.array(values, NUMBERS)
    return array.view(kind) if pa.types.is_temporal(kind) else array.cast(kind)


@pytest.mark.parametrize("rows", [200, SAMPLE_ROWS - 4])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_values_that_come_four_times_or_more_repeat(kind: pa.DataType, rows: int) -> None:
    # As times, the numbers are in years that Python does not have.
    first = 1 << 58 if kind == pa.timestamp("us", "UTC") else 0
    assert repeats(column(kind, [first + n % 3 for n in range(rows)]))
    assert repeats(column(kind, [None, *(first + n // 4 for n in range(4 * (rows // 4)))]))
    assert not repeats(column(kind, [first + n // 3 for n in range(rows)]))


@pytest.mark.parametrize("rows", [8, SAMPLE_ROWS + 1])
def test_days_repeat_too(rows: int) -> None:
    assert repeats(pa.array([n % 2 for n in range(rows)], pa.int32()).view(pa.date32()))


def test_nested_values_are_not_looked_at() -> None:
    assert not repeats(pa.array([[1]] * 8))


def test_intervals_are_no_numbers() -> None:
    assert repeats(pa.array([(1, 2, 3)] * 8, pa.month_day_nano_interval()))
