"""States with their history, and the runs, in one SQLite file: `.dativo/state.sqlite`.

The store is a cache of what the target committed, except for what a person put there: a `set`, `rollback` or `clear` newer
than the last commit is applied by the next run (see `docs/state.md`).
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeAlias

from dativo_protocols.errors import ConfigError, StateError
from dativo_sdk import JobKey

from dativo._process import is_alive, process_start
from dativo._report import Report, RunStatus

__all__ = ["KEEP_RUNS", "KEEP_STATES", "Origin", "RunEntry", "StateEntry", "Store"]

Origin: TypeAlias = Literal["commit", "set", "rollback", "clear"]

KEEP_STATES = 200
KEEP_RUNS = 20
BUSY_SECONDS = 30.0
VERSION = 2

TABLES = """
CREATE TABLE states (
    tenant TEXT NOT NULL, job TEXT NOT NULL, seq INTEGER NOT NULL, time REAL NOT NULL, run_id TEXT, origin TEXT NOT NULL,
    applied INTEGER NOT NULL DEFAULT 0, state BLOB, PRIMARY KEY (tenant, job, seq)
) WITHOUT ROWID;
CREATE TABLE runs (
    run_id TEXT PRIMARY KEY, tenant TEXT NOT NULL, job TEXT NOT NULL, started REAL NOT NULL, ended REAL, status TEXT NOT NULL,
    exit_code INTEGER, error TEXT, rows_in INTEGER NOT NULL DEFAULT 0, written INTEGER NOT NULL DEFAULT 0,
    quarantined INTEGER NOT NULL DEFAULT 0, commits INTEGER NOT NULL DEFAULT 0, streams TEXT NOT NULL DEFAULT '[]',
    seq_before INTEGER, seq_after INTEGER, host TEXT NOT NULL, pid INTEGER NOT NULL, pid_start TEXT NOT NULL,
    attempts TEXT NOT NULL DEFAULT '[]'
);
CREATE INDEX runs_by_job ON runs (tenant, job, started);
"""

UPGRADES = {1: "ALTER TABLE runs ADD COLUMN attempts TEXT NOT NULL DEFAULT '[]'"}
"""What makes the next version of one."""


@dataclass(frozen=True, slots=True)
class StateEntry:
    """One state of a job's history.

    Attributes:
        seq: Counts up from 1 within the job.
        time: Seconds since 1970.
        run_id: The run that committed it; None for what a person did.
        origin: `commit`, `set`, `rollback` or `clear`.
        state: Exactly the bytes that were stored; None after `clear`.
        pending: A person's entry that no run has applied yet.
    """

    seq: int
    time: float
    run_id: str | None
    origin: Origin
    state: bytes | None
    pending: bool

    def to_dict(self) -> dict[str, Any]:
        return {
            "seq": self.seq,
            "time": self.time,
            "run_id": self.run_id,
            "origin": self.origin,
            "state": None if self.state is None else self.state.decode("utf-8", "replace"),
            "pending": self.pending,
        }


@dataclass(frozen=True, slots=True)
class RunEntry:
    """One run of a job; `status` is `crashed` where its process ended without saying how.

    Attributes:
        error: As in `Report.to_dict`, or None.
        streams, attempts: As in `Report.to_dict`; no attempts for runs of versions that made only one.
        seq_before, seq_after: Newest entry of the state history when the run started and when it ended, 0 for none.
    """

    run_id: str
    tenant: str
    job: str
    started: float
    ended: float | None
    status: RunStatus
    exit_code: int | None
    error: dict[str, Any] | None
    rows_in: int
    written: int
    quarantined: int
    commits: int
    streams: list[dict[str, Any]]
    attempts: list[dict[str, Any]]
    seq_before: int | None
    seq_after: int | None
    pid: int

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


class Store:
    """The state store of one project. One object serves one thread; any number of processes may hold one.

    Every method raises `StateError` when the file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def jobs(self) -> list[JobKey]:
        """Jobs that have a state or a run."""
        with self._reading() as db:
            rows = db.execute("SELECT tenant, job FROM states UNION SELECT tenant, job FROM runs ORDER BY 1, 2")
            return [JobKey(*row) for row in rows]

    def current(self, job: JobKey) -> StateEntry | None:
        """The newest entry of the job's history."""
        found = self.history(job, limit=1)
        return found[0] if found else None

    def history(self, job: JobKey, *, limit: int = KEEP_STATES) -> list[StateEntry]:
        """Newest first."""
        with self._reading() as db:
            rows = db.execute(
                "SELECT seq, time, run_id, origin, state, applied FROM states WHERE tenant = ? AND job = ?"
                " ORDER BY seq DESC LIMIT ?",
                (*job, limit),
            ).fetchall()
        newest = rows[0][0] if rows else 0
        return [
            StateEntry(seq, when, run_id, origin, state, pending=origin != "commit" and not applied and seq == newest)
            for seq, when, run_id, origin, state, applied in rows
        ]

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
        with self._writing() as db:
            db.execute("UPDATE states SET applied = 1 WHERE tenant = ? AND job = ? AND seq = ?", (*job, seq))

    def begin_run(self, report: Report) -> None:
        """Notes a run as running. The caller holds the job's lock, so what still says `running` has crashed."""
        with self._writing() as db:
            db.execute(
                "UPDATE runs SET status = 'crashed', ended = ? WHERE tenant = ? AND job = ? AND status = 'running'",
                (report.started, report.tenant, report.job),
            )
            db.execute(
                "INSERT INTO runs (run_id, tenant, job, started, status, seq_before, host, pid, pid_start)"
                " VALUES (:run_id, :tenant, :job, :started, 'running',"
                "  (SELECT coalesce(max(seq), 0) FROM states WHERE tenant = :tenant AND job = :job), :host, :pid, :pid_start)",
                {
                    "run_id": report.run_id,
                    "tenant": report.tenant,
                    "job": report.job,
                    "started": report.started,
                    "host": socket.gethostname(),
                    "pid": os.getpid(),
                    "pid_start": process_start(os.getpid()),
                },
            )

    def finish_run(self, report: Report) -> None:
        """Notes how a run ended."""
        data = report.to_dict()
        data["error"] = None if data["error"] is None else json.dumps(data["error"])
        data["streams"], data["attempts"] = json.dumps(data["streams"]), json.dumps(data["attempts"])
        names = ("ended", "status", "exit_code", "error", "rows_in", "written", "quarantined", "commits", "streams", "attempts")
        with self._writing() as db:
            db.execute(
                f"UPDATE runs SET {', '.join(f'{name} = :{name}' for name in names)},"
                " seq_after = (SELECT coalesce(max(seq), 0) FROM states WHERE tenant = :tenant AND job = :job)"
                " WHERE run_id = :run_id",
                {name: data[name] for name in (*names, "tenant", "job", "run_id")},
            )

    def runs(self, job: JobKey | None = None, *, limit: int = 50) -> list[RunEntry]:
        """Newest first; of one job, or of all."""
        where, values = ("WHERE tenant = ? AND job = ?", tuple(job)) if job else ("", ())
        return self._runs(f"{where} ORDER BY started DESC, rowid DESC LIMIT ?", (*values, limit))

    def run(self, run_id: str) -> RunEntry | None:
        """The run whose id is, or begins with, `run_id`; None when there is none or more than one."""
        found = self._runs("WHERE substr(run_id, 1, length(?)) = ? LIMIT 2", (run_id, run_id))
        return found[0] if len(found) == 1 else None

    def _runs(self, clause: str, values: Sequence[object]) -> list[RunEntry]:
        columns = (
            "run_id, tenant, job, started, ended, status, exit_code, error, rows_in, written, quarantined, commits, streams,"
            " attempts, seq_before, seq_after, pid, pid_start, host"
        )
        with self._reading() as db:
            rows = db.execute(f"SELECT {columns} FROM runs {clause}", tuple(values)).fetchall()
        return [_run_entry(dict(zip(columns.replace(" ", "").split(","), row, strict=True))) for row in rows]

    def _append(self, job: JobKey, state: bytes | None, origin: Origin, run_id: str | None = None) -> StateEntry:
        now = time.time()
        with self._writing() as db:
            (newest,) = db.execute("SELECT coalesce(max(seq), 0) FROM states WHERE tenant = ? AND job = ?", tuple(job)).fetchone()
            seq = newest + 1
            db.execute(
                "INSERT INTO states (tenant, job, seq, time, run_id, origin, state) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*job, seq, now, run_id, origin, state),
            )
            db.execute(
                "DELETE FROM states WHERE tenant = :tenant AND job = :job AND seq <= :seq - :keep AND seq NOT IN ("
                " SELECT max(seq) FROM states WHERE tenant = :tenant AND job = :job AND run_id IN ("
                "  SELECT run_id FROM runs WHERE tenant = :tenant AND job = :job ORDER BY started DESC LIMIT :runs"
                " ) GROUP BY run_id)",
                {"tenant": job.tenant, "job": job.job, "seq": seq, "keep": KEEP_STATES, "runs": KEEP_RUNS},
            )
        return StateEntry(seq, now, run_id, origin, state, pending=origin != "commit")

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            db = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
            try:
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = NORMAL")
                self._create(db)
            except BaseException:
                db.close()
                raise
            self._connection = db
        return self._connection

    def _create(self, db: sqlite3.Connection) -> None:
        if db.execute("PRAGMA user_version").fetchone()[0] == VERSION:
            return
        db.execute("BEGIN IMMEDIATE")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        statements = TABLES.split(";") if version == 0 else [UPGRADES[each] for each in range(version, VERSION)]
        for statement in statements:
            db.execute(statement)
        if statements:
            db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("COMMIT")
        if version > VERSION:
            raise StateError(
                f"state store `{self.path}` has version {version}, this Dativo knows version {VERSION}", hint="upgrade Dativo"
            )

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            yield self._open()
        except (sqlite3.Error, OSError) as error:
            raise self._error(error) from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        try:
            db = self._open()
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                # SQLite has rolled back by itself when the disk is full.
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            raise self._error(error) from error

    def _error(self, error: Exception) -> StateError:
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            return StateError(f"state store `{self.path}` is locked by another process", retryable=True)
        # SQLite's own wording; its error codes came to Python with 3.11.
        if "disk is full" in str(error):
            message = f"the disk of state store `{self.path}` is full"
            return StateError(message, hint="free some space, then run again", retryable=True)
        corrupt = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
        hint = "move it away and run again: the targets keep the committed states, only the history is lost" if corrupt else None
        return StateError(f"cannot use state store `{self.path}`: {error}", hint=hint, facts={"path": str(self.path)})


def _run_entry(row: Mapping[str, Any]) -> RunEntry:
    values = dict(row)
    host, start = values.pop("host"), values.pop("pid_start")
    if values["status"] == "running" and not is_alive(host, values["pid"], start):
        values["status"] = "crashed"
    values["error"] = None if values["error"] is None else json.loads(values["error"])
    values["streams"], values["attempts"] = json.loads(values["streams"]), json.loads(values["attempts"])
    return RunEntry(**values)
