"""A sample of the fuzz run; `make fuzz` is the whole of it."""

from __future__ import annotations

from tests.fuzz.fuzz import check_round


def test_mutated_lines_cost_no_good_row() -> None:
    for seed in range(20):
        check_round(seed, 1_000)
