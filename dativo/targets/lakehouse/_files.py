"""Rows into Parquet files: a lane for each partition, all lanes of a writer within one budget of memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from dativo_protocols import frozen
from dativo_protocols.errors import ContractError, TargetError

from dativo._exact_text import is_json
from dativo.targets._disk import refused
from dativo.targets._repetition import repeats
from dativo.targets.lakehouse._format import DataFile, Format, Snapshot
from dativo.targets.lakehouse._storage import Output

__all__ = ["Budget", "FileName", "FileSet", "read_parquet", "stored_schema"]

GROUP_BYTES = 16 << 20
OPEN_FILES = 32
_LEVEL = 1
_NAME = re.compile(r"([0-9a-f]{16})-(\d{8,})-(h|\d{8,})-(\d{6,})\.parquet")


@frozen
class FileName:
    """How files say whose they are, so that those that no commit named can be told from others.

    Attributes:
        generation: Of the run that wrote it.
        number: Of the commit that it was written for, or None when it was held for the end of the run.
    """

    app: str
    generation: int
    number: int | None
    index: int

    def __str__(self) -> str:
        number = "h" if self.number is None else f"{self.number:08}"
        return f"{self.app}-{self.generation:08}-{number}-{self.index:06}.parquet"

    @classmethod
    def parse(cls, name: str) -> FileName | None:
        """The inverse, or None for a file of another's."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        return cls(match[1], int(match[2]), None if match[3] == "h" else int(match[3]), int(match[4]))


class Budget:
    """Keeps what all file sets of a writer buffer within bounds: the largest lane is written first.

    Args:
        nbytes: Of Arrow data.
        open_files: So many are open at most.
    """

    def __init__(self, nbytes: int, open_files: int = OPEN_FILES) -> None:
        self._limit = nbytes
        self._open_files = open_files
        self._lanes: dict[int, _Lane] = {}
        self._total = 0

    def note(self, lane: _Lane, change: int) -> None:
        """A lane holds so much more, or less."""
        self._lanes[id(lane)] = lane
        self._total += change

    def forget(self, lane: _Lane) -> None:
        """A lane is finished or dropped."""
        if self._lanes.pop(id(lane), None) is not None:
            self._total -= lane.nbytes

    def keep(self) -> None:
        """Writes lanes and closes files until all is within bounds."""
        if self._total > self._limit:
            for lane in sorted(self._lanes.values(), key=lambda lane: -lane.nbytes):
                lane.flush()
                if self._total <= self._limit // 2:
                    break
        open_lanes = [lane for lane in self._lanes.values() if lane.is_open]
        for lane in open_lanes[: max(0, len(open_lanes) - self._open_files)]:
            lane.finish()


class FileSet:
    """Rows of one table that go into new files, by partition, in the order in which they come.

    Args:
        schema: Logical, of the rows.
        path: Gives the path of the next file.
        file_bytes: A file that has grown to this size is finished.
    """

    def __init__(
        self,
        table_format: Format,
        schema: pa.Schema,
        base: Snapshot | None,
        partition_by: Sequence[str],
        path: Callable[[], str],
        file_bytes: int,
        budget: Budget,
    ) -> None:
        self.schema = schema
        self.files: list[DataFile] = []
        self.rows = 0
        self._format = table_format
        self._base = base
        self._partition_by = tuple(partition_by)
        self._stored = stored_schema(table_format, schema)
        self._path = path
        self._file_bytes = file_bytes
        self._budget = budget
        self._lanes: dict[tuple[tuple[str, str | None], ...], _Lane] = {}

    def write(self, rows: pa.RecordBatch) -> None:
        """Takes rows of exactly the logical schema."""
        if not rows.num_rows:
            return
        self.rows += rows.num_rows
        stored = rows.cast(self._stored) if not rows.schema.equals(self._stored) else rows
        if self._partition_by:
            for partition, part in self._format.split(stored, self._partition_by, self._base):
                self._lane(partition).add(part)
        else:
            self._lane({}).add(stored)
        self._budget.keep()

    def finish(self) -> list[DataFile]:
        """Finishes all files, and gives those that were written since the last call, in the order of their names."""
        for lane in self._lanes.values():
            lane.finish()
            self._budget.forget(lane)
        self._lanes.clear()
        files, self.files = sorted(self.files, key=lambda file: file.path), []
        return files

    def drop(self) -> None:
        """Gives up what is not finished."""
        for lane in self._lanes.values():
            lane.abandon()
            self._budget.forget(lane)
        self._lanes.clear()

    def _lane(self, partition: Mapping[str, str | None]) -> _Lane:
        key = tuple(partition.items())
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane(self, partition)
        return lane


