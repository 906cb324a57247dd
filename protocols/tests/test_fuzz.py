"""A short run of the fuzzer, with a seed that does not change; `fuzz.py` is the long one."""

from __future__ import annotations

import pytest

from protocols.tests.fuzz import PROTOCOLS, fuzz


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_mutated_lines_crash_nothing_and_lose_no_good_row(protocol: str) -> None:
    failures: list[str] = []
    total = fuzz(200_000, 1, failures.append, protocol)
    assert failures == []
    assert total["rejects"] > 10_000
    assert total["rows"] > 50_000


def test_mutated_frames_crash_nothing_and_lose_no_good_row() -> None:
    failures: list[str] = []
    total = fuzz(6_000, 1, failures.append, "arrow")
    assert failures == []
    assert total["ended early"] > 100
    assert total["rows"] > 5_000
