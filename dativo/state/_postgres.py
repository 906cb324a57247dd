"""States in PostgreSQL: `postgresql://user@host/database`, in tables whose names begin with `dativo_`.

One row a job in `dativo_jobs` holds the numbers and the lease; every write of the job locks it first, so writers of one job are
put one after the other. Leases are rows and not session locks: those are lost behind a pooler, and kept by a process that hangs.
Their time is the server's.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dativo_protocols.errors import ConfigError, DativoError, StateError
from dativo_sdk import JobKey

from dativo.state._entries import Keep, KeptState, Origin, RunEntry
from dativo.state._lease import Holder, Lease, LeaseLostError
from dativo.state._location import Location
from dativo.state._sqlite import COLUMNS, run_of_row

if TYPE_CHECKING:
    import psycopg

__all__ = ["PostgresBackend"]

VERSION = 1
APPLICATION = "dativo"

TABLES = """
CREATE TABLE IF NOT EXISTS {0}dativo_store (version integer NOT NULL);
CREATE TABLE IF NOT EXISTS {0}dativo_jobs (
    tenant text NOT NULL, job text NOT NULL, seq bigint NOT NULL DEFAULT 0, token bigint NOT NULL DEFAULT 0, holder text,
    beat bigint NOT NULL DEFAULT 0, ttl double precision NOT NULL DEFAULT 0, renewed timestamptz, PRIMARY KEY (tenant, job)
);
CREATE TABLE IF NOT EXISTS {0}dativo_states (
    tenant text NOT NULL, job text NOT NULL, seq bigint NOT NULL, time double precision NOT NULL, run_id text,
    origin text NOT NULL, applied boolean NOT NULL DEFAULT false, state bytea, PRIMARY KEY (tenant, job, seq)
);
CREATE TABLE IF NOT EXISTS {0}dativo_runs (
    run_id text PRIMARY KEY, tenant text NOT NULL, job text NOT NULL, started double precision NOT NULL,
    ended double precision, status text NOT NULL, exit_code integer, error text, rows_in bigint NOT NULL DEFAULT 0,
    written bigint NOT NULL DEFAULT 0, quarantined bigint NOT NULL DEFAULT 0, commits bigint NOT NULL DEFAULT 0,
    streams text NOT NULL DEFAULT '[]', attempts text NOT NULL DEFAULT '[]', seq_before bigint, seq_after bigint,
    pid bigint NOT NULL, host text NOT NULL, pid_start text NOT NULL
);
CREATE INDEX IF NOT EXISTS dativo_runs_by_job ON {0}dativo_runs (tenant, job, started);
INSERT INTO {0}dativo_store SELECT {1} WHERE NOT EXISTS (SELECT FROM {0}dativo_store);
"""

MAKING = 0x6461_7469_766F
"""Of the advisory lock under which tables are made: `CREATE TABLE IF NOT EXISTS` alone fails when two do it at once."""

REFUSED = re.compile(
    r"authentication failed|no pg_hba\.conf entry|(role|database) .* does not exist|no password supplied|permission denied"
)
OURS_TO_MEND = ("28", "3D", "3F", "42501", "42P04", "0A")
"""SQLSTATE classes that do not go away by themselves: who may come in, what there is, what is allowed."""
PASSING = ("08", "40", "53", "55", "57", "58")
"""Those that may: connection, conflict, resources, locks, shutdown, the system below."""


class PostgresBackend:
    """A PostgreSQL database; the tables are made with the first write. It leases, by the server's clock.

    Args:
        location: Parameters of the connection are those of libpq, with its environment variables and password file; the option
            `schema` names one for the tables, made where it is not there. Left out, the user's search path decides.
    """

    def __init__(self, location: Location) -> None:
        try:
            import psycopg
        except ImportError as error:
            raise ConfigError(
                f"state store `{location.shown}` needs `{error.name or 'psycopg'}`, which is not installed",
                hint="pip install 'dativo[postgres]'",
            ) from error
        self._psycopg = psycopg
        self._location = location
        self.name = location.shown
        options = dict(location.options)
        self._schema = options.pop("schema", "")
        if self._schema and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", self._schema):
            raise ConfigError(
                f"state store `{self.name}`: `{self._schema}` is no name of a schema", hint="use letters, digits and `_`"
            )
        self._prefix = f'"{self._schema}".' if self._schema else ""
        self._options: dict[str, Any] = {
            "connect_timeout": "10",
            "keepalives_idle": "15",
            "keepalives_interval": "5",
            "keepalives_count": "3",
            "tcp_user_timeout": "30000",
            "application_name": APPLICATION,
            **options,
        }
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._made = False

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def exists(self) -> bool:
        with self._reading() as db:
            return db is not None

    def jobs(self) -> list[JobKey]:
        with self._reading() as db:
            if db is None:
                return []
            t = self._prefix
            rows = db.execute(f"SELECT tenant, job FROM {t}dativo_jobs UNION SELECT tenant, job FROM {t}dativo_runs")
            return sorted(JobKey(*row) for row in rows)

    def history(self, job: JobKey, limit: int) -> list[KeptState]:
        with self._reading() as db:
            if db is None:
                return []
            rows = db.execute(
                f"SELECT seq, time, run_id, origin, state, applied FROM {self._prefix}dativo_states"
                " WHERE tenant = %s AND job = %s ORDER BY seq DESC LIMIT %s",
                (*job, limit),
            ).fetchall()
        return [
            KeptState(seq, when, run_id, origin, None if state is None else bytes(state), applied)
            for seq, when, run_id, origin, state, applied in rows
        ]

    def append(
        self, job: JobKey, state: bytes | None, origin: Origin, run_id: str | None, *, keep: Keep, token: int | None
    ) -> KeptState:
        now, t = time.time(), self._prefix
        with self._writing(job, token) as db:
            (seq,) = _one(
                db.execute(f"UPDATE {t}dativo_jobs SET seq = seq + 1 WHERE tenant = %s AND job = %s RETURNING seq", job)
            )
            db.execute(
                f"INSERT INTO {t}dativo_states (tenant, job, seq, time, run_id, origin, state)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s)",
                (*job, seq, now, run_id, origin, state),
            )
            db.execute(
                f"DELETE FROM {t}dativo_states WHERE tenant = %(tenant)s AND job = %(job)s AND seq <= %(oldest)s AND seq NOT IN ("
                f" SELECT max(seq) FROM {t}dativo_states WHERE tenant = %(tenant)s AND job = %(job)s AND run_id IN ("
                f"  SELECT run_id FROM {t}dativo_runs WHERE tenant = %(tenant)s AND job = %(job)s"
                "   ORDER BY started DESC LIMIT %(runs)s) GROUP BY run_id)",
                {"tenant": job.tenant, "job": job.job, "oldest": seq - keep.states, "runs": keep.runs},
            )
        return KeptState(seq, now, run_id, origin, state)

    def mark_applied(self, job: JobKey, seq: int, *, token: int | None) -> None:
        with self._writing(job, token) as db:
            where = "WHERE tenant = %s AND job = %s AND seq = %s"
            db.execute(f"UPDATE {self._prefix}dativo_states SET applied = true {where}", (*job, seq))

    def begin_run(self, run: RunEntry, *, token: int | None) -> None:
        job, t = JobKey(run.tenant, run.job), self._prefix
        with self._writing(job, token) as db:
            db.execute(
                f"UPDATE {t}dativo_runs SET status = 'crashed', ended = %s WHERE tenant = %s AND job = %s AND status = 'running'",
                (run.started, *job),
            )
            db.execute(
                f"INSERT INTO {t}dativo_runs (run_id, tenant, job, started, status, seq_before, pid, host, pid_start)"
                f" SELECT %s, tenant, job, %s, 'running', seq, %s, %s, %s FROM {t}dativo_jobs WHERE tenant = %s AND job = %s",
                (run.run_id, run.started, run.pid, run.host, run.pid_start, *job),
            )

    def finish_run(self, run: RunEntry) -> None:
        job, t = JobKey(run.tenant, run.job), self._prefix
        error = None if run.error is None else json.dumps(run.error)
        values = {
            "ended": run.ended,
            "status": run.status,
            "exit_code": run.exit_code,
            "error": error,
            "rows_in": run.rows_in,
            "written": run.written,
            "quarantined": run.quarantined,
            "commits": run.commits,
            "streams": json.dumps(run.streams),
            "attempts": json.dumps(run.attempts),
        }
        with self._writing(job, None) as db:
            db.execute(
                f"UPDATE {t}dativo_runs SET {', '.join(f'{name} = %s' for name in values)},"
                f" seq_after = (SELECT seq FROM {t}dativo_jobs WHERE tenant = %s AND job = %s) WHERE run_id = %s",
                (*values.values(), *job, run.run_id),
            )

    def runs(self, job: JobKey | None, limit: int) -> list[RunEntry]:
        where, values = ("WHERE tenant = %s AND job = %s", tuple(job)) if job else ("", ())
        return self._runs(f"{where} ORDER BY started DESC, run_id DESC LIMIT %s", (*values, limit))

    def find_runs(self, prefix: str, limit: int) -> list[RunEntry]:
        return self._runs("WHERE starts_with(run_id, %s) LIMIT %s", (prefix, limit))

    def read_lease(self, job: JobKey) -> Lease | None:
        with self._reading() as db:
            if db is None:
                return None
            row = db.execute(
                "SELECT token, holder, beat, ttl, extract(epoch FROM clock_timestamp() - renewed)::double precision"
                f" FROM {self._prefix}dativo_jobs WHERE tenant = %s AND job = %s AND holder IS NOT NULL",
                tuple(job),
            ).fetchone()
        if row is None:
            return None
        token, holder, beat, ttl, age = row
        return Lease(token, Holder.from_dict(json.loads(holder)), beat, ttl, age)

    def take_lease(self, job: JobKey, seen: Lease | None, holder: Holder, ttl: float) -> int | None:
        same = "holder IS NULL" if seen is None else "holder IS NOT NULL AND token = %(token)s AND beat = %(beat)s"
        values = {
            "tenant": job.tenant,
            "job": job.job,
            "holder": json.dumps(holder.to_dict()),
            "ttl": ttl,
            "token": None if seen is None else seen.token,
            "beat": None if seen is None else seen.beat,
        }
        with self._writing(job, None) as db:
            row = db.execute(
                f"UPDATE {self._prefix}dativo_jobs SET token = token + 1, holder = %(holder)s, beat = 1, ttl = %(ttl)s,"
                f" renewed = clock_timestamp() WHERE tenant = %(tenant)s AND job = %(job)s AND {same} RETURNING token",
                values,
            ).fetchone()
        return None if row is None else int(row[0])

    def renew_lease(self, job: JobKey, token: int) -> None:
        with self._writing(job, token) as db:
            where = "WHERE tenant = %s AND job = %s"
            db.execute(f"UPDATE {self._prefix}dativo_jobs SET beat = beat + 1, renewed = clock_timestamp() {where}", tuple(job))

    def release_lease(self, job: JobKey, token: int) -> None:
        with self._writing(job, None) as db:
            where = "WHERE tenant = %s AND job = %s AND token = %s"
            db.execute(f"UPDATE {self._prefix}dativo_jobs SET holder = NULL {where}", (*job, token))

    def _runs(self, clause: str, values: Sequence[object]) -> list[RunEntry]:
        with self._reading() as db:
            if db is None:
                return []
            rows = db.execute(f"SELECT {COLUMNS} FROM {self._prefix}dativo_runs {clause}", tuple(values)).fetchall()
        return [run_of_row(dict(zip(COLUMNS.replace(" ", "").split(","), row, strict=True))) for row in rows]

    @contextmanager
    def _reading(self) -> Iterator[psycopg.Connection[tuple[Any, ...]] | None]:
        """A transaction that sees one instant; None where there are no tables yet."""
        with self._transaction("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY") as db:
            yield db if self._made or self._has_tables(db) else None

    @contextmanager
    def _writing(self, job: JobKey, token: int | None) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """A transaction that holds the job's row, after looking at the token."""
        t = self._prefix
        with self._transaction("BEGIN; SET LOCAL lock_timeout = '30s'") as db:
            if not self._made and not self._has_tables(db):
                db.execute("SELECT pg_advisory_xact_lock(%s)", (MAKING,))
                if self._schema:
                    db.execute(f'CREATE SCHEMA IF NOT EXISTS "{self._schema}"')
                for statement in TABLES.format(t, VERSION).split(";\n"):
                    if statement.strip():
                        db.execute(statement)
            db.execute(f"INSERT INTO {t}dativo_jobs (tenant, job) VALUES (%s, %s) ON CONFLICT DO NOTHING", tuple(job))
            row = db.execute(
                f"SELECT token, holder FROM {t}dativo_jobs WHERE tenant = %s AND job = %s FOR UPDATE", job
            ).fetchone()
            if token is not None and (row is None or row[0] != token or row[1] is None):
                raise LeaseLostError(job)
            yield db
        self._made = True

    def _has_tables(self, db: psycopg.Connection[tuple[Any, ...]]) -> bool:
        (found,) = _one(db.execute("SELECT to_regclass(%s) IS NOT NULL", (f"{self._prefix}dativo_store",)))
        if not found:
            return False
        version = _one(db.execute(f"SELECT max(version) FROM {self._prefix}dativo_store"))[0]
        if version is None or version > VERSION:
            raise StateError(
                f"state store `{self.name}` has version {version}, this Dativo knows version {VERSION}", hint="upgrade Dativo"
            )
        self._made = True
        return True

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        try:
            db = self._begun(begin)
            try:
                yield db
            except BaseException:
                if not db.closed:
                    db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")
        except self._psycopg.Error as error:
            self.close()
            raise self._refused(error) from None

    def _begun(self, begin: str) -> psycopg.Connection[tuple[Any, ...]]:
        if self._connection is not None:
            try:
                self._connection.execute(begin)
            except self._psycopg.OperationalError:
                # The server was restarted, or something between cut an idle connection: nothing was asked of it yet.
                self.close()
            else:
                return self._connection
        connection = self._psycopg.connect(self._location.uri, autocommit=True, prepare_threshold=None, **self._options)
        self._connection = connection
        connection.execute(begin)
        return connection

    def _refused(self, error: psycopg.Error) -> DativoError:
        state = error.sqlstate or ""
        text = self._location.masked(" ".join(str(error).split()))[:400]
        if state.startswith(OURS_TO_MEND) or (not state and REFUSED.search(text)):
            return ConfigError(
                f"state store `{self.name}` refuses access: {text}",
                hint="look at user, password and database, and at the user's right to make tables there",
            )
        passing = not state or state.startswith(PASSING)
        what = "cannot reach" if not state and passing else "cannot use"
        damaged = state.startswith(("42", "XX"))
        hint = "drop the tables `dativo_…` and run again: the targets keep the committed states, only the history is lost"
        return StateError(f"{what} state store `{self.name}`: {text}", hint=hint if damaged else None, retryable=passing)


def _one(cursor: psycopg.Cursor[tuple[Any, ...]]) -> tuple[Any, ...]:
    row = cursor.fetchone()
    if row is None:
        raise StateError("the state store lost a row while it was locked")
    return row
