"""A file whose columns got other ids, or that was split by other partitions, because somebody else changed the table first."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from dativo.targets.iceberg._partitions import rules
from dativo.targets.iceberg._schema import with_field_ids
from dativo.targets.lakehouse._files import Budget, FileSet
from dativo.targets.lakehouse._format import DataFile, Format, Snapshot

if TYPE_CHECKING:
    from pyiceberg.partitioning import PartitionSpec
    from pyiceberg.schema import Schema

__all__ = ["refit"]

_MEMORY = 64 << 20
_FILE_BYTES = 1 << 40


def refit(
    table_format: Format, table: str, file: DataFile, logical: pa.Schema, schema: Schema, spec: PartitionSpec
) -> list[DataFile]:
    """The file's rows in new files, with the ids of this schema and by this spec; it stays as it is.

    The new files are named after it, so that they are known as the same commit's; no two calls give the same names, as an older
    run may still be at the same commit.
    """
    name = file.path.rpartition("/")[2].removesuffix(".parquet")
    numbers = itertools.count(time.time_ns())

    def path() -> str:
        return table_format.data_path(table, f"{name}{next(numbers)}.parquet")

    partition_by = [str(rule) for rule in rules(spec, schema)]
    columns = pa.schema([column for column in logical if column.name in file.details["columns"]])
    fitted = FileSet(_WithIds(table_format, schema), columns, None, partition_by, path, _FILE_BYTES, Budget(_MEMORY))
    for rows in table_format.read(file, columns, columns.names, None):
        fitted.write(rows.select(columns.names).cast(columns))
    return fitted.finish()


class _WithIds:
    """A format that gives Parquet files the ids of a schema that is decided."""

    def __init__(self, table_format: Format, schema: Schema) -> None:
        self._format = table_format
        self._schema = schema

    def parquet_schema(self, columns: pa.Schema, base: Snapshot | None) -> pa.Schema:
        return with_field_ids(columns, self._schema)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._format, name)
