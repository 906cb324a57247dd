"""Committed files as Arrow: `dativo.dataset(path)`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from dativo_protocols import StreamId
from dativo_protocols.errors import ConfigError, TargetError
from dativo_sdk import JobKey

from dativo.targets._commit_log import read_picture
from dativo.targets._commit_record import DataFile, Picture
from dativo.targets._data_file import read_data_file
from dativo.targets._kept_schema import REJECTS, load_schema
from dativo.targets._place import open_store
from dativo.targets._steps import conform_through, stages
from dativo.targets._store import Store

if TYPE_CHECKING:
    from dativo.keys import Keyring

__all__ = ["Dataset", "Rows", "dataset"]


def dataset(
    path: str | Path, storage_options: Mapping[str, Any] | None = None, *, keys: Mapping[str, Any] | Keyring | None = None
) -> Dataset:
    """The dataset that a file target keeps at `path`, as it is now; later commits need another call.

    Args:
        path: A directory, or the URL of a place in an object store.
        storage_options: How to reach the object store; the same keys as in a job.
        keys: For encrypted files: the target's `encryption` or only its `kms`, or a `dativo.keys.Keyring`; `docs/encryption.md`.

    Raises:
        ConfigError: No target has ever written there, or an option is not valid.
        TargetError: The commit log is damaged, or the store cannot be reached.
    """
    store = open_store(path, storage_options)
    if keys is not None:
        from dativo.targets._encryption import with_keys

        store = with_keys(store, keys)
    return Dataset(store)


class Rows:
    """The rows of a table, in committed files that never change; may be read any number of times.

    polars, DuckDB and pyarrow take it as it is, by the Arrow PyCapsule interface (`__arrow_c_stream__`).

    Attributes:
        schema: Its columns. Files written before a column was added or widened give it as null, or as converted values.
        num_rows: From the commit log; no file is opened.
        paths: Its files, in the order they were committed.
    """

    def __init__(
        self,
        store: Store,
        schema: pa.Schema,
        files: Sequence[DataFile],
        schemas: Mapping[str, bytes],
        passed: Sequence[pa.Schema] = (),
    ) -> None:
        self.schema = schema
        self._passed = passed
        self.num_rows = sum(file.rows for file in files)
        self.paths = [store.locate(file.path) for file in files]
        self._store = store
        self._sources = [(file, load_schema(schemas[file.schema])) for file in files]

    def scan(self, columns: Sequence[str] | None = None) -> pa.RecordBatchReader:
        """The rows as a stream, batch by batch in bounded memory.

        Args:
            columns: Those to read, in this order; None reads all.

        Raises:
            ConfigError: A column does not exist.
        """
        names = list(self.schema.names) if columns is None else list(columns)
        for name in names:
            if name not in self.schema.names:
                valid = ", ".join(f"`{column}`" for column in self.schema.names)
                raise ConfigError(f"there is no column `{name}`", hint=f"columns: {valid}", facts={"column": name})
        schema = pa.schema([self.schema.field(name) for name in names])
        return pa.RecordBatchReader.from_batches(schema, self._batches(schema))

    def to_arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows in memory."""
        return self.scan(columns).read_all()

    def __arrow_c_schema__(self) -> object:
        return self.schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.scan().__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        return f"<{self.num_rows} rows of {len(self.schema.names)} columns in {len(self.paths)} files>"

    def _batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        for file, written in self._sources:
            rows = file.rows
            present = [name for name in schema.names if name in written.names]
            steps = stages(pa.schema([written.field(name) for name in present]), self._passed)
            for batch in read_data_file(self._store, file, written, present):
                rows -= batch.num_rows
                yield conform_through(batch if present else batch.select([]), steps, schema)
            if rows:
                path = self._store.locate(file.path)
                raise TargetError(f"`{path}` has not as many rows as were committed: it is damaged", facts={"path": path})


class Dataset:
    """Everything committed at one path at one moment. It goes on reading that, whatever is committed later.

    Files that were replaced since then are kept for a while: `keep_replaced_seconds` of the target, 15 minutes by default.

    A stream is asked for by its name, by `namespace.name`, by a `StreamId`, or by its table's name.

    Attributes:
        path: Where it lies: an absolute path, or a URL.
        streams: Streams that have a table.
        tables: Their tables' names, in the same order.
    """

    def __init__(self, store: Store) -> None:
        if not store.exists():
            raise ConfigError(
                f"there is no dataset at `{store.location}`",
                hint="give the `path` of a file target (`parquet`, `jsonl`, `csv`, `arrow`) that a job has written to",
                facts={"path": store.location},
            )
        self.path = store.location
        self._store = store
        self._picture: Picture = read_picture(store)
        self.streams: list[StreamId] = [stream for stream, table in self._picture.tables.items() if table.schema is not None]
        self.tables: list[str] = [self._picture.tables[stream].table for stream in self.streams]

    def __getitem__(self, stream: str | StreamId) -> Rows:
        """The stream's rows.

        Raises:
            KeyError: There is no such table.
        """
        table = self._picture.tables[self._find(stream)]
        if table.schema is None:
            raise KeyError(str(stream))
        passed = [self._schema(name) for name in table.passed]
        return Rows(self._store, self._schema(table.schema), list(table.files.values()), self._picture.schemas, passed)

    def schema(self, stream: str | StreamId) -> pa.Schema:
        """The table's columns; JSON text is utf8 marked `arrow.json`."""
        return self[stream].schema

    def files(self, stream: str | StreamId) -> list[str]:
        """Absolute paths, or URLs, of the table's committed files."""
        return self[stream].paths

    def scan(self, stream: str | StreamId, columns: Sequence[str] | None = None) -> pa.RecordBatchReader:
        """The stream's rows, batch by batch; see `Rows.scan`."""
        return self[stream].scan(columns)

    def to_arrow(self, stream: str | StreamId, columns: Sequence[str] | None = None) -> pa.Table:
        """The stream's rows, all in memory."""
        return self[stream].to_arrow(columns)

    def quarantine(self, stream: str | StreamId) -> Rows:
        """The stream's rejected rows: `line` int64, `column` utf8, `reason` utf8, `record` binary; see `Rejects`."""
        rejects = self._picture.tables[self._find(stream)].rejects
        return Rows(self._store, REJECTS, list(rejects.values()), self._picture.schemas)

    def state(self, job: JobKey | str) -> bytes | None:
        """The job's committed state, exactly as its source gave it; `job` as `tenant/job`."""
        key = JobKey(*job.split("/", 1)) if isinstance(job, str) and "/" in job else job
        return self._picture.states.get(key) if isinstance(key, tuple) else None

    def __repr__(self) -> str:
        return f"<dataset `{self.path}` at commit {self._picture.number}: {', '.join(self.tables)}>"

    def _schema(self, name: str) -> pa.Schema:
        return load_schema(self._picture.schemas[name])

    def _find(self, stream: str | StreamId) -> StreamId:
        streams = self._picture.tables
        if isinstance(stream, StreamId):
            if stream in streams:
                return stream
            raise KeyError(str(stream))
        for found in (
            [known for known in streams if str(known) == stream],
            [known for known, table in streams.items() if table.table == stream],
            [known for known in streams if known.name == stream],
        ):
            if len(found) == 1:
                return found[0]
        raise KeyError(f"no stream `{stream}`; there are: {', '.join(str(known) for known in streams)}")
