"""Whole runs: a scripted tap, the real engine and decoder, real targets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dativo_protocols import ConfigError, ConnectorError, DativoError
from dativo_sdk import JobKey

import dativo
from dativo._job import load_job
from dativo._paths import store_path
from dativo._progress import Progress
from dativo._run import execute
from dativo._store import Store

KEY = JobKey("default", "shop")


def rows(query: str = "SELECT id FROM orders ORDER BY 1") -> list[Any]:
    with duckdb.connect("shop.duckdb", read_only=True) as db:
        return db.execute(query).fetchall()


def store() -> Store:
    return Store(store_path())


def test_a_run_ends_with_its_rows_its_state_and_its_report(project: Path, tap: Any, say: Any) -> None:
    tap.says(
        say.schema("orders", ["id"], id="integer", name="string"),
        say.record("orders", id=1, name="a"),
        say.record("orders", id=2, name=3),
        '{"type": "STATE", "value": {"bookmarks": {"orders": 1.10}}}',
    )
    tap.offers(say.schema("orders", ["id"], id="integer", name="string"))
    report = dativo.run(tap.job())
    assert (report.status, report.rows_in, report.written, report.quarantined) == ("succeeded", 2, 1, 1)
    assert report.state_after == b'{"bookmarks": {"orders": 1.10}}'
    assert rows("SELECT id, name FROM orders") == [(1, "a")]
    assert rows('SELECT line, "column", record FROM orders__quarantine') == [(3, "name", '{"id": 2, "name": 3}')]
    with store() as kept:
        assert kept.current(KEY).state == report.state_after
        assert kept.runs(KEY)[0].streams == report.to_dict()["streams"]
    json.dumps(report.to_dict())


def test_the_next_run_hands_over_the_very_bytes(project: Path, tap: Any, say: Any) -> None:
    tap.says(say.schema("orders", id="integer"), '{"type":"STATE","value":{"b": 0E-10,  "a":[1.10]}}')
    dativo.run(tap.job())
    assert tap.handed_state is None
    dativo.run(tap.job())
    assert tap.handed_state == b'{"b": 0E-10,  "a":[1.10]}'


def test_the_targets_state_wins_over_the_stores(project: Path, tap: Any, say: Any) -> None:
    tap.says(say.schema("orders", id="integer"), say.state({"n": 1}))
    dativo.run(tap.job())
    with store() as kept:
        kept.record(KEY, b'{"n":9}', "elsewhere")
    report = dativo.run(tap.job())
    assert report.state_before == b'{"n": 1}'
    with store() as kept:
        assert kept.current(KEY).state == b'{"n": 1}'


def test_a_new_target_gets_everything(project: Path, tap: Any, say: Any) -> None:
    tap.says(say.schema("orders", id="integer"), say.record("orders", id=1), say.state({"n": 1}))
    dativo.run(tap.job())
    dativo.run(tap.job(target={"connector": "duckdb", "config": {"path": "other.duckdb"}}))
    assert tap.handed_state is None


def test_a_persons_state_wins_once(project: Path, tap: Any, say: Any) -> None:
    tap.says(say.schema("orders", id="integer"), say.state({"n": 1}))
    dativo.run(tap.job())
    with store() as kept:
        kept.set(KEY, b'{"n": 0.50}')
    dativo.run(tap.job())
    assert tap.handed_state == b'{"n": 0.50}'
    dativo.run(tap.job())
    assert tap.handed_state == b'{"n": 1}'


def test_a_cleared_state_starts_over(project: Path, tap: Any, say: Any) -> None:
    tap.says(say.schema("orders", id="integer"), say.state({"n": 1}))
    dativo.run(tap.job())
    with store() as kept:
        kept.clear(KEY)
    dativo.run(tap.job())
    assert tap.handed_state in (None, b"{}")


def test_a_persons_state_is_applied_even_when_the_run_then_fails(project: Path, tap: Any, say: Any) -> None:
    """It is the target's from then on: a run killed after the next commit must not apply it a second time."""
    tap.says(say.schema("orders", id="integer"), say.record("orders", id=1), say.state({"n": 5}))
    dativo.run(tap.job())
    with store() as kept:
        kept.set(KEY, b'{"n":0}')
    tap.says(say.schema("orders", id="integer"), "#exit 1")
    with pytest.raises(ConnectorError):
        dativo.run(tap.job())
    with store() as kept:
        assert not kept.current(KEY).pending
    report = execute(load_job(tap.job()))
    assert report.state_before == b'{"n":0}'


