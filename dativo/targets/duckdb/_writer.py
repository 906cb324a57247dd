"""The writer: one transaction for all that a commit covers, its state included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import pyarrow as pa
from dativo_protocols import Batch, Rejects, StreamId
from dativo_protocols.errors import TargetError
from dativo_sdk import ConfiguredStream, Receipt, WriteCatalog, WriteMode

from dativo._names import quarantine_name, table_names
from dativo.targets.duckdb._config import DuckDBConfig
from dativo.targets.duckdb._database import Database
from dativo.targets.duckdb._failure import failures
from dativo.targets.duckdb._ledger import KeptTable, Ledger
from dativo.targets.duckdb._rejects import QUARANTINE_COLUMNS, quarantine_rows
from dativo.targets.duckdb._stream_table import StreamTable, shadow_prefix

__all__ = ["DuckDBWriter"]

_BUFFERED_BYTES = 16 << 20


class DuckDBWriter:
    """A `Writer` of tables in one DuckDB file; `Quarantining`. Modes: append, overwrite and merge.

    Everything between two commits is one transaction. An error ends it: what is staged is lost, and every further call raises the
    same error.
    """

    write_modes: ClassVar[frozenset[WriteMode]] = frozenset({"append", "overwrite", "merge"})

    def __init__(self) -> None:
        self._database: Database | None = None
        self._tables: dict[StreamId, StreamTable] = {}
        self._quarantines: dict[StreamId, StreamTable] = {}
        self._relations: dict[str, str] = {}
        self._names: dict[StreamId, str] = {}
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
            rows = quarantine_rows(rejects, self._catalog.run_id)
            table.accept(rows, rows.nbytes)
            self._relieve()

    def commit(self, state: bytes | None, *, final: bool = False) -> Receipt:
        """Commits the transaction with the state in it; see `Writer.commit`."""
        with self._working() as database:
            database.begin()
            tables = (*self._tables.values(), *self._quarantines.values())
            for table in tables:
                table.flush()
            database.make_room_to_commit()
            for table in tables:
                table.settle()
            if final:
                self._swap(database)
            counted = [table for table in self._tables.values() if final or table.mode != "overwrite"]
            rejecting = [table for table in self._quarantines.values() if final or table.mode != "overwrite"]
            for table in counted:
                if table.changes or table.renamed:
                    self._keep(table.id)
            commit_id = self._ledger.commit(state)
            database.commit()
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
        if self._ledger.state is not None:
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
        table = StreamTable(database, configured, name, columns, self._catalog.job, exists=exists)
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
        table = StreamTable(database, configured, quarantine, QUARANTINE_COLUMNS, self._catalog.job, exists=exists)
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

    def _drop_shadows(self, database: Database) -> None:
        """Drops what an overwriting run of this job left behind."""
        prefix = shadow_prefix(self._catalog.job)
        for name in [name for name in self._relations if name.startswith(prefix)]:
            with failures(database.path, f"drop `{name}`"):
                database.run(f"DROP TABLE {database.table(name)}")
            del self._relations[name]
