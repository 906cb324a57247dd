"""What may pass by itself is tried again, from the last commit."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dativo_protocols import ConfigError, ConnectorError, TargetError
from dativo_sdk import JobKey

import dativo
from dativo._job import RetryConfig, load_job
from dativo._paths import store_path
from dativo._progress import Progress
from dativo._retry import attempted
from dativo._run import execute
from dativo._store import Store

SOON = {"wait": 0.01, "max_wait": 0.02}


def rows(query: str = "SELECT id FROM orders ORDER BY 1") -> list[Any]:
    with duckdb.connect("shop.duckdb", read_only=True) as db:
        return db.execute(query).fetchall()


@pytest.fixture
def failing(project: Path, tap: Any, say: Any) -> Any:
    """A tap that fails once after a committed row, with another one staged."""
    orders = say.schema("orders", ["id"], id="integer")
    tap.offers(orders)
    first = [say.record("orders", id=1), say.state({"n": 1}), say.record("orders", id=2)]
    tap.says(orders, *first, "#fail 1", say.record("orders", id=3), say.state({"n": 3}))
    return tap


def test_another_attempt_goes_on_from_the_last_commit(failing: Any) -> None:
    report = dativo.run(failing.job(retry=SOON, checkpoint={"rows": 1}))
    assert failing.handed_state == b'{"n": 1}'
    assert (report.status, report.state_before, report.state_after) == ("succeeded", None, b'{"n": 3}')
    assert rows() == [(1,), (2,), (3,)]


def test_every_row_is_accounted_for_by_attempt_and_in_all(failing: Any) -> None:
    report = dativo.run(failing.job(retry=SOON, checkpoint={"rows": 1}))
    figures = [(each.rows_in, each.written, each.staged) for each in report.attempts]
    assert figures == [(2, 1, 1), (3, 3, 0)]
    assert (report.rows_in, report.written, report.quarantined, report.streams[0].repeated) == (4, 4, 0, 1)


def test_the_history_says_how_many_attempts_there_were_and_why(failing: Any) -> None:
    report = dativo.run(failing.job(retry=SOON))
    with Store(store_path()) as kept:
        attempts = kept.runs(JobKey("default", "shop"))[0].attempts
    assert attempts == report.to_dict()["attempts"]
    assert "TimeoutError: the service is away, 1" in attempts[0]["error"]["message"]
    assert (attempts[1]["error"], attempts[1]["waited"] > 0) == (None, True)


def test_an_overwrite_is_swapped_at_the_end_of_a_whole_attempt(failing: Any) -> None:
    report = dativo.run(failing.job(retry=SOON, checkpoint={"rows": 1}, target=target("overwrite")))
    assert failing.handed_state is None
    assert (report.rows_in, report.written, report.streams[0].repeated) == (3, 3, 2)
    assert rows() == [(1,), (2,), (3,)]


def test_after_the_last_attempt_the_run_has_failed_as_that_one_did(project: Path, tap: Any, say: Any) -> None:
    tap.says(say.schema("orders", id="integer"), "#fail 9")
    report = execute(load_job(tap.job(retry={**SOON, "attempts": 2})))
    assert (report.status, report.exit_code, len(report.attempts)) == ("failed", 75, 2)
    assert report.error is report.attempts[-1].error
    assert "is away, 2" in str(report.error)


def test_a_failure_that_would_come_again_is_not_tried_again(project: Path, tap: Any, say: Any) -> None:
    tap.says(say.schema("orders", id="integer"), "#exit 1")
    report = execute(load_job(tap.job(retry=SOON)))
    assert (report.exit_code, len(report.attempts)) == (10, 1)


def test_a_discovery_that_fails_is_tried_again_too(project: Path, failing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from dativo import _attempt

    asked = []

    def discover(*_: Any) -> None:
        asked.append(1)
        if len(asked) == 1:
            raise ConnectorError("away", retryable=True)

    monkeypatch.setattr(_attempt, "discover_or_none", discover)
    failing._script.write_text(failing._script.read_text().replace("#fail 1\n", ""))
    assert len(dativo.run(failing.job(retry=SOON)).attempts) == 2
    assert len(asked) == 2


def test_what_waits_is_said_and_shown(failing: Any) -> None:
    lines: list[tuple[str, str]] = []
    progress = Progress()
    dativo.run(failing.job(retry=SOON), log=lambda *line: lines.append(line), progress=progress)
    said = [line for level, line in lines if level == "warning"]
    assert said[0].startswith("waiting 0 s, attempt 2 of 3: `scripted-tap` failed: TimeoutError: the service is away, 1")
    assert progress.snapshot().attempt == 2


RUN = (
    "import sys, json; from dativo._run import execute; from dativo._job import load_job;"
    "sys.exit(execute(load_job(json.loads(sys.argv[1])), log=lambda *line: print(*line, flush=True)).exit_code)"
)


def test_a_signal_ends_the_wait_at_once(failing: Any) -> None:
    job = failing.job(retry={"wait": 600, "max_wait": 600}, checkpoint={"rows": 1})
    process = subprocess.Popen([sys.executable, "-c", RUN, json.dumps(job)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while "waiting 600 s" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    process.stdout.close()
    with Store(store_path()) as kept:
        run = kept.runs(JobKey("default", "shop"))[0]
    assert (run.status, run.written, len(run.attempts)) == ("interrupted", 1, 1)


def test_a_run_killed_while_it_waits_goes_on_from_the_last_commit(failing: Any) -> None:
    job = failing.job(retry={"wait": 600, "max_wait": 600}, checkpoint={"rows": 1})
    process = subprocess.Popen([sys.executable, "-c", RUN, json.dumps(job)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while "waiting 600 s" not in process.stdout.readline():
        assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    dativo.run(failing.job())
    assert (failing.handed_state, rows()) == (b'{"n": 1}', [(1,), (2,), (3,)])


def attempts_of(retry: RetryConfig, *errors: Exception | None) -> tuple[list[float], BaseException | None]:
    """The waits before each attempt after the first, and what came out in the end."""
    script, waits = list(errors), []

    def once(number: int, waited: float) -> None:
        error = script.pop(0)
        if error is not None:
            raise error

    try:
        attempted(once, retry, wait=lambda seconds, number, error: waits.append(seconds) or seconds)
    except BaseException as error:
        return waits, error
    return waits, None


def test_waits_grow_and_are_capped() -> None:
    away = [ConnectorError(str(n), retryable=True) for n in range(6)]
    waits, error = attempts_of(RetryConfig(attempts=6, wait=1, max_wait=6), *away)
    assert error is away[-1]
    assert 1 <= waits[0] <= 2 <= waits[1] <= 3
    assert 4 <= waits[2] <= 5
    assert waits[3:] == [6, 6]


@pytest.mark.parametrize("error", [ConfigError("wrong", retryable=True), TargetError("gone"), KeyboardInterrupt(), ValueError()])
def test_only_what_may_pass_is_tried_again(error: Exception) -> None:
    assert attempts_of(RetryConfig(), error) == ([], error)
    waits, last = attempts_of(RetryConfig(), ConnectorError("away", retryable=True), error)
    assert (len(waits), last) == (1, error)


def test_one_attempt_is_all_where_the_job_says_so() -> None:
    error = ConnectorError("away", retryable=True)
    assert attempts_of(RetryConfig(attempts=1), error) == ([], error)


def test_a_source_that_says_until_when_it_is_limited_is_not_asked_before() -> None:
    progress = Progress()
    assert progress.limited_for() == 0
    for name, until in (("a", time.time() + 50), ("b", time.time() + 90), ("c", math.inf), ("d", None)):
        progress.status(name, "RUNNING", until)
    assert 80 < progress.limited_for() <= 90


def target(write: str) -> dict[str, Any]:
    return {"connector": "duckdb", "config": {"path": "shop.duckdb"}, "write": write}
