"""Dativo's own tables in the schema: states, and which table and column belongs to which stream and property."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa
from dativo_protocols import StreamId
from dativo_protocols.errors import ContractError, TargetError
from dativo_sdk import JobKey

from dativo._evolution import type_text
from dativo.targets.postgres._catalog import relations
from dativo.targets.postgres._connection import Connection
from dativo.targets.postgres._failure import LOCKED
from dativo.targets.postgres._types import quoted

__all__ = ["KeptTable", "Ledger", "kept_text"]

_TABLES = {
    "_dativo_state": (
        "tenant text, job text, state bytea, run_id text, committed_at timestamptz, commit_id text, generation bigint NOT NULL, "
        "PRIMARY KEY (tenant, job)"
    ),
    "_dativo_tables": (
        "stream_namespace text, stream_name text NOT NULL, table_name text PRIMARY KEY, quarantine_name text UNIQUE"
    ),
    "_dativo_columns": (
        "table_name text, original_name text NOT NULL, column_name text, arrow_type text, PRIMARY KEY (table_name, column_name)"
    ),
}
_STREAM = "md5(stream_name), md5(coalesce('.' || stream_namespace, ''))"


@dataclass(slots=True)
class KeptTable:
    """What is kept about a stream's table: its name, its quarantine's, and original to safe column names."""

    name: str
    quarantine: str | None = None
    columns: dict[str, str] = field(default_factory=dict)


def kept_text(name: str) -> str:
    """The name as a text column can hold it: as it is, or, for the few with a character 0, as a JSON string."""
    return json.dumps(name, ensure_ascii=False) if "\0" in name or name.startswith('"') else name


def _original(kept: str) -> str:
    return str(json.loads(kept)) if kept.startswith('"') else kept


class Ledger:
    """What the database knows about states and names.

    Attributes:
        tables: By stream, as committed, and as `keep` has changed them since.
        state: Of the job's last commit.
    """

    def __init__(self, connection: Connection, job: JobKey, run_id: str) -> None:
        self.tables: dict[StreamId, KeptTable] = {}
        self.state: bytes | None = None
        self._connection = connection
        self._job = job
        self._run_id = run_id
        self._commits = 0
        self._generation = 0
        self._changed: dict[StreamId, dict[str, str]] = {}

    def open(self) -> None:
        """Makes what is missing, and begins a new generation of the job: no older run of it can commit from here on.

        Waits for a commit of an older run that is under way, and so sees what became of it.
        """
        connection, action = self._connection, f"open schema `{self._connection.schema}`"
        connection.begin()
        # Two sessions that make the same table at once do not wait for one another by themselves.
        connection.rows(
            "SELECT CAST(pg_advisory_xact_lock(hashtext('dativo'), hashtext($1)) AS text)", action, [connection.schema]
        )
        missing = [name for name in _TABLES if name not in relations(connection)]
        if missing:
            schemas = connection.rows("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1", action, [connection.schema])
            if not schemas:
                connection.run(f"CREATE SCHEMA {quoted(connection.schema)}", action)
            for name in missing:
                connection.run(f"CREATE TABLE {connection.name(name)} ({_TABLES[name]})", action)
            tables = connection.name("_dativo_tables")
            connection.run(f"CREATE UNIQUE INDEX IF NOT EXISTS _dativo_one_table ON {tables} ({_STREAM})", action)
        connection.commit()
        sql = (
            f"INSERT INTO {connection.name('_dativo_state')} AS kept (tenant, job, generation) VALUES ($1, $2, 1) "
            "ON CONFLICT (tenant, job) DO UPDATE SET generation = kept.generation + 1"
        )
        connection.begin()
        try:
            connection.run(sql, "begin a run", self._job)
        except TargetError as error:
            if error.facts.get("sqlstate") != LOCKED:
                raise
            raise TargetError(
                f"another run of job `{self._job}` is committing, and has not ended within the time that locks are waited for",
                hint="wait until it is done, or raise `lock_timeout_seconds` in the target's configuration",
                retryable=True,
                facts=error.facts,
            ) from error
        self._read_state()
        connection.commit()
        self._read_tables()

    def look(self) -> None:
        """Reads what is there, and changes nothing."""
        there = relations(self._connection)
        if "_dativo_state" in there:
            self._read_state()
        if "_dativo_tables" in there:
            self._read_tables()

    def keep(self, stream: StreamId, kept: KeptTable, schema: pa.Schema | None) -> None:
        """Notes what the next commit writes about a table.

        Args:
            schema: Its columns, or None when only a quarantine exists.
        """
        self.tables[stream] = kept
        self._changed[stream] = {} if schema is None else {column.name: type_text(column) for column in schema}

    def fence(self) -> None:
        """Lets no other session commit to this job, or open it, until the open transaction ends.

        Raises:
            TargetError: A newer run of the job has begun. Worth another run, but no other attempt of this one: the two would
                fence each other for ever.
        """
        table = self._connection.name("_dativo_state")
        own = "tenant = $1 AND job = $2 AND generation = $3"
        values = [*self._job, self._generation]
        if self._connection.run(f"UPDATE {table} SET run_id = run_id WHERE {own}", "lock the job's state", values) != 1:
            raise TargetError(
                f"a newer run of job `{self._job}` has begun: this one can commit no more",
                hint="wait until it is done",
                retryable=True,
                again=False,
                facts={"job": str(self._job), "database": self._connection.place.name},
            )

    def write_names(self) -> None:
        """Writes what was kept since the last commit into the open transaction."""
        if not self._changed:
            return
        tables = [
            {
                "space": None if space is None else kept_text(space),
                "stream": kept_text(name),
                "name": kept.name,
                "rejects": kept.quarantine,
            }
            for (name, space), kept in ((stream, self.tables[stream]) for stream in self._changed)
        ]
        columns: list[dict[str, str | None]] = [
            {"name": self.tables[stream].name, "original": kept_text(original), "col": column, "type": types.get(column)}
            for stream, types in self._changed.items()
            for original, column in self.tables[stream].columns.items()
        ]
        try:
            self._write_tables(tables)
            self._write_columns(columns)
        except ContractError as error:
            raise self._clash() from error

    def _write_tables(self, tables: list[dict[str, str | None]]) -> None:
        written = self._connection.run(
            f"INSERT INTO {self._connection.name('_dativo_tables')} AS kept "
            "(stream_namespace, stream_name, table_name, quarantine_name) SELECT space, stream, name, rejects "
            "FROM json_to_recordset($1::text::json) AS given (space text, stream text, name text, rejects text) "
            f"ON CONFLICT ({_STREAM}) DO UPDATE SET quarantine_name = coalesce(excluded.quarantine_name, kept.quarantine_name) "
            "WHERE kept.table_name = excluded.table_name "
            "AND coalesce(kept.quarantine_name = excluded.quarantine_name, true)",
            "write the names of tables",
            [json.dumps(tables)],
        )
        if written != len(tables):
            raise self._clash()

    def _write_columns(self, columns: list[dict[str, str | None]]) -> None:
        own = self._connection.name("_dativo_columns")
        self._connection.run(
            f"INSERT INTO {own} AS kept (table_name, original_name, column_name, arrow_type) "
            "SELECT name, original, col, type FROM json_to_recordset($1::text::json) "
            "AS given (name text, original text, col text, type text) "
            "ON CONFLICT (table_name, column_name) DO UPDATE SET arrow_type = excluded.arrow_type "
            "WHERE kept.arrow_type IS DISTINCT FROM excluded.arrow_type",
            "write the names of columns",
            [json.dumps(columns)],
        )

    def _clash(self) -> TargetError:
        """Names are chosen when a stream comes, and settled when it is committed: another job was faster."""
        return TargetError(
            f"another job has just given a name that job `{self._job}` needs",
            hint="run again: the names are settled now",
            retryable=True,
            facts={"job": str(self._job), "database": self._connection.place.name},
        )

    def write_state(self, state: bytes | None) -> str:
        """Writes the state, or keeps the one before when it is None, into the open transaction; gives the commit's id."""
        commit_id = f"{self._run_id}-{self._commits + 1}"
        values: list[str | bytes] = [*self._job, self._run_id, commit_id]
        changed = ""
        if state is not None:
            values.append(state)
            changed = "state = $5, "
        self._connection.run(
            f"UPDATE {self._connection.name('_dativo_state')} SET {changed}run_id = $3, committed_at = now(), commit_id = $4 "
            "WHERE tenant = $1 AND job = $2",
            "write the job's state",
            values,
        )
        return commit_id

    def committed(self, state: bytes | None) -> None:
        """What was written is durable."""
        self._commits += 1
        self.state = self.state if state is None else state
        self._changed.clear()

    def names(self) -> Mapping[StreamId, str]:
        """Tables by stream."""
        return {stream: kept.name for stream, kept in self.tables.items()}

    def _read_state(self) -> None:
        query = f"SELECT state, generation FROM {self._connection.name('_dativo_state')} WHERE tenant = $1 AND job = $2"
        for state, generation in self._connection.rows(query, "read the state", self._job):
            self.state, self._generation = state, generation

    def _read_tables(self) -> None:
        rows, name, action = self._connection.rows, self._connection.name, "read the names of tables and columns"
        query = f"SELECT stream_namespace, stream_name, table_name, quarantine_name FROM {name('_dativo_tables')}"
        for namespace, stream, table, quarantine in rows(query, action):
            found = StreamId(_original(stream), None if namespace is None else _original(namespace))
            self.tables[found] = KeptTable(table, quarantine)
        by_table = {kept.name: kept for kept in self.tables.values()}
        query = f"SELECT table_name, original_name, column_name FROM {name('_dativo_columns')}"
        for table, original, column in rows(query, action):
            if table in by_table:
                by_table[table].columns[_original(original)] = column
