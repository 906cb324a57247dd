"""One run of a job at a time, over machines: on every backend that several can reach."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from dativo_protocols import DativoError, StateError
from dativo_sdk import JobKey

from dativo.state import Holder, Lease, LeaseLostError, _lease_lock
from dativo.state._lease_lock import LeaseLock
from tests.state.conftest import Place

JOB = JobKey("acme", "orders")
ELSEWHERE = Holder("first", host="elsewhere", pid=7, pid_start="b:1", pid_names="", started=1.0)


def lock(place: Place, run_id: str = "second", wait: float = 0.0, ttl: float = 2.0, job: JobKey = JOB) -> LeaseLock:
    connect: Callable[[], Any] = place.backend
    return LeaseLock(connect, job, run_id, wait, ttl=ttl)


def test_the_second_run_is_told_who_is_first(shared: Place) -> None:
    with lock(shared, "first"):
        with pytest.raises(
            DativoError, match=rf"`acme/orders` is running already: run first, process {os.getpid()} on"
        ) as caught:
            lock(shared).__enter__()
        assert (caught.value.exit_code, caught.value.facts["run_id"]) == (75, "first")
        with lock(shared, job=JobKey("acme", "other")), lock(shared, job=JobKey("other", "orders")):
            pass
    with lock(shared) as second:
        assert second.token == 2


def test_a_run_that_lives_keeps_its_lease_for_as_long_as_it_runs(shared: Place) -> None:
    with lock(shared, "first", ttl=1.0) as first:
        with pytest.raises(DativoError, match=r"already after 2\.5 s"):
            lock(shared, wait=2.5).__enter__()
        first.check()


def test_the_lease_of_a_machine_that_is_gone_ends(shared: Place) -> None:
    shared.leasing().take_lease(JOB, None, ELSEWHERE, 1.0)
    with pytest.raises(DativoError, match=r"process 7 on `elsewhere`"):
        lock(shared).__enter__()
    # A lease of one second, and an object store that counts whole ones.
    time.sleep(3.2)
    with lock(shared) as second:
        assert second.token == 2


HOLD = """
from dativo_sdk import JobKey
import sys
store = open_store()
lock = store.lock(JobKey("acme", "orders"), "first")
lock.__enter__()
print("held", flush=True)
sys.stdin.readline()
for write in (store.check, lambda: store.record(JobKey("acme", "orders"), b"{}", "first")):
    try:
        write()
    except Exception as error:
        print(type(error).__name__, error.exit_code, flush=True)
    else:
        print("may go on", flush=True)
"""


def held(place: Place, lease_seconds: float) -> Any:
    separator = "&" if "?" in place.uri else "?"
    process = dataclasses.replace(place, uri=f"{place.uri}{separator}lease_seconds={lease_seconds}").start(HOLD)
    assert process.stdout.readline() == "held\n"
    return process


def test_the_lease_of_a_killed_process_of_this_machine_is_free_at_once(shared: Place) -> None:
    process = held(shared, 600)
    with pytest.raises(DativoError, match="is running already"):
        lock(shared).__enter__()
    process.kill()
    process.wait()
    with lock(shared) as second:
        assert second.token == 2


def test_a_paused_run_that_comes_back_finds_that_it_may_no_more(shared: Place) -> None:
    process = held(shared, 2)
    shared.pause(process.pid, JOB)
    with lock(shared, wait=30) as second:
        assert second.token == 2
        process.send_signal(signal.SIGCONT)
        said, _ = process.communicate("\n", timeout=30)
        assert said == "LeaseLostError 75\nLeaseLostError 75\n"
        second.check()
    with shared.store() as store:
        assert store.history(JOB) == []


def test_a_run_that_nobody_replaced_goes_on_after_a_pause(new_place: Callable[[str], Place]) -> None:
    shared = new_place("file")
    process = held(shared, 1)
    shared.pause(process.pid, JOB)
    time.sleep(2.5)
    process.send_signal(signal.SIGCONT)
    said, _ = process.communicate("\n", timeout=30)
    assert said == "may go on\nmay go on\n"


def in_the_future(place: Place, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """The backend as it looks after the store's clock was set back by an hour."""

    def connect() -> Any:
        backend: Any = place.backend()
        read = backend.read_lease

        def read_lease(job: JobKey) -> Lease | None:
            lease = read(job)
            return None if lease is None else dataclasses.replace(lease, age=lease.age - 3600)

        monkeypatch.setattr(backend, "read_lease", read_lease)
        return backend

    return connect


def test_a_store_clock_set_back_does_not_keep_the_lease_of_the_dead(shared: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    shared.leasing().take_lease(JOB, None, ELSEWHERE, 1.0)
    began = time.monotonic()
    with LeaseLock(in_the_future(shared, monkeypatch), JOB, "second") as second:
        assert second.token == 2
        assert time.monotonic() - began > 1.9


def test_a_store_clock_set_back_does_not_take_the_lease_of_the_living(shared: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with lock(shared, "first", ttl=1.0), pytest.raises(DativoError, match="is running already"):
        LeaseLock(in_the_future(shared, monkeypatch), JOB, "second").__enter__()


def test_a_machine_clock_set_back_changes_nothing(new_place: Callable[[str], Place], monkeypatch: pytest.MonkeyPatch) -> None:
    shared = new_place("file")
    with lock(shared, "first", ttl=1.0) as first:
        monkeypatch.setattr(time, "time", lambda: 1.0)
        with pytest.raises(DativoError, match="is running already"):
            lock(shared, wait=2.5).__enter__()
        first.check()


class Silent:
    """A backend whose server has gone away after it gave the lease."""

    def read_lease(self, job: JobKey) -> None:
        return None

    def take_lease(self, *_: Any) -> int:
        return 1

    def renew_lease(self, *_: Any) -> None:
        raise StateError("cannot reach it", retryable=True)

    def release_lease(self, *_: Any) -> None:
        raise StateError("cannot reach it", retryable=True)

    def close(self) -> None:
        pass


def test_a_store_out_of_reach_is_borne_for_as_long_as_the_lease_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(_lease_lock, "clock", lambda: now[0])
    connect: Any = Silent
    with LeaseLock(connect, JOB, "r", ttl=60.0) as held:
        for later in (29.0, 20.0, 10.0):
            now[0] += later
            held.check()
        now[0] += 2.0
        with pytest.raises(StateError, match="cannot tell whether job `acme/orders` is still this run's") as caught:
            held.check()
    assert (caught.value.exit_code, caught.value.again) == (75, False)


def test_a_lost_lease_stays_lost(shared: Place) -> None:
    with lock(shared, "first", ttl=600.0) as first:
        other = shared.leasing()
        other.take_lease(JOB, other.read_lease(JOB), ELSEWHERE, 600.0)
        first.check()
        with pytest.raises(LeaseLostError):
            first._renew()
        with pytest.raises(LeaseLostError):
            first.check()
    assert other.read_lease(JOB).holder == ELSEWHERE
