"""What the file targets have in common: configuration, staging per stream, the commit. Layout and protocol: `docs/files.md`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import pyarrow as pa
from dativo_protocols import Batch, Rejects, StreamId
from dativo_protocols.errors import ConfigError, DativoError, TargetError
from dativo_sdk import ConfiguredStream, Inspection, JobKey, Receipt, SchemaChange, WriteCatalog

from dativo._evolution import conform, evolve
from dativo._names import assign, quarantine_name, table_name
from dativo.targets._commit_log import CommitLog
from dativo.targets._commit_record import DataFile, Picture, Record, Table, TableChange
from dativo.targets._concurrent_jobs import refuse_clash, schema_changes
from dativo.targets._disk import refused
from dativo.targets._encryption import Encryption, open_encryption
from dativo.targets._file_inspection import count_rows, inspect_files
from dativo.targets._file_names import clean, file_prefix
from dativo.targets._file_options import FileOption, read_options
from dativo.targets._file_stream import FileStream
from dativo.targets._kept_schema import REJECTS, load_schema, pack_schema
from dativo.targets._rejected_rows import RejectStamp, missing, read_rejects, stage_removal
from dativo.targets._staging import FilePlan, Opener, Staging
from dativo.targets._steps import widens
from dativo.targets._widening import check_widening


class FilesWriter:
    """A `Writer` of files on a disk or in an object store; `Quarantining`, `Counting`, `Inspecting`, `Replaying`.

    A format gives `options`, `_suffix` and `_opener`. Files are never changed, so rows cannot be: no merge, no versions.
    """

    write_modes: ClassVar[frozenset[str]] = frozenset({"append", "overwrite"})
    options: ClassVar[Mapping[str, FileOption]] = {}
    encrypts_itself: ClassVar[bool] = False
    """Whether the format does what `options["encryption"]` says; else its files are encrypted whole."""

    def __init__(self) -> None:
        self._log: CommitLog | None = None
        self._staging: Staging | None = None
        self._streams: dict[StreamId, FileStream] = {}
        self._kept: dict[str, bytes] = {}
        self._error: DativoError | None = None
        self._encryption: Encryption | None = None

    def _suffix(self, options: Mapping[str, Any]) -> str:
        raise NotImplementedError

    def _opener(self, options: Mapping[str, Any]) -> Opener:
        raise NotImplementedError

    def _reading(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """See `DataFile.reading`."""
        return {}

    def initialize(self, config: Mapping[str, Any], catalog: WriteCatalog) -> bytes | None:
        """Opens the dataset at `path`; see `Writer.initialize`.

        Deletes files of this job that no commit names, and files of any job replaced `keep_replaced_seconds` ago or earlier.
        """
        store, options = read_options(config, self.options)
        for stream in catalog.streams.values():
            _refuse_mode(stream)
        self._stamp = RejectStamp(catalog.run_id)
        encryption = open_encryption(options["encryption"], catalog, whole=not self.encrypts_itself)
        options["encryption"] = self._encryption = encryption
        store = store if encryption is None else encryption.around(store)
        self._catalog = catalog
        self._store = store
        self._log = CommitLog(store, catalog.job, catalog.run_id)
        try:
            clean(store, self._log, catalog.job, options["keep_replaced_seconds"])
        except OSError as error:
            self.close()
            raise refused(error, "clean up", store.location) from error
        except BaseException:
            self.close()
            raise
        if encryption is not None:
            for table in self._log.picture.tables.values():
                encryption.announce(table.table, table.columns.values(), complete=False)
        prefix = file_prefix(catalog.job, self._log.generation, catalog.run_id)
        size = options["file_size_bytes"]
        plan = FilePlan(prefix, self._suffix(options), size, self._opener(options), self._reading(options))
        self._staging = Staging(store, plan if encryption is None else encryption.plan(plan))
        return self._log.state

    def get_schema(self, stream: StreamId) -> pa.Schema | None:
        """The committed table's schema; see `Writer.get_schema`."""
        log, _ = self._opened()
        table = log.picture.tables.get(stream)
        return None if table is None or table.schema is None else load_schema(log.picture.schemas[table.schema])

    def column_names(self, stream: StreamId) -> Mapping[str, str]:
        """Original to table column names; see `Naming`."""
        log, _ = self._opened()
        table = log.picture.tables.get(stream)
        return {} if table is None else dict(table.columns)

    def count_rows(self, stream: StreamId) -> int | None:
        """From the commit log; see `Counting`."""
        log, _ = self._opened()
        return count_rows(log.picture.tables.get(stream))

    def inspect(self, config: Mapping[str, Any], job: JobKey, streams: Sequence[StreamId]) -> Inspection:
        """From the commit log; see `Inspecting`."""
        store, _ = read_options(config, self.options)
        return inspect_files(store, job, streams)

    def rejected(self) -> Mapping[StreamId, int]:
        """From the commit log; see `Replaying`."""
        log, _ = self._opened()
        counts = {stream: sum(file.rows for file in table.rejects.values()) for stream, table in log.picture.tables.items()}
        return {stream: count for stream, count in counts.items() if count}

    def read_rejects(self, stream: StreamId) -> Iterator[pa.RecordBatch]:
        """File by file; see `Replaying`."""
        log, _ = self._opened()
        table = log.picture.tables.get(stream)
        for file in list(table.rejects.values()) if table is not None else ():
            yield from read_rejects(self._store, file, log.picture, stream)

    def remove_rejects(self, stream: StreamId, ids: Sequence[str]) -> None:
        """Stages that files are written anew without these rows; see `Replaying`."""
        self._opened()
        self._stream(stream).mended += ids

    def write_batch(self, batch: Batch) -> None:
        """Stages a batch; see `Writer.write_batch`."""
        _, staging = self._opened()
        data = pa.record_batch(batch.data)
        stream = self._stream(batch.stream)
        if stream.arriving is None or not stream.arriving.equals(data.schema, check_metadata=True):
            self._announce(stream, data.schema)
        stream.announced = True
        if data.num_rows and stream.lane is not None:
            rows = pa.RecordBatch.from_arrays(data.columns, schema=stream.renamed)
            rows = conform(rows, stream.schema, stream=stream.id)
            staging.add(stream.lane, rows, max(batch.nbytes, 1))
            stream.rows += rows.num_rows

    def write_rejects(self, rejects: Rejects) -> None:
        """Stages rejected rows; see `Quarantining`."""
        log, staging = self._opened()
        stream = self._stream(rejects.stream)
        if stream.rejects is None:
            stream.quarantine = stream.quarantine or quarantine_name(stream.table, self._names_in_use(log.picture))
            if self._encryption is not None:
                self._encryption.quarantine(stream.quarantine)
            stream.rejects = staging.lane(stream.quarantine, REJECTS, self._keep(REJECTS))
        rows = self._stamp(pa.record_batch(rejects.data), stream.id)
        if rows.num_rows:
            staging.add(stream.rejects, rows, rows.nbytes)
            stream.rejected += rows.num_rows

    def commit(self, state: bytes | None, *, final: bool = False) -> Receipt:
        """Makes what is staged and the state durable in one record; see `Writer.commit`. Nothing new gives no record."""
        log, staging = self._opened()
        streams = [stream for stream in self._streams.values() if stream.changed and (final or not stream.overwrite)]
        if not streams and (state is None or state == log.state):
            return Receipt({}, {}, commit_id=str(log.picture.number))
        changes: list[SchemaChange] = []
        if final and self._encryption is not None:
            self._encryption.check_columns()
        try:
            for stream in streams:
                if stream.mended:
                    self._stage_removal(stream)
            staging.finish(lane for stream in streams for lane in stream.lanes)
            files = {id(lane): lane.take() for stream in streams for lane in (stream.lane, stream.rejects) if lane}
            rest = {stream.id: stream.removal.files() for stream in streams}

            def build(picture: Picture, number: int) -> Record:
                job, run = self._catalog.job, self._catalog.run_id
                record = Record(number, int(time.time()), job, run, state, final, log.generation)
                changes.clear()
                for stream in streams:
                    self._add_to(record, picture, stream, files, changes, rest[stream.id])
                return record

            record = log.append(build)
        except DativoError as error:
            # What reached the disk is decided by the log alone: the next `initialize` looks there.
            self._error = error
            raise
        receipt = Receipt(
            {stream.id: stream.rows for stream in streams if stream.announced},
            {stream.id: stream.rejected for stream in streams if stream.rejected},
            tuple(changes),
            str(record.number),
        )
        # The next batch of a stream begins from the table as it is then: another job may have changed it.
        staging.drop(lane for stream in streams for lane in stream.lanes)
        for stream in streams:
            del self._streams[stream.id]
        return receipt

    def close(self) -> None:
        """Deletes what is staged; see `Writer.close`."""
        if self._staging is not None:
            self._staging.close()
            self._staging = None
        if self._log is not None:
            self._log.close()
            self._log = None
            self._store.close()
        if self._encryption is not None:
            self._encryption.close()
        self._streams.clear()

    def _opened(self) -> tuple[CommitLog, Staging]:
        if self._error is not None:
            raise self._error
        if self._log is None or self._staging is None:
            raise TargetError("the target is not open")
        return self._log, self._staging

    def _stage_removal(self, stream: FileStream) -> None:
        log, staging = self._opened()
        table = log.picture.tables.get(stream.id)
        if table is None or table.quarantine is None:
            raise missing(stream.id, stream.mended[0])
        if self._encryption is not None:
            self._encryption.quarantine(table.quarantine)
        stream.removal = stage_removal(
            self._store,
            staging,
            partial(staging.lane, table.quarantine, REJECTS, self._keep(REJECTS)),
            log.picture,
            stream.id,
            stream.mended,
        )

    def _stream(self, stream_id: StreamId) -> FileStream:
        log, _ = self._opened()
        stream = self._streams.get(stream_id)
        if stream is not None:
            return stream
        configured = self._catalog.streams.get(stream_id) or ConfiguredStream(stream_id)
        _refuse_mode(configured)
        picture = log.picture
        table = picture.tables.get(stream_id)
        overwrite = configured.write_mode == "overwrite"
        if table is None:
            taken = {known: other.table for known, other in picture.tables.items()}
            taken |= {known: other.table for known, other in self._streams.items()}
            table = Table(table_name(stream_id, taken, self._quarantines(picture)))
        stream = self._streams[stream_id] = FileStream(
            stream_id,
            table.table,
            overwrite,
            dict(table.columns),
            None if overwrite or table.schema is None else load_schema(picture.schemas[table.schema]),
            [] if overwrite else self._load(table.passed, picture),
            table.schema,
            quarantine=table.quarantine,
        )
        return stream

    def _quarantines(self, picture: Picture) -> set[str]:
        committed = {table.quarantine for table in picture.tables.values() if table.quarantine}
        return committed | {stream.quarantine for stream in self._streams.values() if stream.quarantine}

    def _names_in_use(self, picture: Picture) -> set[str]:
        committed = {table.table for table in picture.tables.values()}
        return committed | {stream.table for stream in self._streams.values()} | self._quarantines(picture)

    def _announce(self, stream: FileStream, arriving: pa.Schema) -> None:
        """Fits names and types of the table to batches of another schema than before."""
        log, staging = self._opened()
        names = assign(arriving.names, "column", stream.columns)
        renamed = pa.schema([column.with_name(names[column.name]) for column in arriving])
        schema = evolve(stream.schema, renamed).schema
        if self._encryption is not None:
            self._encryption.announce(stream.table, schema.names)
        packed = self._keep(schema)
        before = stream.schema
        if stream.lane is None:
            stream.lane = staging.lane(stream.table, schema, packed)
        elif packed != stream.lane.schema_id:
            staging.change_schema(stream.lane, schema, packed)
        lane = stream.lane

        def written() -> Iterator[tuple[DataFile, pa.Schema]]:
            staging.finish([lane])
            yield from self._located(lane.finished, log.picture)
            if not stream.overwrite:
                yield from self._located(_files_of(log.picture, stream.id), log.picture)

        check_widening(self._store, before, schema, written, stream.id, stream.passed)
        if before is not None and widens(before, schema):
            stream.passed.append(before)
        stream.columns |= names
        stream.schema, stream.arriving, stream.renamed = schema, arriving, renamed

    def _located(self, files: Iterable[DataFile], picture: Picture) -> Iterator[tuple[DataFile, pa.Schema]]:
        for file in files:
            yield file, *self._load([file.schema], picture)

    def _load(self, names: Iterable[str], picture: Picture) -> list[pa.Schema]:
        return [load_schema(self._kept.get(name) or picture.schemas[name]) for name in names]

    def _add_to(
        self,
        record: Record,
        picture: Picture,
        stream: FileStream,
        files: dict[int, list[DataFile]],
        changes: list[SchemaChange],
        rest: list[DataFile],
    ) -> None:
        """Adds the stream's part to a record; another job may have committed to the same table in the meantime."""
        table = picture.tables.get(stream.id)
        refuse_clash(picture, stream.id, stream.table, stream.quarantine, stream.columns)
        before = None if table is None or table.schema is None else load_schema(picture.schemas[table.schema])
        after = stream.schema if stream.announced else before
        added = files[id(stream.lane)] if stream.lane else []
        rejects = [*rest, *(files[id(stream.rejects)] if stream.rejects else [])]
        for path in stream.removal.replaced:
            if table is None or path not in table.rejects:
                raise missing(stream.id, path)
        passed = table.passed if table is not None else []
        if stream.announced:
            passed = [self._keep(schema) for schema in stream.passed]
        if table is not None and before is not None and after is not None and not stream.overwrite:
            after = evolve(before, after).schema
            known = self._load(table.passed, picture)
            committed = _files_of(picture, stream.id)
            check_widening(self._store, before, after, lambda: self._located(committed, picture), stream.id, known)
            check_widening(self._store, stream.schema, after, lambda: self._located(added, picture), stream.id, stream.passed)
            if table.schema != stream.found:
                passed = [*table.passed, *([self._keep(before)] if widens(before, after) else [])]
        change = TableChange(
            stream.id,
            stream.table,
            None if after is None else self._keep(after),
            passed,
            columns=(table.columns if table else {}) | stream.columns,
            added=added,
            quarantine=stream.quarantine or (table.quarantine if table else None),
            rejects_added=rejects,
            rejects_removed=stream.removal.replaced,
        )
        if stream.overwrite and table is not None:
            change.removed = list(table.files) if stream.announced else []
            change.rejects_removed = list(table.rejects)
            change.rejects_added = rejects[len(rest) :]
        record.tables.append(change)
        used = (
            {file.schema for file in (*added, *change.rejects_added)}
            | set(passed)
            | ({change.schema} if change.schema else set())
        )
        for name in used - picture.schemas.keys():
            record.schemas[name] = self._kept[name]
        changes += schema_changes(stream.id, before, after)

    def _keep(self, schema: pa.Schema) -> str:
        """The schema's id; what it stands for goes into the record that first uses it."""
        packed, self._kept[packed] = pack_schema(schema)
        return packed


def _files_of(picture: Picture, stream: StreamId) -> list[DataFile]:
    table = picture.tables.get(stream)
    return list(table.files.values()) if table else []


def _refuse_mode(stream: ConfiguredStream) -> None:
    if stream.write_mode not in FilesWriter.write_modes:
        raise ConfigError(
            f"rows of files cannot be changed or looked up: stream `{stream.id}` has `write: {stream.write_mode}`",
            hint="use `write: append` or `write: overwrite`, or a target with tables, such as `duckdb`",
            facts={"stream": str(stream.id)},
        )
