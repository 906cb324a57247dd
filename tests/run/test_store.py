from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dativo_protocols import ConfigError, StateError
from dativo_sdk import JobKey

from dativo import _store
from dativo._report import AttemptReport, Report
from dativo._store import Store

JOB = JobKey("acme", "orders")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "state.sqlite") as store:
        yield store


def states(store: Store) -> list[tuple[int, str, bytes | None]]:
    return [(entry.seq, entry.origin, entry.state) for entry in store.history(JOB)]


def test_a_state_comes_back_byte_by_byte(store: Store) -> None:
    data = b'{"a": 1.10,\n "b": 1e400, "c": "\xc3\xa9\\u0000"}'
    store.record(JOB, data, "r1")
    assert store.current(JOB).state == data


def test_jobs_and_tenants_do_not_see_one_another(store: Store) -> None:
    store.record(JOB, b"{}", "r1")
    assert store.current(JobKey("other", "orders")) is None
    assert store.current(JobKey("acme", "other")) is None


def test_history_is_newest_first_and_rollback_adds_to_it(store: Store) -> None:
    store.record(JOB, b'{"n":1}', "r1")
    store.record(JOB, b'{"n":2}', "r1")
    store.rollback(JOB)
    assert states(store) == [(3, "rollback", b'{"n":1}'), (2, "commit", b'{"n":2}'), (1, "commit", b'{"n":1}')]


def test_rollback_to_a_number(store: Store) -> None:
    for n in range(5):
        store.record(JOB, b'{"n":%d}' % n, "r1")
    assert store.rollback(JOB, 2).state == b'{"n":1}'
    with pytest.raises(StateError, match="no state number 99"):
        store.rollback(JOB, 99)


def test_rollback_without_an_earlier_state_is_refused(store: Store) -> None:
    store.record(JOB, b"{}", "r1")
    with pytest.raises(StateError, match="no earlier state"):
        store.rollback(JOB)


def test_a_persons_state_waits_until_it_is_applied_or_overtaken(store: Store) -> None:
    entry = store.set(JOB, b'{"n":1}')
    assert store.current(JOB).pending
    store.applied(JOB, entry.seq)
    assert not store.current(JOB).pending
    store.clear(JOB)
    store.record(JOB, b'{"n":2}', "r1")
    assert not any(entry.pending for entry in store.history(JOB))


@pytest.mark.parametrize("state", [b"[1]", b"nonsense", b"", b"[" * 100_000])
def test_only_json_objects_are_states(store: Store, state: bytes) -> None:
    with pytest.raises(ConfigError):
        store.set(JOB, state)


def test_old_states_are_pruned_but_the_newest_of_recent_runs_stays(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_store, "KEEP_STATES", 5)
    store.begin_run(Report("early", *JOB, started=1.0))
    for n in range(3):
        store.record(JOB, b'{"early":%d}' % n, "early")
    store.begin_run(Report("late", *JOB, started=2.0))
    for _ in range(20):
        store.record(JOB, b"{}", "late")
    kept = states(store)
    assert len(kept) == 6
    assert kept[-1] == (3, "commit", b'{"early":2}')


def test_runs_are_listed_and_found_by_the_beginning_of_their_id(store: Store) -> None:
    report = Report("20260101-abc", *JOB, started=1.0)
    store.begin_run(report)
    assert store.runs(JOB)[0].status == "running"
    report.status, report.ended, report.exit_code, report.error = "failed", 2.0, 10, StateError("no", hint="yes")
    store.finish_run(report)
    found = store.run("2026")
    assert (found.status, found.exit_code, found.error["message"]) == ("failed", 10, "no")
    assert store.run("1999") is None


def test_a_run_whose_process_is_gone_has_crashed(store: Store) -> None:
    code = (
        "import sys, pathlib; from dativo._store import Store; from dativo._report import Report;"
        "Store(pathlib.Path(sys.argv[1])).begin_run(Report('r1', 'acme', 'orders', started=1.0))"
    )
    subprocess.run([sys.executable, "-c", code, str(store.path)], check=True)
    assert store.runs(JOB)[0].status == "crashed"


