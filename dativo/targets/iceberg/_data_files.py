"""Data files: what a finished Parquet file tells, as JSON values, and the entry of a manifest made of it."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from dativo_protocols.errors import TargetError

from dativo.targets.iceberg._partitions import record_values
from dativo.targets.iceberg._schema import field_ids
from dativo.targets.lakehouse._format import DataFile

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile as Entry
    from pyiceberg.partitioning import PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.types import IcebergType

__all__ = ["Ranges", "entry_of", "file_details", "is_misfit"]

_TRUNCATED = 16
"""Characters of a text that pyiceberg keeps in a bound, and so from where on a bound may not be a value."""


def file_details(metadata: pq.FileMetaData) -> dict[str, Any]:
    """What the manifest says of a file.

    `columns`: by dotted path the field id, the type, bytes on disk, values, nulls, and bounds in base 64; `splits`: where row
    groups begin.
    """
    from pyiceberg.io.pyarrow import (
        compute_statistics_plan,
        data_file_statistics_from_parquet_metadata,
        parquet_path_to_id_mapping,
        pyarrow_to_schema,
    )

    schema = pyarrow_to_schema(metadata.schema.to_arrow_schema())
    statistics = data_file_statistics_from_parquet_metadata(
        metadata, compute_statistics_plan(schema, {}), parquet_path_to_id_mapping(schema)
    )
    found = statistics.to_serialized_dict()
    columns: dict[str, list[Any]] = {}
    for path, number in field_ids(schema).items():
        bounds = [_text(found[side].get(number)) for side in ("lower_bounds", "upper_bounds")]
        counts = [found[side].get(number) for side in ("column_sizes", "value_counts", "null_value_counts")]
        columns[path] = [number, str(schema.find_type(number)) if counts[0] is not None else "", *counts, *bounds]
    return {"columns": columns, "splits": found["split_offsets"]}


def is_misfit(file: DataFile, schema: Schema, spec: PartitionSpec) -> bool:
    """Whether the file was written with other field ids than the table's, or for other partitions: its rows need a new file."""
    ids = field_ids(schema)
    if any(ids.get(path) != column[0] for path, column in file.details["columns"].items()):
        return True
    return set(file.partition) != {field.name for field in spec.fields if str(field.transform) != "void"}


def entry_of(file: DataFile, schema: Schema, spec: PartitionSpec, table: str) -> Entry:
    """The manifest's entry for a file that was written with the ids of this schema.

    Raises:
        TargetError: A column must have a value in each row, and has not.
    """
    from pyiceberg.manifest import DataFile as Entry
    from pyiceberg.manifest import DataFileContent, FileFormat
    from pyiceberg.typedef import Record

    columns = list(file.details["columns"].values())
    _check_required(file, schema, table)
    lower, upper = {}, {}
    for number, kind, *_, low, high in columns:
        wanted = schema.find_type(number)
        if low is not None:
            lower[number] = _bound(low, kind, wanted)
        if high is not None:
            upper[number] = _bound(high, kind, wanted)
    return Entry.from_args(
        content=DataFileContent.DATA,
        file_path=file.path,
        file_format=FileFormat.PARQUET,
        partition=Record(*record_values(file.partition, spec, schema)),
        record_count=file.rows,
        file_size_in_bytes=file.bytes,
        column_sizes={column[0]: column[2] for column in columns if column[2] is not None},
        value_counts={column[0]: column[3] for column in columns if column[3] is not None},
        null_value_counts={column[0]: column[4] for column in columns if column[4] is not None},
        nan_value_counts={},
        lower_bounds=lower,
        upper_bounds=upper,
        split_offsets=file.details["splits"],
        sort_order_id=None,
        spec_id=spec.spec_id,
        equality_ids=None,
        key_metadata=None,
    )


def _check_required(file: DataFile, schema: Schema, table: str) -> None:
    nulls = {column[0]: column[4] for column in file.details["columns"].values()}
    for field in schema.fields:
        if field.required and field.field_type.is_primitive and nulls.get(field.field_id) != 0:
            raise TargetError(
                f"column `{field.name}` of table `{table}` is required, and has no value in some rows",
                hint="make the column optional",
                facts={"table": table, "column": field.name},
            )


class Ranges(Mapping[str, tuple[Any, Any]]):
    """Least and greatest values by column, worked out when they are asked for.

    Args:
        entry: Of the manifest.
        columns: Logical, of the table.
    """

    def __init__(self, entry: Entry, schema: Schema, columns: pa.Schema) -> None:
        self._entry = entry
        self._schema = schema
        self._columns = columns

    def __getitem__(self, name: str) -> tuple[Any, Any]:
        from pyiceberg.conversions import from_bytes

        field = self._schema.find_field(name) if name in self._columns.names else None
        if field is None or not field.field_type.is_primitive:
            raise KeyError(name)
        kind: Any = field.field_type
        bounds = [(side or {}).get(field.field_id) for side in (self._entry.lower_bounds, self._entry.upper_bounds)]
        values = [None if bound is None else _value(from_bytes(kind, bound), self._columns.field(name).type) for bound in bounds]
        if None in values:
            raise KeyError(name)
        return values[0], values[1]

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._columns.names if self.get(name) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _value(bound: Any, kind: pa.DataType) -> Any:
    """A bound as a value of the column's logical type, or None where it may not be one."""
    if isinstance(bound, (str, bytes)):
        return bound if len(bound) < _TRUNCATED else None
    if isinstance(bound, float):
        return None
    if pa.types.is_temporal(kind):
        try:
            return pa.scalar(bound, pa.int32() if kind.bit_width == 32 else pa.int64()).cast(kind).as_py()
        except (ValueError, OverflowError):
            # Beyond Python's years.
            return None
    if pa.types.is_integer(kind) and isinstance(bound, Decimal):
        return int(bound)
    return bound


def _bound(text: str, before: str, after: IcebergType) -> bytes:
    """A bound in the column's type of today."""
    from pyiceberg.conversions import from_bytes, to_bytes
    from pyiceberg.types import DoubleType, FloatType, IntegerType, LongType

    bound = base64.b64decode(text)
    if before == str(after):
        return bound
    if isinstance(after, (LongType, DoubleType)):
        return to_bytes(after, from_bytes(IntegerType() if isinstance(after, LongType) else FloatType(), bound))
    return bound


def _text(bound: bytes | None) -> str | None:
    return None if bound is None else base64.b64encode(bound).decode()
