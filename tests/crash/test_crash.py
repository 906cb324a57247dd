"""A sample of the crash test; `make crash` is the whole of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.crash import crash, write_messages
from tests.crash.sources import Tap
from tests.crash.trial import Setting

SEED = 20261122


@pytest.mark.parametrize("target", ["duckdb", "parquet", "jsonl"])
@pytest.mark.timeout(240)
def test_a_run_killed_at_any_instant_and_repeated_has_the_rows_of_one_never_killed(target: str, tmp_path: Path) -> None:
    messages = write_messages(tmp_path / "messages.jsonl", rows=100_000, state_every=1_000)
    outcome = crash(Setting(target, Tap(messages, pause_ms=20), checkpoint_rows=10_000), kills=8, seed=SEED, folder=tmp_path)
    assert outcome.clean, outcome
    assert outcome.codes[-9] > 0, "no kill hit a running process"


def test_a_lost_row_and_a_doubled_one_would_be_seen(tmp_path: Path) -> None:
    from tests.crash.crash import Outcome
    from tests.crash.trial import Sum

    outcome = Outcome("duckdb")
    outcome.compare(
        {"red": Sum(10, 10, 7), "green": Sum(10, 10, 7), "blue": Sum(10, 10, 7)},
        {"red": Sum(9, 9, 5), "green": Sum(11, 10, 9), "blue": Sum(10, 10, 8)},
    )
    assert (outcome.lost, outcome.doubled, outcome.changed) == (1, 1, 1)