@dataclass(eq=False, slots=True)
class _Lane:
    """One partition's rows: those that wait for their group to fill, and the file that is open."""

    owner: FileSet
    partition: Mapping[str, str | None]
    nbytes: int = 0
    _rows: list[pa.RecordBatch] = field(default_factory=list)
    _file: _ParquetFile | None = None

    @property
    def is_open(self) -> bool:
        return self._file is not None

    def add(self, rows: pa.RecordBatch) -> None:
        self._rows.append(rows)
        size = max(rows.nbytes, 1)
        self.nbytes += size
        self.owner._budget.note(self, size)
        if self.nbytes >= GROUP_BYTES:
            self.flush()

    def flush(self) -> None:
        if not self._rows:
            return
        owner = self.owner
        if self._file is None:
            schema = owner._format.parquet_schema(self._rows[0].schema, owner._base)
            self._file = _ParquetFile(owner._format, owner._path(), schema, owner.schema, self._rows[0])
        file, rows, size = self._file, self._rows, self.nbytes
        self._rows, self.nbytes = [], 0
        owner._budget.note(self, -size)
        file.write(rows)
        if file.size() >= owner._file_bytes:
            self.finish()

    def finish(self) -> None:
        self.flush()
        if self._file is not None:
            file, self._file = self._file, None
            self.owner.files.append(file.finish(self.partition))

    def abandon(self) -> None:
        if self._file is not None:
            self._file.abandon()
            self._file = None


class _ParquetFile:
    def __init__(self, table_format: Format, path: str, schema: pa.Schema, logical: pa.Schema, sample: pa.RecordBatch) -> None:
        self._format, self._path, self._schema, self._logical = table_format, path, schema, logical
        self._output: Output = table_format.output(path)
        with _disk("write", self._output.place):
            self._writer = pq.ParquetWriter(
                self._output.sink,
                schema,
                compression="zstd",
                compression_level=_LEVEL,
                use_dictionary=_repeating(schema, logical, sample) or False,
                version="2.6",
                use_compliant_nested_type=True,
                store_schema=False,
            )

    def write(self, rows: list[pa.RecordBatch]) -> None:
        for index, column in enumerate(self._schema):
            if not column.nullable and any(batch.column(index).null_count for batch in rows):
                raise ContractError(
                    f"column `{column.name}` must have a value in every row of `{self._path}`, and some have none",
                    hint="make the table's column optional, or let the job's contract keep such rows out",
                    facts={"column": column.name},
                )
        table = pa.Table.from_batches([pa.RecordBatch.from_arrays(batch.columns, schema=self._schema) for batch in rows])
        with _disk("write", self._output.place):
            self._writer.write_table(table, row_group_size=table.num_rows)

    def size(self) -> int:
        return self._output.tell()

    def finish(self, partition: Mapping[str, str | None]) -> DataFile:
        with _disk("write", self._output.place):
            self._writer.close()
            metadata: pq.FileMetaData = self._writer.writer.metadata
            self._output.finish()
        details = self._format.details(metadata, self._logical)
        return DataFile(self._path, metadata.num_rows, self._output.tell(), dict(partition), details)

    def abandon(self) -> None:
        # Closing the writer would write a footer, perhaps to a full disk.
        self._writer.is_open = False
        self._output.abandon()


def stored_schema(table_format: Format, schema: pa.Schema) -> pa.Schema:
    """The logical schema as files hold it."""
    return pa.schema([table_format.stored(column) for column in schema])


def read_parquet(source: Any, columns: Sequence[str] | None, rows: int = 1 << 16, *, path: str = "") -> Iterator[pa.RecordBatch]:
    """Batches of a Parquet file in its order, in bounded memory: about 8 MiB each.

    Args:
        source: What `Format.input` gives; closed at the end.
        columns: Of the file's top-level columns; those that it lacks are left out. With none of
            them, its first one comes, for the number of rows. None reads all.
        path: For messages.

    Raises:
        TargetError: The file is damaged, or the disk fails.
    """
    with _disk("read", path), pq.ParquetFile(source, pre_buffer=False) as file:
        names = file.schema_arrow.names
        wanted = [name for name in columns if name in names] if columns is not None else names
        size = sum(file.metadata.row_group(index).total_byte_size for index in range(file.metadata.num_row_groups))
        count = max(1, min(rows, (8 << 20) * file.metadata.num_rows // max(1, size)))
        yield from file.iter_batches(batch_size=count, columns=wanted or names[:1], use_threads=False)


@contextmanager
def _disk(action: str, path: str) -> Iterator[None]:
    try:
        yield
    except pa.ArrowInvalid as error:
        raise TargetError(f"cannot {action} `{path}`: it is damaged: {error}", facts={"path": path}) from error
    except OSError as error:
        raise refused(error, action, path) from error


def _repeating(schema: pa.Schema, logical: pa.Schema, sample: pa.RecordBatch) -> list[str]:
    """Columns where values come again, by a sample: elsewhere a dictionary costs twice the work and makes files larger."""
    json = {field.name for field in logical if is_json(field)}
    return [
        column.name
        for column, name, array in zip(schema, sample.schema.names, sample.columns, strict=True)
        if not pa.types.is_boolean(column.type) and name not in json and repeats(array)
    ]