def test_a_process_with_the_same_number_is_not_the_same(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_store, "process_start", lambda pid: "earlier")
    store.begin_run(Report("r1", *JOB, started=1.0))
    assert os.getpid() == store.runs(JOB)[0].pid
    assert store.runs(JOB)[0].status == "crashed"


def test_a_new_run_marks_the_crashed_one(store: Store) -> None:
    store.begin_run(Report("r1", *JOB, started=1.0))
    store.begin_run(Report("r2", *JOB, started=2.0))
    assert [(run.run_id, run.status) for run in store.runs(JOB)] == [("r2", "running"), ("r1", "crashed")]


def _append(path: Path, process: int) -> None:
    with Store(path) as store:
        for n in range(50):
            store.record(JOB, b'{"n":%d}' % n, f"r{process}")


def test_processes_append_at_once_without_losing_an_entry(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_append, args=(tmp_path / "s.sqlite", n)) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    with Store(tmp_path / "s.sqlite") as store:
        assert [entry.seq for entry in store.history(JOB)] == list(range(150, 0, -1))


def test_a_corrupt_file_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    path.write_bytes(b"this is no database" * 1000)
    with pytest.raises(StateError, match="cannot use state store") as caught:
        Store(path).history(JOB)
    assert "move it away" in str(caught.value.hint)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "state.sqlite"
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StateError, match="version 99"):
        Store(path).history(JOB)


def test_a_full_disk_is_temporary(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite") as store:
        store.record(JOB, b"{}", "r1")
        # A limit on the pages of the file: SQLite says the same as of a full disk.
        store._backend._open().execute("PRAGMA max_page_count = 1")
        with pytest.raises(StateError, match=r"the disk of state store .* is full") as caught:
            store.record(JOB, b'{"x": "' + b"x" * 100_000 + b'"}', "r1")
    assert caught.value.exit_code == 75


def test_a_store_of_the_first_version_is_upgraded(tmp_path: Path) -> None:
    import sqlite3

    from dativo.state._sqlite import TABLES

    path = tmp_path / "state.sqlite"
    with sqlite3.connect(path) as db:
        db.executescript(TABLES.replace(",\n    attempts TEXT NOT NULL DEFAULT '[]'", ""))
        db.execute("PRAGMA user_version = 1")
        columns, values = "run_id, tenant, job, started, status, host, pid, pid_start", "'r', 'a', 'b', 1, 'x', 'h', 1, ''"
        db.execute(f"INSERT INTO runs ({columns}) VALUES ({values})")
    db.close()
    with Store(path) as store:
        assert [(run.run_id, run.attempts) for run in store.runs()] == [("r", [])]
        store.finish_run(Report("r", "a", "b", attempts=[AttemptReport()]))
        assert len(store.runs()[0].attempts) == 1


def test_closing_leaves_the_log_to_whoever_opens_next(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    for n in range(3):
        with Store(path) as store:
            store.record(JOB, b'{"n":%d}' % n, "r1")
        assert path.with_name("state.sqlite-wal").stat().st_size > 0
    path.with_name("state.sqlite-shm").unlink()
    with Store(path) as store:
        assert [entry.seq for entry in store.history(JOB)] == [3, 2, 1]


def test_what_a_person_puts_is_synced_to_the_disk(store: Store) -> None:
    store.record(JOB, b"{}", "r1")
    statements: list[str] = []
    store._backend._open().set_trace_callback(statements.append)
    for put, synced in ((lambda: store.record(JOB, b"{}", "r1"), "NORMAL"), (lambda: store.set(JOB, b"{}"), "FULL")):
        statements.clear()
        put()
        assert [each for each in statements if "synchronous" in each] == [f"PRAGMA synchronous = {synced}"]