def test_a_tap_that_fails_keeps_the_last_checkpoint_only(project: Path, tap: Any, say: Any) -> None:
    orders = say.schema("orders", ["id"], id="integer")
    first = [say.record("orders", id=1), say.state({"n": 1}), say.record("orders", id=2)]
    tap.says(orders, *first, "#exit 3")
    report = execute(load_job(tap.job(checkpoint={"rows": 1})))
    assert (report.status, report.exit_code, report.commits) == ("failed", 10, 1)
    assert isinstance(report.error, ConnectorError)
    assert (report.written, report.streams[0].staged, report.state_after) == (1, 1, b'{"n": 1}')
    assert rows() == [(1,)]
    tap.says(orders, say.record("orders", id=2), say.record("orders", id=3), say.state({"n": 3}))
    dativo.run(tap.job())
    assert tap.handed_state == b'{"n": 1}'
    assert rows() == [(1,), (2,), (3,)]


def test_a_tap_that_is_killed_has_failed(project: Path, tap: Any, say: Any) -> None:
    tap.says(say.schema("orders", id="integer"), say.record("orders", id=1), say.state({}), "#kill")
    report = execute(load_job(tap.job()))
    assert (report.exit_code, report.written) == (10, 0)


def test_overwritten_streams_start_over_while_others_go_on(project: Path, tap: Any, say: Any) -> None:
    schemas = [say.schema(name, ["id"], id="integer") for name in ("orders", "users")]
    tap.offers(*schemas)
    tap.says(
        *schemas,
        say.record("orders", id=1),
        say.record("users", id=1),
        '{"type":"STATE","value":{"currently_syncing": "users", "bookmarks": {"orders": {"v": 1.10}, "users": {"v": 2}}}}',
    )
    job = tap.job(source={"streams": {"*": {}, "users": {"write": "overwrite"}}})
    dativo.run(job)
    tap.says(*schemas, say.record("orders", id=2), say.record("users", id=2), say.state({"bookmarks": {}}))
    dativo.run(job)
    assert tap.handed_state == b'{"bookmarks": {"orders": {"v": 1.10}}}'
    assert (rows(), rows("SELECT id FROM users")) == ([(1,), (2,)], [(2,)])


def test_an_overwrite_that_fails_leaves_the_old_table(project: Path, tap: Any, say: Any) -> None:
    target = say.duckdb(write="overwrite")
    tap.says(say.schema("orders", id="integer"), say.record("orders", id=1), say.state({}))
    dativo.run(tap.job(target))
    tap.says(say.schema("orders", id="integer"), say.record("orders", id=2), say.state({}), "#exit 1")
    assert execute(load_job(tap.job(target, checkpoint={"rows": 1}))).status == "failed"
    assert rows() == [(1,)]


def test_only_listed_streams_and_fields_are_read(project: Path, tap: Any, say: Any) -> None:
    orders = say.schema("orders", ["id"], id="integer", a="string", b="string")
    tap.offers(orders, say.schema("users", id="integer"))
    tap.says(orders, say.record("orders", id=1, a="x", b="y"))
    dativo.run(tap.job(source={"streams": {"orders": {"fields": ["a"]}}}))
    assert rows("FROM orders") == [(1, "x")]


