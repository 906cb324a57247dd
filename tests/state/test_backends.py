"""What every backend does alike: one body, each kind of store."""

from __future__ import annotations

import dataclasses
import random
import signal
import time

import pytest
from dativo_protocols import StateError
from dativo_sdk import JobKey

from dativo import _store
from dativo._report import Report
from dativo.state import Keep, LeaseLostError, RunEntry
from tests.state.conftest import Place

JOB = JobKey("acme", "orders")
KEEP = Keep(200, 20)
EXACT = b'{"a": 1.10,\n "b": 1e400, "c": "\xc3\xa9\\u0000"}'
STATES = (EXACT, b"", b"{}", b"\xff\xfe not UTF-8 \x00", b"x" * 100_000, None)


def a_run(run_id: str, started: float = 1.0, job: JobKey = JOB) -> RunEntry:
    return RunEntry(
        run_id, *job, started, None, "running", None, None, 0, 0, 0, 0, [], [], None, None, pid=1, host="h", pid_start="b:1"
    )


@pytest.mark.parametrize("state", STATES, ids=["exact", "empty", "object", "bytes", "large", "none"])
def test_a_state_comes_back_byte_by_byte(place: Place, state: bytes | None) -> None:
    backend = place.backend()
    appended = backend.append(JOB, state, "commit", "r1", keep=KEEP, token=None)
    again = place.backend()
    assert again.history(JOB, 10) == [appended]
    assert (appended.seq, appended.state, appended.run_id, appended.applied) == (1, state, "r1", False)


def test_looking_makes_nothing(place: Place) -> None:
    backend = place.backend()
    if place.kind != "sqlite":
        assert (backend.jobs(), backend.history(JOB, 9), backend.runs(None, 9), backend.find_runs("r", 9)) == ([], [], [], [])
    assert not backend.exists()
    backend.append(JOB, b"{}", "commit", "r", keep=KEEP, token=None)
    assert place.backend().exists()


def test_jobs_and_tenants_do_not_see_one_another(place: Place) -> None:
    with place.store() as store:
        store.record(JOB, b"{}", "r1")
        other = JobKey("other", "orders")
        store.begin_run(Report("r2", *other, started=1.0))
        assert store.current(other) is None
        assert store.current(JobKey("acme", "other")) is None
        assert store.jobs() == [JOB, other]
        assert [run.run_id for run in store.runs(other)] == ["r2"]
        assert store.runs(JOB) == []


def test_history_is_newest_first_and_rollback_adds_to_it(place: Place) -> None:
    with place.store() as store:
        store.record(JOB, b'{"n":1}', "r1")
        store.record(JOB, b'{"n":2}', "r1")
        store.rollback(JOB)
        found = [(entry.seq, entry.origin, entry.state) for entry in store.history(JOB)]
        assert found == [(3, "rollback", b'{"n":1}'), (2, "commit", b'{"n":2}'), (1, "commit", b'{"n":1}')]
        assert len(store.history(JOB, limit=2)) == 2


def test_a_persons_state_waits_until_it_is_applied_or_overtaken(place: Place) -> None:
    with place.store() as store:
        entry = store.set(JOB, b'{"n":1}')
        assert store.current(JOB).pending
        store.applied(JOB, entry.seq)
        store.applied(JOB, 77)
        assert not store.current(JOB).pending
        store.clear(JOB)
        assert (store.current(JOB).pending, store.current(JOB).state) == (True, None)
        store.record(JOB, b'{"n":2}', "r1")
        assert not any(entry.pending for entry in store.history(JOB))


@pytest.mark.parametrize("size", [1, 2000])
def test_old_states_are_pruned_but_the_newest_of_recent_runs_stays(
    place: Place, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_store, "KEEP_STATES", 5)
    with place.store() as store:
        store.begin_run(Report("early", *JOB, started=1.0))
        for n in range(3):
            store.record(JOB, b"%d" % n * size, "early")
        store.begin_run(Report("late", *JOB, started=2.0))
        for _ in range(20):
            store.record(JOB, b"{}" * size, "late")
        kept = [(entry.seq, entry.state) for entry in store.history(JOB)]
        assert [seq for seq, _ in kept] == [23, 22, 21, 20, 19, 3]
        assert kept[-1][1] == b"2" * size


def test_a_run_comes_back_as_it_was(place: Place) -> None:
    with place.store() as store:
        store.record(JOB, b"{}", "r0")
        report = Report("20260101-abc", *JOB, started=1.5)
        store.begin_run(report)
        begun = store.runs(JOB)[0]
        assert (begun.started, begun.ended, begun.exit_code, begun.seq_before, begun.seq_after) == (1.5, None, None, 1, None)
        store.record(JOB, b"{}", "20260101-abc")
        report.status, report.ended, report.exit_code = "failed", 2.0, 10
        report.error = StateError("n\x00o", hint="yes", facts={"line": 3})
        report.commits = 1 << 40
        store.finish_run(report)
        found = store.run("2026")
        assert found == store.runs()[0]
        assert found.error["message"] == "n\x00o"
        assert (found.status, found.exit_code, found.ended, found.commits) == ("failed", 10, 2.0, 1 << 40)
        assert (found.seq_before, found.seq_after) == (1, 2)
        assert store.run("1999") is None


def test_runs_are_newest_first_over_all_jobs(place: Place) -> None:
    backend = place.backend()
    for n in (1, 3, 2):
        backend.begin_run(a_run(f"2026-{n}", float(n), JobKey("t", f"job{n}")), token=None)
    assert [run.run_id for run in backend.runs(None, 2)] == ["2026-3", "2026-2"]
    assert {run.run_id for run in backend.find_runs("2026", 9)} == {"2026-1", "2026-2", "2026-3"}
    assert len(backend.find_runs("2026", 2)) == 2


