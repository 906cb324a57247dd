"""Dativo's own tables in the database: states, and which table and column belongs to which stream and property."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
from dativo_protocols import StreamId
from dativo_sdk import JobKey

from dativo._evolution import type_text
from dativo.targets.duckdb._database import BATCHES, Database
from dativo.targets.duckdb._failure import failures

__all__ = ["KeptTable", "Ledger"]

_TABLES = {
    "_dativo_state": "tenant VARCHAR, job VARCHAR, state BLOB, run_id VARCHAR, committed_at TIMESTAMPTZ, commit_id VARCHAR",
    "_dativo_tables": "stream_namespace VARCHAR, stream_name VARCHAR, table_name VARCHAR, quarantine_name VARCHAR",
    "_dativo_columns": "table_name VARCHAR, original_name VARCHAR, column_name VARCHAR, arrow_type VARCHAR",
}


@dataclass(slots=True)
class KeptTable:
    """What is kept about a stream's table: its name, its quarantine's, and original to safe column names."""

    name: str
    quarantine: str | None = None
    columns: dict[str, str] = field(default_factory=dict)


class Ledger:
    """What the database knows about states and names. Writes go into the open transaction.

    Attributes:
        has_committed: Whether the job ever committed anything, be it without a state.
        at: The moment of the job's last commit, in microseconds since 1970 UTC: later ones are not before it, also when the clock
            has been set back.
    """

    def __init__(self, database: Database, job: JobKey, run_id: str) -> None:
        self.tables: dict[StreamId, KeptTable] = {}
        self.state: bytes | None = None
        self.has_committed = False
        self.at = 0
        self._database = database
        self._job = job
        self._run_id = run_id
        self._commits = 0
        self._changed: dict[StreamId, dict[str, str]] = {}
        self._made = False

    def load(self) -> None:
        """Reads everything as it was committed."""
        present = self._database.relations().keys() & _TABLES.keys()
        with failures(self._database.path, "read Dativo's own tables"):
            if "_dativo_state" in present:
                where = f"FROM {self._database.table('_dativo_state')} WHERE tenant = ? AND job = ?"
                for state, at in self._database.run(f"SELECT state, epoch_us(committed_at) {where}", self._job):
                    self.state = None if state is None else bytes(state)
                    self.at = at
                    self.has_committed = True
            if "_dativo_tables" in present:
                for namespace, name, table, quarantine in self._database.run(f"FROM {self._database.table('_dativo_tables')}"):
                    self.tables[StreamId(name, namespace)] = KeptTable(table, quarantine)
            if "_dativo_columns" in present:
                by_table = {kept.name: kept for kept in self.tables.values()}
                query = f"SELECT table_name, original_name, column_name FROM {self._database.table('_dativo_columns')}"
                for table, original, column in self._database.run(query):
                    if table in by_table:
                        by_table[table].columns[original] = column
        self._made = present == _TABLES.keys()

    def keep(self, stream: StreamId, kept: KeptTable, schema: pa.Schema | None) -> None:
        """Notes what the next commit writes about a table.

        Args:
            schema: Its columns, or None when only a quarantine exists.
        """
        self.tables[stream] = kept
        self._changed[stream] = {} if schema is None else {column.name: type_text(column) for column in schema}

    def commit(self, state: bytes | None) -> str:
        """Writes the state, or keeps the one before when it is None; gives the commit's id."""
        self._commits += 1
        commit_id = f"{self._run_id}-{self._commits}"
        self.state = self.state if state is None else state
        table = self._database.table("_dativo_state")
        self.at = self.now()
        with failures(self._database.path, "write Dativo's own tables"):
            self._make()
            self._write_tables()
            self._database.run(f"DELETE FROM {table} WHERE tenant = ? AND job = ?", self._job)
            values = [*self._job, self.state, self._run_id, self.at, commit_id]
            self._database.run(f"INSERT INTO {table} VALUES (?, ?, ?, ?, make_timestamptz(?), ?)", values)
        return commit_id

    def now(self) -> int:
        """The moment of the next commit; see `at`."""
        return max(time.time_ns() // 1000, self.at)

    def names(self) -> Mapping[StreamId, str]:
        """Tables by stream."""
        return {stream: kept.name for stream, kept in self.tables.items()}

    def _write_tables(self) -> None:
        if not self._changed:
            return
        tables = [(*reversed(stream), self.tables[stream].name, self.tables[stream].quarantine) for stream in self._changed]
        columns = [
            (self.tables[stream].name, original, column, types.get(column))
            for stream, types in self._changed.items()
            if types
            for original, column in self.tables[stream].columns.items()
        ]
        self._replace("_dativo_tables", ("stream_namespace", "stream_name", "table_name", "quarantine_name"), tables)
        self._replace("_dativo_columns", ("table_name", "original_name", "column_name", "arrow_type"), columns)
        self._changed.clear()

    def _replace(self, table: str, names: tuple[str, ...], rows: Sequence[tuple[str | None, ...]]) -> None:
        """Writes rows in the place of all rows of the same tables."""
        arrays = [pa.array([row[index] for row in rows], pa.utf8()) for index in range(len(names))]
        data = pa.table(arrays, names=list(names))
        own = self._database.table(table)
        statements = [
            f"DELETE FROM {own} WHERE table_name IN (SELECT table_name FROM {BATCHES})",
            f"INSERT INTO {own} BY NAME SELECT * FROM {BATCHES}",
        ]
        self._database.run_over(data, statements, table)

    def _make(self) -> None:
        if self._made:
            return
        for name, columns in _TABLES.items():
            self._database.run(f"CREATE TABLE IF NOT EXISTS {self._database.table(name)} ({columns})")
        self._made = True
