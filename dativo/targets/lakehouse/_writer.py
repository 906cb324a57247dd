"""The writer that all table formats share: one intent for all tables of a commit, then one marked commit for each table."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any, ClassVar

import pyarrow as pa
from dativo_protocols import Batch, Rejects, StreamId
from dativo_protocols.errors import DativoError, TargetError
from dativo_sdk import ConfiguredStream, Inspection, JobKey, Receipt, SchemaChange, TableInfo, WriteCatalog, WriteMode

from dativo import _compute as pc
from dativo._faults import fault_point
from dativo.targets.lakehouse._change import TableChange
from dativo.targets.lakehouse._config import LakehouseConfig
from dativo.targets.lakehouse._files import Budget, FileName
from dativo.targets.lakehouse._format import DataFile, Format, Mark, Snapshot, TableCommit
from dativo.targets.lakehouse._ledger import Ledger
from dativo.targets.lakehouse._log import JobLog, Record, job_app, last_record
from dativo.targets.lakehouse._plan import Planner, rebased
from dativo.targets.lakehouse._rejects import QUARANTINE, quarantine_rows, replay_rows
from dativo.targets.lakehouse._rows import read_rows
from dativo.targets.lakehouse._stream_table import StreamTable

__all__ = ["LakehouseWriter"]

_BUFFERED_BYTES = 32 << 20
_STAGING = "_dativo/staging"
_ATTEMPTS = 100


class LakehouseWriter:
    """A `Writer` with every optional power, over a `Format`. A target gives `_open`.

    A commit: the rows of all streams are in files that no table names; files that merges make are written too; the intent is put
    into the job's log, from where on the commit has happened; each table gets its change in one commit that carries the intent's
    number; the intent is noted as applied. `initialize` brings the intent of a run that died in between to its end. An error ends
    the writer: every further call raises it again.
    """

    write_modes: ClassVar[frozenset[WriteMode]] = frozenset({"append", "append_dedup", "overwrite", "merge", "scd2"})

    def __init__(self) -> None:
        self._format: Format | None = None
        self._log: JobLog | None = None
        self._tables: dict[StreamId, StreamTable] = {}
        self._quarantines: dict[StreamId, StreamTable] = {}
        self._error: Exception | None = None
        self._index = 0
        # Paths of files that no commit has named yet.
        self._handed: list[str] = []
        self._decided = False
        token = secrets.token_hex(6)
        self._reject_ids = (f"{token}-{number}" for number in count())
        self._applying: tuple[int, int] | None = None

    def _open(self, config: Mapping[str, Any]) -> tuple[Format, LakehouseConfig]:
        """The configured format, and what is configured of the rest. Touches nothing.

        Raises:
            ConfigError: The configuration is wrong.
        """
        raise NotImplementedError

    def initialize(self, config: Mapping[str, Any], catalog: WriteCatalog) -> bytes | None:
        """Takes the job over from earlier runs; see `Writer.initialize`.

        Brings a commit that was decided to its end, and deletes files that earlier runs of the job left without one.
        """
        self._catalog = catalog
        self._app = job_app(catalog.job)
        table_format, self._config = self._open(config)
        self._format = table_format
        self._budget = Budget(_BUFFERED_BYTES, table_format.storage.open_files)
        self._planner = Planner(
            table_format,
            lambda table: self._path(table, direct=True, held=False),
            self._config.file_size_bytes,
            self._budget,
            self._config.merge_memory,
            self._config.temporary,
            self._config.merge_threads,
        )
        table_format.storage.prepare()
        self._log = JobLog(table_format.storage, catalog.job, catalog.run_id, table_format.uri)
        self._log.open(_now(), self._apply_all)
        self._ledger = Ledger(table_format.storage, table_format.tables())
        self._clean(table_format, self._log)
        return self._log.state

    def get_schema(self, stream: StreamId) -> pa.Schema | None:
        """The committed table's schema; see `Writer.get_schema`."""
        base = self._committed(stream)
        return None if base is None else base.schema

    def count_rows(self, stream: StreamId) -> int | None:
        """Committed rows; see `Counting`."""
        base = self._committed(stream)
        return None if base is None else base.rows

    def write_batch(self, batch: Batch) -> None:
        """Stages a batch; see `Writer.write_batch`."""
        with self._working():
            self._table(batch.stream).accept(pa.record_batch(batch.data))

    def write_rejects(self, rejects: Rejects) -> None:
        """Stages rejected rows; see `Quarantining`."""
        with self._working():
            self._quarantine(rejects.stream).accept(quarantine_rows(rejects, self._catalog.run_id, self._reject_ids))

    def activate_version(self, stream: StreamId, version: int) -> None:
        """Stages that other versions' rows are obsolete; see `Versioning`."""
        with self._working():
            self._table(stream).activate(version)

    def rejected(self) -> Mapping[StreamId, int]:
        """Committed quarantined rows; see `Replaying`."""
        with self._working() as (table_format, _):
            counts = {}
            for stream, name in self._ledger.quarantines.items():
                base = table_format.load(name)
                if base is not None and base.rows:
                    counts[stream] = base.rows
            return counts

    def read_rejects(self, stream: StreamId) -> Iterator[pa.RecordBatch]:
        """Committed quarantined rows; see `Replaying`."""
        with self._working() as (table_format, _):
            name = self._ledger.quarantines.get(stream)
            base = None if name is None else table_format.load(name)
        if base is None:
            return

        def rows(file: DataFile, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
            return read_rows(table_format, file, [base.schema], columns, stream, base)

        def begins(file: DataFile) -> int:
            found = [pc.min(batch.column(0).cast(pa.int64())).as_py() for batch in rows(file, ["loaded_at"])]
            return min((each for each in found if each is not None), default=0)

        for file in sorted(base.files, key=begins):
            yield from map(replay_rows, rows(file, QUARANTINE.names))

    def remove_rejects(self, stream: StreamId, ids: Sequence[str]) -> None:
        """Stages that quarantined rows go; see `Replaying`."""
        with self._working():
            self._quarantine(stream).take_out(ids)

    def commit(self, state: bytes | None, *, final: bool = False) -> Receipt:
        """Makes what is staged and the state durable, in all tables or none; see `Writer.commit`."""
        with self._working() as (table_format, log):
            tables = [table for table in self._tables.values() if table.touched and (final or table.mode != "overwrite")]
            rejecting = [table for table in self._quarantines.values() if table.touched and (final or table.mode != "overwrite")]
            if final:
                rejecting += self._emptied(tables)
            staged = [(table, change) for table in (*tables, *rejecting) if (change := table.finish()) is not None]
            fault_point(f"{table_format.name}.staged")
            now = max(_now(), log.at)
            planned: list[tuple[TableChange, Snapshot | None]] = []
            changes: list[SchemaChange] = []
            for table, change in staged:
                base = table_format.load(table.table)
                if (None if base is None else base.version) != change.base:
                    _refuse_clash(change, base)
                    change = rebased(change, base)
                    table.base = base
                change = self._planner.plan(change, base, now)
                planned.append((change, base))
                if not table.quarantine:
                    changes += table.changes(change.schema)
            if planned or (state is not None and state != log.state):
                self._decided = True
                record = log.commit(now, state, tuple(change for change, _ in planned), final=final)
                fault_point(f"{table_format.name}.intent")
                for change, base in planned:
                    self._apply(record, change, base)
                    fault_point(f"{table_format.name}.applied")
                log.applied(record)
                self._drop_sources(record)
                self._handed = [] if final else [path for path in self._handed if _is_held(path)]
                self._decided = False
                fault_point(f"{table_format.name}.committed")
            receipt = Receipt(
                {table.id: table.rows for table in tables if table.announced},
                {table.id: table.rows for table in rejecting if table.rows},
                tuple(changes),
                f"{log.generation}-{log.next - 1}",
            )
            # The next batch of a stream begins from the table as it is then: another job may have changed it.
            for table in tables:
                self._tables.pop(table.id, None)
            for table in rejecting:
                self._quarantines.pop(table.id, None)
            return receipt

    def close(self) -> None:
        """Deletes what is staged; see `Writer.close`."""
        table_format, self._format = self._format, None
        if table_format is not None and self._log is not None:
            for table in (*self._tables.values(), *self._quarantines.values()):
                table.drop()
            # Once a commit may have happened that names the files, the next run is the one to tell.
            if not self._decided or self._log.fenced:
                with suppress(DativoError):
                    table_format.delete(self._handed)
        self._tables.clear()
        self._quarantines.clear()
        self._log = None

    def inspect(self, config: Mapping[str, Any], job: JobKey, streams: Sequence[StreamId]) -> Inspection:
        """What is there; see `Inspecting`. A commit that was decided and is not applied yet shows in the state alone."""
        table_format, _ = self._open(config)
        last = last_record(table_format.storage, job)
        ledger = Ledger(table_format.storage, table_format.tables())
        found: dict[StreamId, TableInfo] = {}
        for stream in dict.fromkeys([*streams, *ledger.tables]):
            name = ledger.table(stream, streams, claim=False)
            base = table_format.load(name)
            if base is not None or stream in streams:
                found[stream] = (
                    TableInfo(name, None) if base is None else TableInfo(name, base.schema, dict(base.columns), base.rows)
                )
        return Inspection(None if last is None else last.state, found)

    @contextmanager
    def _working(self) -> Iterator[tuple[Format, JobLog]]:
        if self._error is not None:
            raise self._error
        if self._format is None or self._log is None:
            raise TargetError("the target is not open")
        try:
            yield self._format, self._log
        except Exception as error:
            self._error = error
            if isinstance(error, TargetError) and not error.retryable and (taken := self._overtaken(self._log)) is not None:
                self._error = taken
                raise taken from error
            raise

    def _overtaken(self, log: JobLog) -> TargetError | None:
        # Where the log cannot be read either, the first error tells more.
        with suppress(DativoError):
            return log.overtaken()
        return None

    def _committed(self, stream: StreamId) -> Snapshot | None:
        with self._working() as (table_format, _):
            return table_format.load(self._ledger.table(stream, self._catalog.streams, claim=False))

    def _table(self, stream: StreamId) -> StreamTable:
        table = self._tables.get(stream)
        if table is None:
            configured = self._catalog.streams.get(stream) or ConfiguredStream(stream)
            name = self._ledger.table(stream, self._catalog.streams)
            table = self._tables[stream] = self._new_table(configured, name)
        return table

    def _quarantine(self, stream: StreamId) -> StreamTable:
        table = self._quarantines.get(stream)
        if table is None:
            configured = self._catalog.streams.get(stream)
            mode: WriteMode = "overwrite" if configured is not None and configured.write_mode == "overwrite" else "append"
            name = self._ledger.quarantine(stream)
            table = self._quarantines[stream] = self._new_table(ConfiguredStream(stream, mode), name, quarantine=True)
        return table

    def _new_table(self, configured: ConfiguredStream, name: str, *, quarantine: bool = False) -> StreamTable:
        assert self._format is not None  # noqa: S101
        held = configured.write_mode == "overwrite"
        return StreamTable(
            configured,
            name,
            self._format,
            self._config,
            self._budget,
            lambda table, direct: self._path(table, direct=direct, held=held),
            quarantine=quarantine,
        )

    def _emptied(self, tables: Sequence[StreamTable]) -> list[StreamTable]:
        """Quarantines of overwritten tables, where no row was rejected this time."""
        found = []
        for table in tables:
            if table.mode == "overwrite" and table.id in self._ledger.quarantines and table.id not in self._quarantines:
                quarantine = self._quarantine(table.id)
                if quarantine.base is not None and quarantine.base.rows:
                    quarantine.accept(pa.RecordBatch.from_pylist([], schema=QUARANTINE))
                    found.append(quarantine)
        return found

    def _path(self, table: str, *, direct: bool, held: bool) -> str:
        assert self._format is not None  # noqa: S101
        assert self._log is not None  # noqa: S101
        self._index += 1
        # Files that are written while a commit is applied are that commit's, whoever applies it.
        generation, number = self._applying or (self._log.generation, None if held else self._log.next)
        name = str(FileName(self._app, generation, number, self._index))
        path = self._format.data_path(table, name) if direct else f"{_STAGING}/{name}"
        self._handed.append(path)
        return path

    def _apply_all(self, record: Record) -> None:
        assert self._format is not None  # noqa: S101
        # Others who applied the same commit have used other numbers for names.
        self._index = secrets.randbelow(10**15) + 10**6
        for change in record.changes:
            self._apply(record, change, self._format.load(change.table))
        self._drop_sources(record)
        self._index = 0
        self._handed.clear()

    def _apply(self, record: Record, change: TableChange, base: Snapshot | None) -> None:
        """Brings the change into its table, unless the table's marks say that it is there."""
        assert self._format is not None  # noqa: S101
        mark = Mark(self._app, record.number)
        planned = change
        outdated: set[str] = set()
        self._applying = (record.generation, record.number)
        for _ in range(_ATTEMPTS):
            if base is not None and base.mark_of(mark.app) >= mark.number:
                self._applying = None
                # Another run may have applied the files that the record names.
                self._format.delete(sorted(outdated - {file.path for file in change.added}))
                return
            if (None if base is None else base.version) != planned.base:
                outdated |= {file.path for file in planned.added}
                planned = self._planner.plan(rebased(change, base), base, record.at)
            by_path = {file.path: file for file in base.files} if base is not None and planned.removed else {}
            info = {
                "run_id": record.run_id,
                "job": str(self._catalog.job),
                "stream": str(change.stream.id),
                "mode": change.stream.write_mode,
            }
            commit = TableCommit(
                planned.schema,
                planned.columns,
                planned.partition_by,
                planned.added,
                [by_path[path] for path in planned.removed],
                planned.replaces,
                mark,
                info,
                record.state,
            )
            if self._format.commit(change.table, base, commit):
                self._applying = None
                self._format.delete(sorted(outdated - {file.path for file in planned.added}))
                self._format.maintain(change.table, base)
                return
            outdated |= {file.path for file in planned.added}
            base = self._format.load(change.table)
        raise TargetError(
            f"cannot commit to table `{change.table}`: others commit to it all the time",
            hint="run again: the commit is decided, and is brought to its end first",
            retryable=True,
            facts={"stream": str(change.stream.id), "table": change.table},
        )

    def _drop_sources(self, record: Record) -> None:
        """Deletes staged files that the tables did not take over as they are."""
        assert self._format is not None  # noqa: S101
        for change in record.changes:
            added = {file.path for file in change.added}
            self._format.delete([source.file.path for source in change.sources if source.file.path not in added])

    def _clean(self, table_format: Format, log: JobLog) -> None:
        """Deletes what earlier runs of the job staged and did not commit."""
        staged = table_format.storage.names(_STAGING, f"{self._app}-")
        table_format.storage.delete([f"{_STAGING}/{name}" for name in staged])
        if log.tidy:
            return
        unfinished = log.unfinished()
        for table in (*self._ledger.tables.values(), *self._ledger.quarantines.values()):
            left = []
            for path in table_format.own_files(table, f"{self._app}-"):
                name = FileName.parse(path.rpartition("/")[2])
                if name is not None and unfinished(name.generation, name.number or 0, name.number is None):
                    left.append(path)
            table_format.delete(left)


def _is_held(path: str) -> bool:
    name = FileName.parse(path.rpartition("/")[2])
    return name is not None and name.number is None


def _refuse_clash(change: TableChange, base: Snapshot | None) -> None:
    """Names of columns are chosen when a stream comes, and settled when it is committed.

    Raises:
        TargetError: Another job has given one of them away since; the next run sees that and chooses others.
    """
    settled = {} if base is None or change.replaces else base.columns
    together = {**settled, **change.columns}
    changed = any(together[name] != safe for name, safe in settled.items())
    if changed or len({safe.casefold() for safe in together.values()}) != len(together):
        raise TargetError(
            f"another job has just given a name that stream `{change.stream.id}` needs",
            hint="run again: the names are settled now",
            retryable=True,
            facts={"stream": str(change.stream.id)},
        )


def _now() -> int:
    """Microseconds since 1970 UTC."""
    return time.time_ns() // 1000
