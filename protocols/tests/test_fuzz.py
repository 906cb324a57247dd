"""A short run of the fuzzer, with a seed that does not change; `fuzz.py` is the long one."""

from __future__ import annotations

from protocols.tests.fuzz import fuzz


def test_mutated_lines_crash_nothing_and_lose_no_good_row() -> None:
    failures: list[str] = []
    total = fuzz(200_000, 1, failures.append)
    assert failures == []
    assert total["rejects"] > 10_000
    assert total["rows"] > 50_000
