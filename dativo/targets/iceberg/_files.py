"""A catalog's data files: where new ones go, reading and writing them, and those of a snapshot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import pyarrow as pa
import pyarrow.parquet as pq
from dativo_protocols.errors import TargetError

from dativo._evolution import convert
from dativo.targets.iceberg._catalog import IcebergCatalog
from dativo.targets.iceberg._data_files import Ranges
from dativo.targets.iceberg._types import stored_field
from dativo.targets.lakehouse._files import read_parquet
from dativo.targets.lakehouse._format import DataFile
from dativo.targets.lakehouse._storage import Input, LocalStorage, Output, Storage

if TYPE_CHECKING:
    from pyiceberg.io import FileIO
    from pyiceberg.table import FileScanTask, Table

__all__ = ["SnapshotFiles", "TableFiles"]

_FIELD_ID = b"PARQUET:field_id"
_OWN = "_dativo/"


class TableFiles:
    """Files of all tables that a writer has to do with. Those on the local disk are synced."""

    def __init__(self, catalog: IcebergCatalog, storage: Storage) -> None:
        self.catalog = catalog
        self._storage = storage
        self._places: dict[str, tuple[str, FileIO | None]] = {}
        self._asked: dict[str, str] = {}
        self._local = LocalStorage(Path("/"))

    def found(self, table: str, native: Table) -> None:
        """The table is there: where its files are is known."""
        folder = native.properties.get("write.data.path") or f"{native.location().rstrip('/')}/data"
        self._places[table] = (folder.rstrip("/"), native.io)

    def path(self, table: str, name: str) -> str:
        """The place of a new file."""
        if table not in self._places:
            native = self.catalog.table(table)
            location = self.catalog.location(table)
            if native is not None:
                self.found(table, native)
            elif location is not None:
                self._places[table] = (f"{location}/data", None)
            else:
                self._ask(table)
        return f"{self._places[table][0]}/{name}"

    def location(self, table: str) -> str | None:
        """Where a table that is not there yet has to be made, so that it has its files; None where the catalog may decide."""
        return self._asked.get(table) or self.catalog.location(table)

    def output(self, path: str) -> Output:
        """Opens a new file for writing."""
        if path.startswith(_OWN):
            return self._storage.output(path)
        local = _local_path(path)
        if local is not None:
            return self._local.output(local)
        with self.catalog.failures(f"write `{path}`"):
            return _RemoteOutput(self, path, self._io(path).new_output(path).create(overwrite=True))

    def input(self, path: str) -> Input:
        """Opens a file for reading."""
        if path.startswith(_OWN):
            return self._storage.input(path)
        local = _local_path(path)
        if local is not None:
            return self._local.input(local)
        with self.catalog.failures(f"read `{path}`"):
            return self._io(path).new_input(path).open()

    def read_new(self, path: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Rows of a file that was just written, whose columns have the table's names."""
        return read_parquet(self.input(path), columns, path=path)

    def read(self, task: FileScanTask, native: Table, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Rows of a snapshot's file, by field id, in the types of today.

        Raises:
            TargetError: Another engine has marked rows of the file as deleted, or keeps values of its columns elsewhere.
        """
        path = task.file.file_path
        if task.delete_files:
            raise _unreadable(native, "another engine has marked rows as deleted")
        found = _file_columns(self.input(path), native)
        for field in native.spec().fields:
            source = native.schema().find_column_name(field.source_id)
            if str(field.transform) == "identity" and source not in found:
                raise _unreadable(native, f"the values of `{source}` are in the names of its files alone")
        wanted = {name: found[name] for name in columns if name in found}
        fields = {field.name: stored_field(field) for field in native.schema().fields}
        for rows in read_parquet(self.input(path), list(wanted.values()), path=path):
            if not wanted:
                yield rows
                continue
            arrays = [convert(rows.column(own), rows.schema.field(own), fields[name]) for name, own in wanted.items()]
            yield pa.RecordBatch.from_arrays(arrays, schema=pa.schema([fields[name] for name in wanted]))

    def count(self, task: FileScanTask, native: Table) -> int:
        """How many rows the file has."""
        if not task.delete_files:
            return int(task.file.record_count)
        from pyiceberg.expressions import AlwaysTrue
        from pyiceberg.io.pyarrow import ArrowScan

        some = native.schema().select(native.schema().fields[0].name)
        return sum(rows.num_rows for rows in ArrowScan(native.metadata, native.io, some, AlwaysTrue()).to_record_batches([task]))

    def listed(self, table: str, prefix: str) -> list[str]:
        """Data files whose names begin so. Empty where the catalog's files cannot be listed."""
        folder = self.path(table, "").rstrip("/")
        local = _local_path(folder)
        if local is not None:
            return [f"{folder}/{name}" for name in self._local.names(local, prefix)]
        from pyarrow.fs import FileSelector
        from pyiceberg.io.pyarrow import PyArrowFileIO

        io = self._io(folder)
        if not isinstance(io, PyArrowFileIO):
            return []
        with self.catalog.failures(f"list `{folder}`"):
            scheme, host, path = io.parse_location(folder, io.properties)
            found = io.fs_by_scheme(scheme, host).get_file_info(FileSelector(path, allow_not_found=True))
        return sorted(f"{folder}/{info.base_name}" for info in found if info.base_name.startswith(prefix))

    def delete(self, paths: Sequence[str]) -> None:
        """Deletes files; those that are gone are no error."""
        for path in paths:
            local = _local_path(path)
            if path.startswith(_OWN):
                self._storage.delete([path])
                continue
            if local is not None:
                self._local.delete([local])
                continue
            with self.catalog.failures(f"delete `{path}`"):
                try:
                    self._io(path).delete(path)
                except FileNotFoundError:
                    continue

    def _ask(self, table: str) -> None:
        """Where a catalog that decides itself will put the table, and how its files are reached."""
        from pyiceberg.schema import Schema
        from pyiceberg.types import LongType, NestedField

        creation = self.catalog.creation(table, Schema(NestedField(1, "id", LongType(), required=False)), None, None, {})
        location = creation.table_metadata.location.rstrip("/")
        # A catalog hands credentials out with the table alone, and transactions do not show theirs.
        self._places[table] = (f"{location}/data", creation._table.io)
        self._asked[table] = location

    def _io(self, path: str) -> FileIO:
        from pyiceberg.io import load_file_io

        for folder, io in self._places.values():
            if io is not None and path.startswith(folder):
                return io
        return load_file_io(self.catalog.open().properties, path)


class SnapshotFiles(Sequence[DataFile]):
    """All data files of a table, listed when they are first asked for: appending needs none of them."""

    def __init__(self, files: TableFiles, native: Table, columns: pa.Schema) -> None:
        self._files = files
        self._native = native
        self._columns = columns

    @overload
    def __getitem__(self, index: int) -> DataFile: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[DataFile]: ...
    def __getitem__(self, index: int | slice) -> DataFile | Sequence[DataFile]:
        return self._found[index]

    def __len__(self) -> int:
        return len(self._found)

    def task(self, path: str) -> FileScanTask:
        """What pyiceberg knows of one of them."""
        return self._tasks[path]

    @cached_property
    def _tasks(self) -> dict[str, FileScanTask]:
        with self._files.catalog.failures("list the files of", self._native.name()[-1]):
            return {task.file.file_path: task for task in self._native.scan().plan_files()}

    @cached_property
    def _found(self) -> list[DataFile]:
        schema = self._native.schema()
        return [
            DataFile(
                path,
                self._files.count(task, self._native),
                task.file.file_size_in_bytes,
                ranges=Ranges(task.file, schema, self._columns),
            )
            for path, task in sorted(self._tasks.items())
        ]


class _RemoteOutput:
    """A file in an object store, by pyiceberg's own means."""

    def __init__(self, files: TableFiles, path: str, sink: Any) -> None:
        self._files, self._path = files, path
        self.sink = sink
        self.place = path
        self._bytes = 0

    def tell(self) -> int:
        return self._bytes if self.sink.closed else int(self.sink.tell())

    def finish(self) -> None:
        with self._files.catalog.failures(f"write `{self._path}`"):
            self._bytes = int(self.sink.tell())
            self.sink.close()

    def abandon(self) -> None:
        try:
            self.sink.close()
            self._files.delete([self._path])
        except Exception:
            return


def _local_path(path: str) -> str | None:
    return path.removeprefix("file://") if path.startswith("file:///") else path if path.startswith("/") else None


def _file_columns(source: Input, native: Table) -> dict[str, str]:
    """The table's column names to the file's: by field id, or by name in files that have none."""
    with pq.ParquetFile(source) as file:
        fields = list(file.schema_arrow)
    ids = {int(field.metadata[_FIELD_ID]): field.name for field in fields if _FIELD_ID in (field.metadata or {})}
    if not ids:
        names = {field.name for field in fields}
        return {column.name: column.name for column in native.schema().fields if column.name in names}
    return {column.name: ids[column.field_id] for column in native.schema().fields if column.field_id in ids}


def _unreadable(native: Table, why: str) -> TargetError:
    name = ".".join(native.name())
    return TargetError(
        f"cannot rewrite files of table `{name}`: {why}",
        hint="let that engine rewrite the table's data files (compact it), then run again",
        facts={"table": name},
    )
