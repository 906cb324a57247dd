"""What a table format gives, so that `LakehouseWriter` can keep its promise over several tables: loading, files, one atomic
commit.

Everything is per table; what binds tables together, the intent, is in `_log`. Names of files are chosen by the writer and are
unique.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from dativo_protocols import frozen

from dativo.targets.lakehouse._storage import Input, Output, Storage

__all__ = ["DataFile", "Format", "Mark", "Snapshot", "TableCommit"]


class Mark(NamedTuple):
    """What a table's commit carries, so that applying it twice is a no-op.

    Attributes:
        app: The job, as a short name of hexadecimal digits.
        number: Of the record in the job's log; rises with each commit of the job.
    """

    app: str
    number: int


@frozen
class DataFile:
    """A finished Parquet file.

    Attributes:
        path: As `Format.input` takes it.
        partition: Values of the partition columns, as the format writes them; empty for tables without partitions.
        details: What the format has to know at the commit (`Format.details`), and what it needs to remove the file: JSON values
        only.
        ranges: Least and greatest value of columns, where they are known and exact, in logical types; only on files of a
        `Snapshot`.
    """

    path: str
    rows: int
    bytes: int
    partition: Mapping[str, str | None] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    ranges: Mapping[str, tuple[Any, Any]] = field(default_factory=dict, compare=False)


@frozen
class Snapshot:
    """A table as it was loaded.

    Attributes:
        version: The format's own name of this state; another one after every commit to the table, whoever made it.
        schema: Logical: Dativo's types under the table's column names, JSON as marked utf8. Where the table was changed by
            others, their columns are in it too.
        columns: Original to table column names, as kept.
        partition_by: The partition columns, in order; empty without partitions.
        files: All data files.
        mark_of: The greatest number of a job (`Mark.app`) that was applied to the table; 0 without any.
        native: The format's own object.
    """

    version: str
    schema: pa.Schema
    columns: Mapping[str, str]
    partition_by: tuple[str, ...]
    files: Sequence[DataFile]
    mark_of: Callable[[str], int]
    native: Any = None

    @property
    def rows(self) -> int:
        """Rows of the table."""
        return sum(file.rows for file in self.files)


@frozen
class TableCommit:
    """One atomic change to one table.

    Attributes:
        schema: Logical, after the commit; the format keeps it in the table so that `load` gives it back.
        columns: Original to table column names, complete; kept likewise.
        partition_by: For a new table, or one that is replaced.
        added: Files to add.
        removed: Files of the base to remove.
        replaces: Whether the table is replaced as a whole: columns that are not in `schema` go, its partitions may be others.
        mark: To be kept in this very commit.
        info: For people who read the table's history: `run_id`, `job`, `stream`, `mode`.
        state: The job's state of this commit, for them too.
    """

    schema: pa.Schema
    columns: Mapping[str, str]
    partition_by: tuple[str, ...]
    added: Sequence[DataFile]
    removed: Sequence[DataFile]
    replaces: bool
    mark: Mark
    info: Mapping[str, str]
    state: bytes | None = None


class Format(Protocol):
    """A table format at one place. Used from one thread, except `input` and `read`, which DuckDB's threads call too.

    Paths of files come from `data_path` or from a snapshot; those that begin with `_dativo/` are files of `storage`.

    Errors are `TargetError` (retryable where waiting helps) with the table's name in it.

    Attributes:
        name: Of the target: `delta`. Fault points are called after it.
        uri: The place, for messages: without secrets.
        storage: Where Dativo's own records are kept, and staged files.
    """

    name: str
    uri: str
    storage: Storage

    def tables(self) -> Sequence[str]:
        """Names of all tables that are there, whoever made them."""
        ...

    def load(self, table: str) -> Snapshot | None:
        """The table as it is now, or None when there is none."""
        ...

    def commit(self, table: str, base: Snapshot | None, commit: TableCommit) -> bool:
        """Makes the change atomically and durably, if the table is still what `base` says; with None, creates the table.

        Returns:
            False, with nothing changed, when somebody else has committed to the table since, or has created it.

        Raises:
            TargetError: It cannot be done, or is not known to have been done: the mark tells, at the next `load`.
        """
        ...

    def stored(self, column: pa.Field) -> pa.Field:
        """The column as the table's files hold it; `pyarrow`'s cast brings values there and back unchanged, or they are times as
        text.

        Raises:
            ValueError: The format has no type that holds all values unchanged; says what.
        """
        ...

    def promotes(self, before: pa.Field, after: pa.Field) -> bool:
        """Whether files with values of the one logical type may stay when the column becomes the other, and read as its
        values."""
        ...

    def parquet_schema(self, schema: pa.Schema, base: Snapshot | None) -> pa.Schema:
        """The schema to write a Parquet file with, for columns in their stored types: the same types; names and metadata may
        differ."""
        ...

    def split(
        self, rows: pa.RecordBatch, partition_by: Sequence[str], base: Snapshot | None
    ) -> Iterator[tuple[Mapping[str, str | None], pa.RecordBatch]]:
        """The rows by partition, in stored types and their order, without columns that files do not hold."""
        ...

    def data_path(self, table: str, name: str) -> str:
        """The path of a new data file; `name` ends in `.parquet`. The table may not exist yet."""
        ...

    def details(self, metadata: pq.FileMetaData, schema: pa.Schema) -> Mapping[str, Any]:
        """`DataFile.details` of a finished file; `schema` is its logical one."""
        ...

    def output(self, path: str) -> Output:
        """Opens a new file for writing."""
        ...

    def input(self, path: str) -> Input:
        """Opens a file for reading, at any position."""
        ...

    def read(self, file: DataFile, schema: pa.Schema, columns: Sequence[str], base: Snapshot | None) -> Iterator[pa.RecordBatch]:
        """The file's rows in their order, in bounded memory, in stored types (of today or of when the file was written).

        The columns are those of `columns` that it has, under the table's names; those whose values only the table's log holds
        (partitions) are among them. With none of them, some column comes, for the number of rows.

        Args:
            schema: Logical, of the file.
            base: The snapshot that has the file, or None for one that was just written.
        """
        ...

    def own_files(self, table: str, prefix: str) -> Sequence[str]:
        """Paths of files among the table's data files whose names begin so, whether the table knows them or not."""
        ...

    def delete(self, paths: Sequence[str]) -> None:
        """Deletes files that no table names; those that are gone are no error."""
        ...

    def maintain(self, table: str, base: Snapshot | None) -> None:
        """Called after each applied commit on that base: checkpoints of the log and the like. Errors are to be kept in."""
        ...
