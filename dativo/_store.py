"""States with their history, and the runs: what they mean, whatever backend keeps them (`dativo.state`).

The store is a cache of what the target committed, except for what a person put there: a `set`, `rollback` or `clear` newer
than the last commit is applied by the next run (see `docs/state.md`).
"""

from __future__ import annotations

import dataclasses
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from dativo_protocols.errors import ConfigError, StateError
from dativo_sdk import JobKey

from dativo._lock import JobLock
from dativo._paths import state_dir
from dativo._process import is_alive, process_start
from dativo._report import Report
from dativo.state._entries import Keep, KeptState, Origin, RunEntry, StateEntry
from dativo.state._location import LEASE_SECONDS
from dativo.state._sqlite import SqliteBackend

if TYPE_CHECKING:
    from dativo.state._backend import StateBackend
    from dativo.state._lease_lock import LeaseLock

__all__ = ["KEEP_RUNS", "KEEP_STATES", "Origin", "RunEntry", "StateEntry", "Store"]

KEEP_STATES = 200
KEEP_RUNS = 20


class Store:
    """The state store of one project. One object serves one thread; any number of processes may hold one.

    Every method raises `StateError` when the store cannot be read or written, and `ConfigError` when it refuses this user.

    Args:
        where: The file of a SQLite store, or what opens another backend, each time a new object.
        lease_seconds: How long a silent run keeps its job, for backends that lease.
        locks: Folder of the locks, for backends that do not lease; those of a SQLite file are beside it.

    Attributes:
        path: The file of a SQLite store, else None.
    """

    def __init__(
        self,
        where: Path | Callable[[], StateBackend],
        *,
        locks: Path | None = None,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self._connect: Callable[[], StateBackend] = where if not isinstance(where, Path) else lambda: SqliteBackend(where)
        self._backend = self._connect()
        self.path = self._backend.path if isinstance(self._backend, SqliteBackend) else None
        self._locks = self.path.parent / "locks" if self.path else locks or state_dir() / "locks"
        self._lease_seconds = lease_seconds
        self._lock: JobLock | LeaseLock | None = None

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Frees everything. May be called twice."""
        self._backend.close()

    @property
    def name(self) -> str:
        """Where it is, without credentials."""
        return self._backend.name

    def exists(self) -> bool:
        """Whether anything was ever put into it."""
        return self._backend.exists()

    def lock(self, job: JobKey, run_id: str, wait_seconds: float = 0.0) -> JobLock | LeaseLock:
        """The job's lock, to be held inside `with`: a lease where the backend has leases, else a lock of this machine.

        While it is held, what this store writes carries its token, and fails with `LeaseLostError` once another run has it.
        """
        from dativo.state._backend import Leasing

        if isinstance(self._backend, Leasing):
            from dativo.state._lease_lock import LeaseLock

            self._lock = LeaseLock(
                self._connect,  # type: ignore[arg-type]
                job,
                run_id,
                wait_seconds,
                ttl=self._lease_seconds,
            )
        else:
            self._lock = JobLock(self._locks, job, run_id, wait_seconds)
        return self._lock

    def check(self) -> None:
        """Returns when no other run can have taken the job over since `lock`; to be called before each commit to the target.

        Raises:
            LeaseLostError: Another run has it (exit code 75).
            StateError: The store has been out of reach for longer than a lease lasts (exit code 75).
        """
        if self._lock is not None:
            self._lock.check()

    def jobs(self) -> list[JobKey]:
        """Jobs that have a state or a run."""
        return self._backend.jobs()

    def current(self, job: JobKey) -> StateEntry | None:
        """The newest entry of the job's history."""
        found = self.history(job, limit=1)
        return found[0] if found else None

    def history(self, job: JobKey, *, limit: int = KEEP_STATES) -> list[StateEntry]:
        """Newest first."""
        kept = self._backend.history(job, limit)
        return [_entry(each, newest=each is kept[0]) for each in kept]

    def set(self, job: JobKey, state: bytes) -> StateEntry:
        """Puts a state that the next run starts from.

        Raises:
            ConfigError: It is neither a JSON object nor an array of them.
            StateError: The store cannot be written.
        """
        try:
            parsed = json.loads(state)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"the state is not JSON: {error}") from None
        if not isinstance(parsed, dict) and not (isinstance(parsed, list) and all(isinstance(one, dict) for one in parsed)):
            hint = 'a Singer state is an object, such as `{"bookmarks": {}}`, and an Airbyte state an array of them'
            raise ConfigError("the state is neither a JSON object nor an array of objects", hint=hint)
        return self._append(job, state, "set")

    def rollback(self, job: JobKey, seq: int | None = None) -> StateEntry:
        """Puts an earlier state for the next run to start from: that of entry `seq`, or the newest that differs.

        Raises:
            StateError: There is no such entry.
        """
        history = self.history(job)
        if seq is None:
            earlier = [entry for entry in history[1:] if entry.state != history[0].state]
            if not earlier:
                raise StateError(f"job `{job}` has no earlier state to roll back to")
            chosen = earlier[0]
        else:
            found = [entry for entry in history if entry.seq == seq]
            if not found:
                known = ", ".join(str(entry.seq) for entry in history[:10]) or "none"
                raise StateError(f"job `{job}` has no state number {seq}", hint=f"newest numbers: {known}")
            chosen = found[0]
        return self._append(job, chosen.state, "rollback")

    def clear(self, job: JobKey) -> StateEntry:
        """Makes the next run start without a state. The rows in the target stay."""
        return self._append(job, None, "clear")

    def record(self, job: JobKey, state: bytes | None, run_id: str | None) -> StateEntry:
        """Notes the state that a run (None: one that was killed) committed to its target, and prunes old history."""
        return self._append(job, state, "commit", run_id)

    def applied(self, job: JobKey, seq: int) -> None:
        """Notes that the target holds a person's entry now; from here on the target's state wins again."""
        self._backend.mark_applied(job, seq, token=self._token())

    def begin_run(self, report: Report) -> None:
        """Notes a run as running. The caller holds the job's lock, so what still says `running` has crashed."""
        run = dataclasses.replace(_run(report), ended=None, status="running", exit_code=None)
        self._backend.begin_run(run, token=self._token())

    def finish_run(self, report: Report) -> None:
        """Notes how a run ended."""
        self._backend.finish_run(_run(report))

    def runs(self, job: JobKey | None = None, *, limit: int = 50) -> list[RunEntry]:
        """Newest first; of one job, or of all."""
        return [self._seen(run) for run in self._backend.runs(job, limit)]

    def run(self, run_id: str) -> RunEntry | None:
        """The run whose id is, or begins with, `run_id`; None when there is none or more than one."""
        found = self._backend.find_runs(run_id, 2)
        return self._seen(found[0]) if len(found) == 1 else None

    def _append(self, job: JobKey, state: bytes | None, origin: Origin, run_id: str | None = None) -> StateEntry:
        keep = Keep(KEEP_STATES, KEEP_RUNS)
        return _entry(self._backend.append(job, state, origin, run_id, keep=keep, token=self._token()), newest=True)

    def _token(self) -> int | None:
        return None if self._lock is None else self._lock.token

    def _seen(self, run: RunEntry) -> RunEntry:
        """A run that says `running` and runs no more is shown as `crashed`."""
        from dativo.state._backend import Leasing

        if run.status != "running":
            return run
        if isinstance(self._backend, Leasing):
            lease = self._backend.read_lease(JobKey(run.tenant, run.job))
            alive = lease is not None and lease.holder.run_id == run.run_id and not lease.has_expired()
        else:
            alive = is_alive(run.host, run.pid, run.pid_start)
        return run if alive else dataclasses.replace(run, status="crashed")


def _entry(kept: KeptState, *, newest: bool) -> StateEntry:
    pending = newest and kept.origin != "commit" and not kept.applied
    return StateEntry(kept.seq, kept.time, kept.run_id, kept.origin, kept.state, pending)


def _run(report: Report) -> RunEntry:
    data = report.to_dict()
    return RunEntry(
        run_id=report.run_id,
        tenant=report.tenant,
        job=report.job,
        started=report.started,
        ended=data["ended"],
        status=report.status,
        exit_code=data["exit_code"],
        error=data["error"],
        rows_in=data["rows_in"],
        written=data["written"],
        quarantined=data["quarantined"],
        commits=data["commits"],
        streams=data["streams"],
        attempts=data["attempts"],
        seq_before=None,
        seq_after=None,
        pid=os.getpid(),
        host=socket.gethostname(),
        pid_start=process_start(os.getpid()),
    )
