"""States that cover all streams at once, GLOBAL and LEGACY: a source that was stopped in the middle goes on from there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.project import Project

ROWS, EVERY, AFTER = 2000, 100, 1050
LAST = AFTER - AFTER % EVERY

pytestmark = pytest.mark.parametrize("kind", ["GLOBAL", "LEGACY"])


class LogSource:
    """Runs of a job that appends what the log says."""

    def __init__(self, project: Project, kind: str) -> None:
        self._project = project
        self._note = project.folder / "states"
        self._config: dict[str, Any] = {"kind": kind, "rows": ROWS, "every": EVERY, "note": str(self._note)}
        program = project.folder / "source-log"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).with_name("log_source.py")} "$@"\n')
        program.chmod(0o755)
        self._reference = f"airbyte:{program}"

    def run(self, code: int = 0, attempts: int = 1, **config: Any) -> dict[str, Any]:
        streams = {"shop.*": {"mode": "incremental", "write": "append"}}
        source = {"connector": self._reference, "config": {**self._config, **config}, "streams": streams}
        settings = {"checkpoint": {"rows": EVERY}, "retry": {"attempts": attempts, "wait": "10ms", "max_wait": "10ms"}}
        return self._project.run(source, code=code, **settings)

    @property
    def given(self) -> list[str]:
        """The states that the source was given, run by run, exactly; `-` for none."""
        return self._note.read_text().splitlines()

    def rows(self) -> tuple[int, int, int]:
        """How many rows there are, how many different ones, and the last one's place in the log."""
        both = "select lsn from shop__users union all select lsn from shop__orders"
        ((count, distinct, last),) = self._project.rows(f"select count(*), count(distinct lsn), max(lsn) from ({both})")
        return count, distinct, last


@pytest.fixture
def source(project: Project, kind: str) -> LogSource:
    return LogSource(project, kind)


def handed_back(kind: str, lsn: int) -> str:
    """The state after so many rows, byte for byte as the source expects it."""
    shared = f'{{"lsn":{lsn},"v":1.10}}'
    if kind == "LEGACY":
        return shared
    states = [
        f'{{"stream_descriptor":{{"name":"{table}","namespace":"shop"}},"stream_state":{{"rows":{lsn // 2},"v":1.10}}}}'
        for table in ("users", "orders")
    ]
    return f'[{{"type":"GLOBAL","global":{{"shared_state":{shared},"stream_states":[{",".join(states)}]}}}}]'


def test_a_killed_source_goes_on_from_the_last_checkpoint(kind: str, source: LogSource) -> None:
    source.run(code=10, after=AFTER, end="kill")
    assert source.rows() == (LAST, LAST, LAST)
    again = source.run()
    assert source.given == ["-", handed_back(kind, LAST)]
    assert again["rows_in"] == ROWS - LAST
    assert source.rows() == (ROWS, ROWS, ROWS)


def test_sigterm_after_incomplete_is_a_failed_run_that_keeps_its_checkpoints(kind: str, source: LogSource) -> None:
    report = source.run(code=10, after=AFTER, end="terminate")
    assert "SIGTERM" in report["error"]["message"]
    assert "`shop.users`" in report["error"]["message"]
    assert source.rows() == (LAST, LAST, LAST)


def test_each_attempt_goes_on_where_the_one_before_it_stopped(kind: str, source: LogSource) -> None:
    source.run(code=10, attempts=2, after=AFTER, end="terminate")
    # The second attempt starts after the place where this source ends itself only if it was given the state.
    assert source.given[0] == "-"
    assert source.given[1:] == [handed_back(kind, LAST)]
    assert source.rows()[:2] == (LAST, LAST)


def test_a_finished_log_is_not_read_again(kind: str, source: LogSource) -> None:
    source.run()
    again = source.run()
    assert source.given == ["-", handed_back(kind, ROWS)]
    assert (again["rows_in"], source.rows()) == (0, (ROWS, ROWS, ROWS))