def test_a_misspelt_stream_is_found_before_anything_is_read(project: Path, tap: Any, say: Any) -> None:
    tap.offers(say.schema("orders", id="integer"))
    tap.says("#touch was-read")
    report = execute(load_job(tap.job(source={"streams": ["ordesr"]})))
    assert (report.exit_code, str(report.error).splitlines()[-1]) == (2, "hint: did you mean `orders`?")
    assert not Path("was-read").exists()


def test_a_misspelt_field_is_found_too(project: Path, tap: Any, say: Any) -> None:
    tap.offers(say.schema("orders", amount="integer"))
    tap.says()
    report = execute(load_job(tap.job(source={"streams": {"orders": {"fields": ["amuont"]}}})))
    assert isinstance(report.error, ConfigError)
    assert report.error.hint == "did you mean `amount`?"


def test_without_a_catalog_a_stream_that_never_came_is_a_warning(project: Path, tap: Any, say: Any) -> None:
    tap.says(say.schema("orders", id="integer"))
    report = dativo.run(tap.job(source={"discover": False, "streams": ["orders", "users"]}))
    assert report.warnings == ["the connector sent nothing of stream `users`"]


def test_a_catalog_file_takes_the_place_of_discovery(project: Path, tap: Any, say: Any) -> None:
    orders = say.schema("orders", ["id"], id="integer")
    tap.offers(orders)
    Path("catalog.json").write_text(json.dumps(tap.config["catalog"]))
    tap._catalog = None
    tap.says(orders, say.record("orders", id=1))
    assert dativo.run(tap.job(source={"catalog": "catalog.json", "streams": ["orders"]})).written == 1


def test_types_of_the_job_beat_the_schemas(project: Path, tap: Any, say: Any) -> None:
    tap.offers(say.schema("orders", amount="number"))
    tap.says(say.schema("orders", amount="number"), '{"type":"RECORD","stream":"orders","record":{"amount":1.10}}')
    dativo.run(tap.job(source={"streams": {"orders": {"types": {"amount": "decimal(10,2)"}}}}))
    assert rows("SELECT typeof(amount), amount::text FROM orders") == [("DECIMAL(10,2)", "1.10")]


def test_a_second_run_is_refused_or_waits(project: Path, tap: Any, say: Any) -> None:
    tap.says(say.schema("orders", id="integer"), "#touch reading", "#wait go")
    job = load_job(tap.job())
    first = threading.Thread(target=execute, args=(job,))
    first.start()
    while not Path("reading").exists():
        time.sleep(0.02)
    with pytest.raises(DativoError, match="is running already: run 2") as caught:
        execute(job)
    assert caught.value.exit_code == 75
    Path("go").touch()
    assert execute(job, wait_seconds=60).status == "succeeded"
    first.join()


def test_a_target_that_cannot_be_opened_is_a_failed_run(project: Path, tap: Any, say: Any) -> None:
    tap.says()
    report = execute(load_job(tap.job(target={"connector": "parquet", "config": {"path": "/proc/nowhere"}})))
    assert (report.status, report.exit_code) == ("failed", 20)


def test_secrets_of_the_job_are_masked_in_errors_and_logs(project: Path, tap: Any, say: Any) -> None:
    tap.says(say.schema("orders", id="integer"), "nonsense with hunter22 in it", "#exit 1")
    lines: list[str] = []
    job = tap.job()
    job["source"]["config"]["password"] = "hunter22"
    report = execute(load_job(job), log=lambda level, line: lines.append(line))
    assert any("***" in line for line in lines)
    assert "hunter22" not in json.dumps([lines, report.to_dict()])


def test_progress_ends_with_the_reports_numbers(project: Path, tap: Any, say: Any) -> None:
    tap.says(say.schema("orders", id="integer"), *(say.record("orders", id=n) for n in range(5)), say.state({}))
    progress = Progress()
    report = dativo.run(tap.job(), progress=progress)
    now = progress.snapshot()
    assert (now.phase, now.rows, now.commits, now.run_id) == ("done", 5, report.commits, report.run_id)
    assert now.streams["orders"].committed == 5


