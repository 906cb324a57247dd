"""The writer: rows are staged, then one transaction for all that a commit covers, its state included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import pyarrow as pa
from dativo_protocols import Batch, Rejects, StreamId
from dativo_protocols.errors import TargetError
from dativo_sdk import ConfiguredStream, Inspection, JobKey, Receipt, Refusal, WriteCatalog, WriteMode

from dativo._faults import fault_point
from dativo._names import quarantine_name, table_names
from dativo.targets.postgres._catalog import RELATIONS, Relation, describe, relations
from dativo.targets.postgres._config import PostgresConfig
from dativo.targets.postgres._connection import Connection
from dativo.targets.postgres._inspection import inspect
from dativo.targets.postgres._ledger import KeptTable, Ledger
from dativo.targets.postgres._rejects import (
    QUARANTINE_COLUMNS,
    QUARANTINE_ID,
    count_rejects,
    quarantine_rows,
    read_rejects,
    remove_rejects,
)
from dativo.targets.postgres._stream_table import StreamTable

__all__ = ["PostgresWriter"]

# What is in memory at a commit goes straight into the table; the rest takes the way through a temporary one, twice the work.
_BUFFERED_BYTES = 32 << 20


class PostgresWriter:
    """A `Writer` of tables in one schema of a PostgreSQL database, with all optional powers.

    An error ends the writer: what is staged is lost, and every further call raises the same error.
    """

    write_modes: ClassVar[frozenset[WriteMode]] = frozenset({"append", "append_dedup", "overwrite", "merge", "scd2"})
    refuses: ClassVar[frozenset[Refusal]] = frozenset({"nul"})

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._tables: dict[StreamId, StreamTable] = {}
        self._quarantines: dict[StreamId, StreamTable] = {}
        self._relations: dict[str, str] = {}
        self._names: dict[StreamId, str] = {}
        self._removed: dict[StreamId, list[str]] = {}
        self._error: Exception | None = None

    def initialize(self, config: Mapping[str, Any], catalog: WriteCatalog) -> bytes | None:
        """Connects, and begins a new generation of the job, so that older runs of it can commit no more; see `Writer.initialize`.

        Raises:
            ConfigError: A wrong configuration, user or database, or the driver is not installed.
            TargetError: The server cannot be reached (retryable), or does not allow what is needed.
        """
        parsed = PostgresConfig.parse(config)
        self._catalog = catalog
        self._connection = Connection(parsed)
        self._ledger = Ledger(self._connection, catalog.job, catalog.run_id)
        try:
            self._ledger.open()
            self._relations = relations(self._connection)
        except BaseException:
            self.close()
            raise
        return self._ledger.state

    def get_schema(self, stream: StreamId) -> pa.Schema | None:
        """The columns of the stream's table as they are committed; see `Writer.get_schema`."""
        with self._working() as connection:
            if stream in self._tables:
                return self._tables[stream].current
            name = self._table_name(stream)
            found = describe(connection, [name]).get(name)
            return found.schema if found is not None and found.is_table else None

    def write_batch(self, batch: Batch) -> None:
        """Stages a batch; see `Writer.write_batch`."""
        data = pa.record_batch(batch.data)
        with self._working() as connection:
            table = self._tables.get(batch.stream) or self._open_table(connection, batch.stream)
            table.accept(data, batch.nbytes)
            self._relieve()

    def write_rejects(self, rejects: Rejects) -> None:
        """Stages rejected rows; see `Quarantining`."""
        with self._working() as connection:
            table = self._quarantines.get(rejects.stream) or self._open_quarantine(connection, rejects.stream)
            rows = quarantine_rows(rejects, self._catalog.run_id)
            table.accept(rows, rows.nbytes)
            self._relieve()

    def activate_version(self, stream: StreamId, version: int) -> None:
        """Stages the removal of older versions; see `Versioning`."""
        with self._working() as connection:
            table = self._tables.get(stream) or self._open_table(connection, stream)
            table.activate(version)

    def count_rows(self, stream: StreamId) -> int | None:
        """Committed rows of the stream's table, counted exactly; see `Counting`."""
        with self._working() as connection:
            name = self._table_name(stream)
            found = describe(connection, [name]).get(name)
            if found is None or not found.is_table:
                return None
            ((count,),) = connection.rows(f"SELECT count(*) FROM {connection.name(name)}", f"count the rows of `{name}`")
            return int(count)

    def column_names(self, stream: StreamId) -> Mapping[str, str]:
        """Original to table column names, as committed; see `Naming`."""
        with self._working() as connection:
            kept = self._ledger.tables.get(stream)
            found = None if kept is None else describe(connection, [kept.name]).get(kept.name)
            if kept is None or found is None:
                return {}
            return {original: column for original, column in kept.columns.items() if column in found.schema.names}

    def inspect(self, config: Mapping[str, Any], job: JobKey, streams: Sequence[StreamId]) -> Inspection:
        """What is there, read in one read-only transaction; see `Inspecting`."""
        return inspect(PostgresConfig.parse(config), job, streams)

    def rejected(self) -> Mapping[StreamId, int]:
        """Committed quarantined rows by stream; see `Replaying`."""
        with self._working() as connection:
            names = {stream: kept.quarantine for stream, kept in self._ledger.tables.items() if kept.quarantine}
            there = describe(connection, names.values())
            counts = {stream: count_rejects(connection, name) for stream, name in names.items() if name in there}
            return {stream: count for stream, count in counts.items() if count}

    def read_rejects(self, stream: StreamId) -> Iterator[pa.RecordBatch]:
        """The stream's committed quarantined rows; see `Replaying`."""
        with self._working() as connection:
            kept = self._ledger.tables.get(stream)
            if kept is not None and kept.quarantine in describe(connection, [kept.quarantine or ""]):
                yield from read_rejects(connection, kept.quarantine)

    def remove_rejects(self, stream: StreamId, ids: Sequence[str]) -> None:
        """Stages that rows leave the quarantine; see `Replaying`."""
        with self._working():
            self._removed.setdefault(stream, []).extend(ids)

    def commit(self, state: bytes | None, *, final: bool = False) -> Receipt:
        """Commits one transaction with all that is staged, and the state in it; see `Writer.commit`."""
        with self._working() as connection:
            tables = [
                table for table in (*self._tables.values(), *self._quarantines.values()) if final or table.mode != "overwrite"
            ]
            # In one order for all jobs, so that two that write to the same tables wait, and do not block each other.
            touched = sorted((table for table in tables if table.is_touched), key=lambda table: table.name)
            for table in touched:
                table.stage()
            fault_point("postgres.staged")
            connection.begin()
            self._ledger.fence()
            self._check_unchanged(connection, touched)
            for table in touched:
                table.swap() if table.mode == "overwrite" else table.settle()
            self._remove_rejects(connection, final=final)
            fault_point("postgres.merged")
            for table in self._tables.values():
                if table in touched and (table.changes or table.renamed):
                    self._keep(table.id)
            self._ledger.write_names()
            commit_id = self._ledger.write_state(state)
            fault_point("postgres.state_written")
            found = describe(connection, (table.name for table in touched))
            fault_point("postgres.before_commit")
            connection.commit()
            fault_point("postgres.committed")
            self._ledger.committed(state)
            receipt = Receipt(
                {
                    stream: table.rows
                    for stream, table in self._tables.items()
                    if table in tables and (table.rows or table.announced)
                },
                {stream: table.rows for stream, table in self._quarantines.items() if table in tables and table.rows},
                tuple(change for table in self._tables.values() if table in tables for change in table.changes),
                commit_id,
            )
            for table in tables:
                table.committed(found.get(table.name, table.relation))
            return receipt

    def close(self) -> None:
        """Drops what is staged, and ends the connection; see `Writer.close`."""
        self._tables.clear()
        self._quarantines.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    @contextmanager
    def _working(self) -> Iterator[Connection]:
        """The open connection. An error in the block ends the transaction and the writer."""
        if self._error is not None:
            raise self._error
        if self._connection is None:
            raise TargetError("the target is not open")
        try:
            yield self._connection
        except Exception as error:
            self._error = error
            if self._connection is not None:
                self._connection.rollback()
            raise

    def _open_table(self, connection: Connection, stream: StreamId) -> StreamTable:
        configured = self._catalog.streams.get(stream) or ConfiguredStream(stream)
        name = self._table_name(stream)
        kept = self._ledger.tables.get(stream)
        columns = {} if kept is None else kept.columns
        relation = self._found(connection, name)
        table = StreamTable(connection, configured, name, columns, relation, serial=self._serial())
        self._tables[stream] = table
        self._relations[name] = "r"
        return table

    def _open_quarantine(self, connection: Connection, stream: StreamId) -> StreamTable:
        name = self._table_name(stream)
        kept = self._ledger.tables.get(stream)
        quarantine = None if kept is None else kept.quarantine
        if quarantine is None:
            taken = {*self._relations, *self._ledger.names().values(), *self._names.values()}
            quarantine = quarantine_name(name, taken)
            self._keep(stream, quarantine)
        mode = self._catalog.streams[stream].write_mode if stream in self._catalog.streams else "append"
        configured = ConfiguredStream(stream, "overwrite" if mode == "overwrite" else "append")
        relation = self._found(connection, quarantine)
        table = StreamTable(
            connection, configured, quarantine, QUARANTINE_COLUMNS, relation, serial=self._serial(), extra_sql=QUARANTINE_ID
        )
        self._quarantines[stream] = table
        self._relations[quarantine] = "r"
        return table

    def _found(self, connection: Connection, name: str) -> Relation | None:
        """The relation, looked up only where there was one when the run began: the commit finds out whether that still holds."""
        return describe(connection, [name]).get(name) if name in self._relations else None

    def _serial(self) -> int:
        return len(self._tables) + len(self._quarantines)

    def _table_name(self, stream: StreamId) -> str:
        """The stream's table: the kept one; else one that is there under the stream's name; else a new one."""
        kept = self._ledger.tables.get(stream)
        if kept is not None:
            return kept.name
        if stream not in self._names:
            quarantines = [kept.quarantine for kept in self._ledger.tables.values() if kept.quarantine]
            # Whatever is no table or view, an index for example, is in the way of a table's name.
            blocked = [name for name, kind in self._relations.items() if kind not in RELATIONS]
            reserved = [*quarantines, *blocked]
            named = table_names([*self._catalog.streams, stream], {**self._ledger.names(), **self._names}, reserved)
            there = {name.casefold(): name for name, kind in self._relations.items() if kind in RELATIONS}
            self._names |= {
                each: name if name in self._relations else there.get(name.casefold(), name) for each, name in named.items()
            }
        return self._names[stream]

    def _keep(self, stream: StreamId, quarantine: str | None = None) -> None:
        kept = self._ledger.tables.get(stream)
        table = self._tables.get(stream)
        columns = dict(table.columns) if table is not None else {} if kept is None else kept.columns
        known = quarantine or (None if kept is None else kept.quarantine)
        self._ledger.keep(stream, KeptTable(self._table_name(stream), known, columns), None if table is None else table.schema)

    def _relieve(self) -> None:
        """Keeps what all streams have in memory within bounds, the largest first."""
        tables = [*self._tables.values(), *self._quarantines.values()]
        sizes = {id(table): table.buffered_bytes for table in tables}
        total = sum(sizes.values())
        for table in sorted(tables, key=lambda table: -sizes[id(table)]) if total > _BUFFERED_BYTES else ():
            total -= sizes[id(table)]
            table.spill()
            if total <= _BUFFERED_BYTES // 2:
                break

    def _check_unchanged(self, connection: Connection, tables: Sequence[StreamTable]) -> None:
        """What was staged was fitted to the tables as they were found."""
        there = describe(connection, (table.name for table in tables))
        for table in tables:
            if there.get(table.name) != table.relation:
                raise TargetError(
                    f"somebody has changed table `{table.name}` while rows for it were staged",
                    hint="run again: it goes on from the last commit",
                    retryable=True,
                    facts={"stream": str(table.id), "table": table.name},
                )

    def _remove_rejects(self, connection: Connection, *, final: bool) -> None:
        """Rows that a replay has loaded; and those that an overwriting run without rejected rows has left behind."""
        for stream, ids in self._removed.items():
            kept = self._ledger.tables.get(stream)
            count = remove_rejects(connection, kept.quarantine, ids) if kept is not None and kept.quarantine else 0
            if count != len(set(ids)):
                raise TargetError(
                    f"{len(set(ids)) - count} rows are not in the quarantine of stream `{stream}`",
                    hint="somebody has replayed or removed them: look with `dativo quarantine list`",
                    facts={"stream": str(stream)},
                )
        self._removed = {}
        for stream, table in self._tables.items() if final else ():
            kept = self._ledger.tables.get(stream)
            if table.mode != "overwrite" or not table.is_touched or stream in self._quarantines or kept is None:
                continue
            for name in describe(connection, [kept.quarantine or ""]):
                connection.run(f"DELETE FROM {connection.name(name)}", f"empty `{name}`", stream=stream)
