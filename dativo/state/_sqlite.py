"""States and runs in one SQLite file: `.dativo/state.sqlite`, the store that a project has when it says nothing."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dativo_protocols.errors import StateError
from dativo_sdk import JobKey

from dativo.state._entries import Keep, KeptState, Origin, RunEntry
from dativo.state._location import Location

__all__ = ["SqliteBackend"]

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

COLUMNS = (
    "run_id, tenant, job, started, ended, status, exit_code, error, rows_in, written, quarantined, commits, streams, attempts,"
    " seq_before, seq_after, pid, host, pid_start"
)
"""Of a run, in the order of `RunEntry`."""


class SqliteBackend:
    """A SQLite file in WAL mode, on a local disk. It does not lease: the lock of a job is a file beside it.

    A commit is in the operating system's hands when the method returns, and so survives a kill of the process; what a person puts
    is synced to the disk besides. What a run notes is synced with a checkpoint, every thousand pages: a power cut loses the last
    lines of the history, whose states the targets keep, and never breaks the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path)
        self._connection: sqlite3.Connection | None = None

    @classmethod
    def from_location(cls, location: Location) -> SqliteBackend:
        """The file of a `sqlite:` URL."""
        return cls(location.path)

    def exists(self) -> bool:
        return self.path.exists()

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        # The last connection to close copies the log into the file and syncs both, which is most of what a short run spends
        # here. One that only reads cannot: closed after the other, it leaves the log to whoever opens the file next.
        reader = None
        try:
            reader = sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
            reader.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        except sqlite3.Error:
            pass
        finally:
            connection.close()
            if reader is not None:
                reader.close()

    def jobs(self) -> list[JobKey]:
        with self._reading() as db:
            rows = db.execute("SELECT tenant, job FROM states UNION SELECT tenant, job FROM runs ORDER BY 1, 2")
            return [JobKey(*row) for row in rows]

    def history(self, job: JobKey, limit: int) -> list[KeptState]:
        with self._reading() as db:
            rows = db.execute(
                "SELECT seq, time, run_id, origin, state, applied FROM states WHERE tenant = ? AND job = ?"
                " ORDER BY seq DESC LIMIT ?",
                (*job, limit),
            ).fetchall()
        return [KeptState(seq, when, run_id, origin, state, bool(applied)) for seq, when, run_id, origin, state, applied in rows]

    def append(
        self, job: JobKey, state: bytes | None, origin: Origin, run_id: str | None, *, keep: Keep, token: int | None
    ) -> KeptState:
        now = time.time()
        with self._writing(synced=origin != "commit") as db:
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
                {"tenant": job.tenant, "job": job.job, "seq": seq, "keep": keep.states, "runs": keep.runs},
            )
        return KeptState(seq, now, run_id, origin, state)

    def mark_applied(self, job: JobKey, seq: int, *, token: int | None) -> None:
        with self._writing() as db:
            db.execute("UPDATE states SET applied = 1 WHERE tenant = ? AND job = ? AND seq = ?", (*job, seq))

    def begin_run(self, run: RunEntry, *, token: int | None) -> None:
        with self._writing() as db:
            db.execute(
                "UPDATE runs SET status = 'crashed', ended = ? WHERE tenant = ? AND job = ? AND status = 'running'",
                (run.started, run.tenant, run.job),
            )
            db.execute(
                "INSERT INTO runs (run_id, tenant, job, started, status, seq_before, host, pid, pid_start)"
                " VALUES (:run_id, :tenant, :job, :started, 'running',"
                "  (SELECT coalesce(max(seq), 0) FROM states WHERE tenant = :tenant AND job = :job), :host, :pid, :pid_start)",
                {name: getattr(run, name) for name in ("run_id", "tenant", "job", "started", "host", "pid", "pid_start")},
            )

    def finish_run(self, run: RunEntry) -> None:
        data = run.to_dict()
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

    def runs(self, job: JobKey | None, limit: int) -> list[RunEntry]:
        where, values = ("WHERE tenant = ? AND job = ?", tuple(job)) if job else ("", ())
        return self._runs(f"{where} ORDER BY started DESC, rowid DESC LIMIT ?", (*values, limit))

    def find_runs(self, prefix: str, limit: int) -> list[RunEntry]:
        return self._runs("WHERE substr(run_id, 1, length(?)) = ? LIMIT ?", (prefix, prefix, limit))

    def _runs(self, clause: str, values: Sequence[object]) -> list[RunEntry]:
        with self._reading() as db:
            rows = db.execute(f"SELECT {COLUMNS} FROM runs {clause}", tuple(values)).fetchall()
        return [run_of_row(dict(zip(COLUMNS.replace(" ", "").split(","), row, strict=True))) for row in rows]

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
    def _writing(self, *, synced: bool = False) -> Iterator[sqlite3.Connection]:
        try:
            db = self._open()
            db.execute(f"PRAGMA synchronous = {'FULL' if synced else 'NORMAL'}")
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
        if "readonly database" in str(error) or "unable to open" in str(error):
            return StateError(
                f"cannot use state store `{self.path}`: {error}",
                hint="let this user write to the file and its folder, or work in another one with `--project DIR`",
                facts={"path": str(self.path)},
            )
        corrupt = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
        hint = "move it away and run again: the targets keep the committed states, only the history is lost" if corrupt else None
        return StateError(f"cannot use state store `{self.path}`: {error}", hint=hint, facts={"path": str(self.path)})


def run_of_row(row: Mapping[str, Any]) -> RunEntry:
    """A run of a row of the columns `COLUMNS`; PostgreSQL has the same."""
    values = dict(row)
    values["error"] = None if values["error"] is None else json.loads(values["error"])
    values["streams"], values["attempts"] = json.loads(values["streams"]), json.loads(values["attempts"])
    return RunEntry(**values)