RUN = (
    "import sys, json; from dativo._run import execute; from dativo._job import load_job;"
    "sys.exit(execute(load_job(json.loads(sys.argv[1]))).exit_code)"
)


def start_and_wait_for_a_commit(tap: Any) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", RUN, json.dumps(tap.job(checkpoint={"rows": 1}))])
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with store() as kept:
            if kept.current(KEY) is not None:
                return process
        time.sleep(0.05)
    process.kill()
    raise AssertionError("no commit came")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_in_order(project: Path, tap: Any, say: Any, number: signal.Signals) -> None:
    tap.says(
        say.schema("orders", id="integer"),
        say.record("orders", id=1),
        say.state({"n": 1}),
        say.record("orders", id=2),
        "#sleep 60",
    )
    process = start_and_wait_for_a_commit(tap)
    process.send_signal(number)
    assert process.wait(30) == 130
    assert rows() == [(1,)]
    with store() as kept:
        run = kept.runs(KEY)[0]
        assert (run.status, run.exit_code, run.written) == ("interrupted", 130, 1)


def test_a_killed_run_is_recognised_and_the_next_one_goes_on(project: Path, tap: Any, say: Any) -> None:
    tap.says(
        say.schema("orders", id="integer"),
        say.record("orders", id=1),
        say.state({"n": 1}),
        say.record("orders", id=2),
        "#sleep 60",
    )
    process = start_and_wait_for_a_commit(tap)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with store() as kept:
        assert kept.runs(KEY)[0].status == "crashed"
    tap.says(say.schema("orders", id="integer"), say.record("orders", id=2), say.state({"n": 2}))
    dativo.run(tap.job())
    assert tap.handed_state == b'{"n": 1}'
    assert rows() == [(1,), (2,)]


def test_what_the_store_missed_is_noted_by_the_next_run(project: Path, tap: Any, say: Any) -> None:
    tap.says(say.schema("orders", id="integer"), say.state({"n": 1}))
    dativo.run(tap.job())
    Path(".dativo/state.sqlite").unlink()
    tap.says(say.schema("orders", id="integer"))
    dativo.run(tap.job())
    with store() as kept:
        entry = kept.current(KEY)
        assert (entry.state, entry.origin, entry.run_id) == (b'{"n": 1}', "commit", None)


def test_a_bug_is_reported_as_one(project: Path, tap: Any, say: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from dativo import _pipeline

    def broken(*_: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(_pipeline.Pipeline, "_take_schema", broken)
    tap.says(say.schema("orders", id="integer"))
    report = execute(load_job(tap.job()))
    assert (report.exit_code, report.status) == (1, "failed")
    assert isinstance(report.error, DativoError)
    assert isinstance(report.error.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("connector", ["duckdb", "parquet", "jsonl"])
def test_a_stream_without_properties_keeps_its_rows(project: Path, tap: Any, say: Any, connector: str) -> None:
    tap.offers(say.schema("orders"))
    target = {"connector": connector, "config": {"path": "shop.duckdb" if connector == "duckdb" else "lake"}}
    for records in ([], [{}, {}], [{"a": 1}, {}]):
        tap.says(say.schema("orders"), *(say.record("orders", **values) for values in records))
        assert dativo.run(tap.job(target)).written == len(records)
    tap.says(say.schema("orders", id="integer"), say.record("orders", id=7))
    tap.offers(say.schema("orders", id="integer"))
    assert dativo.run(tap.job(target)).written == 1
    if connector == "duckdb":
        found = rows("SELECT _dativo_extra, id FROM orders ORDER BY rowid")
    else:
        found = [(row["_dativo_extra"], row["id"]) for row in dativo.dataset("lake")["orders"].to_arrow().to_pylist()]
    assert found == [(None, None), (None, None), ('{"a":1}', None), (None, None), (None, 7)]
