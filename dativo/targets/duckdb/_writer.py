"""The writer: one transaction for all that a commit covers, its state included."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import pyarrow as pa
from dativo_protocols import Batch, Rejects, StreamId
from dativo_protocols.errors import TargetError
from dativo_sdk import ConfiguredStream, Inspection, JobKey, Receipt, WriteCatalog, WriteMode

from dativo._faults import fault_point
from dativo._names import quarantine_name, table_names
from dativo.targets.duckdb._config import DuckDBConfig
from dativo.targets.duckdb._database import Database
from dativo.targets.duckdb._failure import failures
from dativo.targets.duckdb._inspection import count, inspect
from dativo.targets.duckdb._ledger import KeptTable, Ledger
from dativo.targets.duckdb._rejects import (
    QUARANTINE_COLUMNS,
    give_ids,
    quarantine_rows,
    read_rejects,
    remove_rejects,
)
from dativo.targets.duckdb._stream_table import StreamTable, shadow_prefix

__all__ = ["DuckDBWriter"]

_BUFFERED_BYTES = 16 << 20


class DuckDBWriter:
    """A `Writer` of tables in one DuckDB file, in all write modes.

    `Quarantining`, `Versioning`, `Counting`, `Naming`, `Inspecting`, `Replaying`.

    Everything between two commits is one transaction. An error ends it: what is staged is lost, and every further call raises the
    same error.
    """

    write_modes: ClassVar[frozenset[WriteMode]] = frozenset({"append", "append_dedup", "overwrite", "merge", "scd2"})

    def __init__(self) -> None:
        self._database: Database | None = None
        self._tables: dict[StreamId, StreamTable] = {}
        self._quarantines: dict[StreamId, StreamTable] = {}
        self._relations: dict[str, str] = {}
        self._names: dict[StreamId, str] = {}
        self._removed: dict[StreamId, list[str]] = {}
        self._ids = _row_ids()
        self._error: Exception | None = None

    def initialize(self, config: Mapping[str, Any], catalog: WriteCatalog) -> bytes | None:
        """Opens the file at `path`; see `Writer.initialize`. One that is not there is made when something is written.

        Raises:
            ConfigError: A wrong configuration, or `duckdb` is not installed.
            TargetError: The file cannot be opened; retryable when another process has it open.
        """
        parsed = DuckDBConfig.parse(config)
        self._catalog = catalog
        self._database = Database(parsed)
        self._ledger = Ledger(self._database, catalog.job, catalog.run_id)
        if self._database.exists:
            try:
                self._open(self._database)
            except BaseException:
                self.close()
                raise
        return self._ledger.state

    def get_schema(self, stream: StreamId) -> pa.Schema | None:
        """The columns of the stream's table as it is now; see `Writer.get_schema`."""
        if self._database is not None and not self._database.is_open:
            return None
        with self._working() as database:
            table = self._tables.get(stream)
            if table is not None:
                return table.current
            name = self._table_name(stream)
            return database.arrow_schema(name) if self._relation(name) == "table" else None

    def column_names(self, stream: StreamId) -> Mapping[str, str]:
        """Original to table column names; see `Naming`."""
        kept = self._ledger.tables.get(stream)
        return {} if kept is None else dict(kept.columns)

    def write_batch(self, batch: Batch) -> None:
        """Stages a batch; see `Writer.write_batch`."""
        data = pa.record_batch(batch.data)
        with self._working(data.num_columns) as database:
            database.fit(data.num_columns)
            database.begin()
            table = self._tables.get(batch.stream) or self._open_table(database, batch.stream)
            table.accept(data, batch.nbytes)
            self._relieve()

    def write_rejects(self, rejects: Rejects) -> None:
        """Stages rejected rows; see `Quarantining`."""
        with self._working() as database:
            database.begin()
            table = self._quarantines.get(rejects.stream) or self._open_quarantine(database, rejects.stream)
            rows = quarantine_rows(rejects, self._catalog.run_id, self._ids)
            table.accept(rows, rows.nbytes)
            self._relieve()

    def activate_version(self, stream: StreamId, version: int) -> None:
        """Stages that rows of other versions are obsolete; see `Versioning`."""
        with self._working() as database:
            if stream in self._tables or self._relation(self._table_name(stream)) is not None:
                database.begin()
                table = self._tables.get(stream) or self._open_table(database, stream)
                table.activate(version)

    def count_rows(self, stream: StreamId) -> int | None:
        """Committed rows of the stream's table; see `Counting`."""
        if self._database is not None and not self._database.is_open:
            return None
        with self._working() as database:
            name = self._table_name(stream)
            return count(database, name) if self._relation(name) == "table" and self._is_committed(stream) else None

    def rejected(self) -> Mapping[StreamId, int]:
        """Committed quarantined rows; see `Replaying`."""
        if self._database is not None and not self._database.is_open:
            return {}
        with self._working() as database:
            counts = {stream: count(database, table) for stream, table in self._kept_quarantines()}
            return {stream: rows for stream, rows in counts.items() if rows}

    def read_rejects(self, stream: StreamId) -> Iterator[pa.RecordBatch]:
        """The stream's committed quarantined rows; see `Replaying`."""
        if self._database is not None and not self._database.is_open:
            return
        with self._working() as database:
            table = dict(self._kept_quarantines()).get(stream)
            if table is None:
                return
            if not database.in_transaction:
                give_ids(database, table)
            yield from read_rejects(database, table)

    def remove_rejects(self, stream: StreamId, ids: Sequence[str]) -> None:
        """Stages that rows leave the quarantine; see `Replaying`."""
        with self._working():
            self._removed.setdefault(stream, []).extend(ids)

    def inspect(self, config: Mapping[str, Any], job: JobKey, streams: Sequence[StreamId]) -> Inspection:
        """What the file holds, opened so that nothing can be changed; see `Inspecting`."""
        return inspect(DuckDBConfig.parse(config), job, streams)

    def commit(self, state: bytes | None, *, final: bool = False) -> Receipt:
        """Commits the transaction with the state in it; see `Writer.commit`."""
        with self._working() as database:
            database.begin()
            tables = (*self._tables.values(), *self._quarantines.values())
            for table in tables:
                table.flush()
            fault_point("duckdb.staged")
            database.make_room_to_commit()
            for table in tables:
                table.settle()
            if final:
                self._swap(database)
            self._remove_rejects(database)
            fault_point("duckdb.merged")
            counted = [table for table in self._tables.values() if final or table.mode != "overwrite"]
            rejecting = [table for table in self._quarantines.values() if final or table.mode != "overwrite"]
            for table in counted:
                if table.changes or table.renamed:
                    self._keep(table.id)
            commit_id = self._ledger.commit(state)
            fault_point("duckdb.before_commit")
            database.commit()
            fault_point("duckdb.committed")
            receipt = Receipt(
                {table.id: table.rows for table in counted if table.rows or table.announced},
                {table.id: table.rows for table in rejecting if table.rows},
                tuple(change for table in counted for change in table.changes),
                commit_id,
            )
            for table in (*counted, *rejecting):
                table.committed()
            return receipt

    def close(self) -> None:
        """Drops what is staged, and frees the file; see `Writer.close`."""
        self._tables.clear()
        self._quarantines.clear()
        database, self._database = self._database, None
        if database is not None:
            try:
                database.rollback()
            finally:
                database.close()

    @contextmanager
    def _working(self, columns: int = 0) -> Iterator[Database]:
        """The open database, opened now for tables of so many columns if need be.

        An error in the block ends the transaction and the writer.
        """
        if self._error is not None:
            raise self._error
        if self._database is None:
            raise TargetError("the target is not open")
        try:
            if not self._database.is_open:
                self._open(self._database, columns)
                self._refuse_new_state(self._database)
            yield self._database
        except Exception as error:
            self._error = error
            raise

    def _open(self, database: Database, columns: int = 0) -> None:
        database.open(columns)
        database.ensure_schema()
        self._ledger.load()
        self._relations = database.relations()
        self._drop_shadows(database)

    def _refuse_new_state(self, database: Database) -> None:
        """The source was started without a state, because there was no file then."""
        if self._ledger.has_committed:
            raise TargetError(
                f"another run of job `{self._catalog.job}` has written to `{database.path}` since this one began",
                hint="run again: it goes on from there",
                retryable=True,
                facts={"path": str(database.path), "job": str(self._catalog.job)},
            )

    def _open_table(self, database: Database, stream: StreamId) -> StreamTable:
        configured = self._catalog.streams.get(stream) or ConfiguredStream(stream)
        name = self._table_name(stream)
        if self._relation(name) == "view":
            facts = {"stream": str(stream), "table": name}
            raise TargetError(f"`{name}` is a view: stream `{stream}` needs a table", hint="rename or drop the view", facts=facts)
        kept = self._ledger.tables.get(stream)
        columns = {} if kept is None else kept.columns
        exists = self._relation(name) == "table"
        table = StreamTable(database, configured, name, columns, self._catalog.job, self._ledger.now, exists=exists)
        self._tables[stream] = table
        self._relations[name] = "table"
        return table

    def _open_quarantine(self, database: Database, stream: StreamId) -> StreamTable:
        name = self._table_name(stream)
        kept = self._ledger.tables.get(stream)
        quarantine = None if kept is None else kept.quarantine
        if quarantine is None:
            taken = {*self._relations, *self._ledger.names().values(), *self._names.values()}
            quarantine = quarantine_name(name, taken)
            self._keep(stream, quarantine)
        mode = self._catalog.streams[stream].write_mode if stream in self._catalog.streams else "append"
        configured = ConfiguredStream(stream, "overwrite" if mode == "overwrite" else "append")
        exists = self._relation(quarantine) == "table"
        table = StreamTable(
            database, configured, quarantine, QUARANTINE_COLUMNS, self._catalog.job, self._ledger.now, exists=exists
        )
        self._quarantines[stream] = table
        self._relations[quarantine] = "table"
        return table

    def _table_name(self, stream: StreamId) -> str:
        """The stream's table: the kept one; else one that is there under the stream's name; else a new one."""
        kept = self._ledger.tables.get(stream)
        if kept is not None:
            return kept.name
        if stream not in self._names:
            quarantines = [kept.quarantine for kept in self._ledger.tables.values() if kept.quarantine]
            named = table_names([*self._catalog.streams, stream], {**self._ledger.names(), **self._names}, quarantines)
            there = {name.casefold(): name for name in self._relations}
            self._names |= {each: there.get(name.casefold(), name) for each, name in named.items()}
        return self._names[stream]

    def _keep(self, stream: StreamId, quarantine: str | None = None) -> None:
        kept = self._ledger.tables.get(stream)
        table = self._tables.get(stream)
        columns = dict(table.columns) if table is not None else {} if kept is None else kept.columns
        known = quarantine or (None if kept is None else kept.quarantine)
        self._ledger.keep(stream, KeptTable(self._table_name(stream), known, columns), None if table is None else table.current)

    def _relation(self, name: str) -> str | None:
        """`table` or `view`, as DuckDB finds it: in any case of letters."""
        there = {each.casefold(): kind for each, kind in self._relations.items()}
        return there.get(name.casefold())

    def _relieve(self) -> None:
        """Keeps what all streams buffer within bounds, the largest first: many small inserts cost more than few large ones."""
        tables = [*self._tables.values(), *self._quarantines.values()]
        total = sum(table.buffered_bytes for table in tables)
        for table in sorted(tables, key=lambda table: -table.buffered_bytes) if total > _BUFFERED_BYTES else ():
            total -= table.buffered_bytes
            table.flush()
            if total <= _BUFFERED_BYTES // 2:
                break

    def _swap(self, database: Database) -> None:
        for table in (*self._tables.values(), *self._quarantines.values()):
            if table.mode == "overwrite":
                table.swap()
        for stream, table in self._tables.items():
            kept = self._ledger.tables.get(stream)
            if table.mode != "overwrite" or stream in self._quarantines or kept is None or kept.quarantine is None:
                continue
            if self._relation(kept.quarantine) == "table":
                with failures(database.path, f"empty `{kept.quarantine}`", stream):
                    database.run(f"DELETE FROM {database.table(kept.quarantine)}")

    def _is_committed(self, stream: StreamId) -> bool:
        """Whether the table was there before the open transaction."""
        table = self._tables.get(stream)
        return table is None or table.was_there

    def _kept_quarantines(self) -> list[tuple[StreamId, str]]:
        """Quarantine tables that are there, as they were committed."""
        kept = ((stream, kept.quarantine) for stream, kept in self._ledger.tables.items())
        made = {table.name for table in self._quarantines.values() if not table.was_there}
        return [(stream, name) for stream, name in kept if name and name not in made and self._relation(name) == "table"]

    def _remove_rejects(self, database: Database) -> None:
        for stream, ids in self._removed.items():
            wanted = list(dict.fromkeys(ids))
            kept = self._ledger.tables.get(stream)
            there = kept is not None and kept.quarantine is not None and self._relation(kept.quarantine) == "table"
            found = remove_rejects(database, kept.quarantine, wanted) if kept and kept.quarantine and there else 0
            if found != len(wanted):
                raise TargetError(
                    f"{len(wanted) - found} rows are not in the quarantine of stream `{stream}`",
                    hint="somebody has replayed or removed them: look with `dativo quarantine list`",
                    facts={"stream": str(stream), "path": str(database.path)},
                )
        self._removed = {}

    def _drop_shadows(self, database: Database) -> None:
        """Drops what an overwriting run of this job left behind."""
        prefix = shadow_prefix(self._catalog.job)
        for name in [name for name in self._relations if name.startswith(prefix)]:
            with failures(database.path, f"drop `{name}`"):
                database.run(f"DROP TABLE {database.table(name)}")
            del self._relations[name]


def _row_ids() -> Iterator[str]:
    """Ids for quarantined rows, unique in any file."""
    token = secrets.token_hex(6)
    return (f"{token}-{number}" for number in itertools.count(1))