def test_a_new_run_marks_the_crashed_one(place: Place) -> None:
    backend = place.backend()
    backend.begin_run(a_run("r1", 1.0), token=None)
    backend.begin_run(a_run("r2", 2.0), token=None)
    found = [(run.run_id, run.status, run.ended) for run in backend.runs(JOB, 9)]
    assert found == [("r2", "running", None), ("r1", "crashed", 2.0)]
    backend.finish_run(dataclasses.replace(a_run("r2", 2.0), status="succeeded", ended=3.0))
    assert backend.runs(JOB, 1)[0].status == "succeeded"


APPEND = """
from dativo_sdk import JobKey
with open_store() as store:
    for n in range({count}):
        store.record(JobKey("acme", "orders"), b'{{"n":%d}}' % n * {size}, "r{process}")
        print(n, flush=True)
"""


def test_eight_processes_append_at_once_and_none_is_lost(place: Place) -> None:
    count = 12
    started = [place.start(APPEND.format(count=count, process=n, size=1 if n % 2 else 400)) for n in range(8)]
    for process in started:
        process.communicate(timeout=120)
        assert process.returncode == 0
    with place.store() as store:
        history = store.history(JOB)
    assert [entry.seq for entry in history] == list(range(8 * count, 0, -1))
    by_run = {run: [entry.state for entry in history if entry.run_id == run] for run in {entry.run_id for entry in history}}
    assert len(by_run) == 8
    for n, states in by_run.items():
        size = 1 if int(n[1:]) % 2 else 400
        assert states == [b'{"n":%d}' % each * size for each in reversed(range(count))]


def test_a_writer_killed_in_the_middle_leaves_a_whole_store(place: Place) -> None:
    random.seed(7)
    said = 0
    for n in range(4):
        process = place.start(APPEND.format(count=100_000, process=n, size=400))
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(random.uniform(0.01, 0.15))
        process.send_signal(signal.SIGKILL)
        said += 1 + len([line for line in process.stdout.read().split("\n") if line])
        process.wait()
        with place.store() as store:
            history = store.history(JOB)
            assert history[0].seq >= said
            # What was written beyond what was said is the one write that was under way.
            assert history[0].seq <= said + n + 1
            assert [entry.seq for entry in history] == list(range(history[0].seq, history[-1].seq - 1, -1))
            assert all(entry.state == b'{"n":%d}' % _number(entry.state) * 400 for entry in history)
    with place.store() as store:
        store.begin_run(Report("next", *JOB, started=1.0))
        assert store.record(JOB, b"{}", "next").seq == history[0].seq + 1


def _number(state: bytes) -> int:
    return int(state.partition(b":")[2].partition(b"}")[0])


def test_a_token_that_is_old_writes_nothing(shared: Place) -> None:
    backend = shared.backend()
    leasing = shared.leasing()
    old = leasing.take_lease(JOB, None, _holder("old"), 5.0)
    backend.append(JOB, b"1", "commit", "old", keep=KEEP, token=old)
    new = leasing.take_lease(JOB, leasing.read_lease(JOB), _holder("new"), 5.0)
    assert new > old
    for write in (
        lambda: backend.append(JOB, b"2", "commit", "old", keep=KEEP, token=old),
        lambda: backend.mark_applied(JOB, 1, token=old),
        lambda: backend.begin_run(a_run("old"), token=old),
        lambda: leasing.renew_lease(JOB, old),
    ):
        with pytest.raises(LeaseLostError) as caught:
            write()
        assert caught.value.exit_code == 75
    leasing.release_lease(JOB, old)
    assert leasing.read_lease(JOB).holder.run_id == "new"
    assert [entry.state for entry in backend.history(JOB, 9)] == [b"1"]
    assert backend.runs(JOB, 9) == []
    backend.append(JOB, b"2", "commit", "new", keep=KEEP, token=new)
    leasing.release_lease(JOB, new)
    assert leasing.read_lease(JOB) is None
    with pytest.raises(LeaseLostError):
        backend.append(JOB, b"3", "commit", "new", keep=KEEP, token=new)


def test_a_lease_is_taken_only_as_it_was_seen(shared: Place) -> None:
    one, two = shared.leasing(), shared.leasing()
    token = one.take_lease(JOB, None, _holder("one"), 5.0)
    assert two.take_lease(JOB, None, _holder("two"), 5.0) is None
    seen = two.read_lease(JOB)
    assert (seen.token, seen.holder.run_id, seen.ttl) == (token, "one", 5.0)
    assert -1.5 < seen.age < 3
    one.renew_lease(JOB, token)
    assert two.take_lease(JOB, seen, _holder("two"), 5.0) is None
    assert two.take_lease(JOB, two.read_lease(JOB), _holder("two"), 5.0) == token + 1


RACE = """
from dativo_sdk import JobKey
from dativo.state import Holder
with open_store() as store:
    print(store._backend.take_lease(JobKey("acme", "orders"), None, Holder("r"), 60.0), flush=True)
"""


def test_of_eight_that_want_the_lease_one_gets_it(shared: Place) -> None:
    started = [shared.start(RACE) for _ in range(8)]
    said = sorted(process.communicate(timeout=60)[0].strip() for process in started)
    assert said == ["1", *["None"] * 7]


def _holder(run_id: str):
    from dativo.state import Holder

    return Holder(run_id, host="elsewhere", pid=1, pid_start="b:1", pid_names="", started=1.0)
