"""Rows of data files in the types that the table has today, whatever they were when the file was written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
from dativo_protocols import StreamId

from dativo import _compute as pc
from dativo._evolution import conform, same_type
from dativo.targets.lakehouse._format import DataFile, Format, Snapshot

__all__ = ["fits", "numbered", "read_rows"]


def read_rows(
    table_format: Format,
    file: DataFile,
    stages: Sequence[pa.Schema],
    columns: Sequence[str],
    stream: StreamId,
    base: Snapshot | None = None,
) -> Iterator[pa.RecordBatch]:
    """Batches of exactly these columns, in the last stage's types; those that the file lacks are null.

    Args:
        stages: Logical schemas, the file's own first: values take each step.
        columns: Of the last stage.

    Raises:
        ContractError: A value would change.
    """
    first, last = stages[0], pa.schema([stages[-1].field(name) for name in columns])
    wanted = [name for name in columns if name in first.names]
    for stored in table_format.read(file, first, wanted, base):
        present = [name for name in wanted if name in stored.schema.names]
        batch = _logical(stored, first, present)
        for stage in stages[1:]:
            batch = conform(batch, pa.schema([stage.field(name) for name in batch.schema.names]), stream=stream)
        if present:
            yield conform(batch, last, stream=stream)
        else:
            nulls = [pa.nulls(stored.num_rows, column.type) for column in last]
            yield pa.RecordBatch.from_arrays(nulls, schema=last) if nulls else stored


def fits(table_format: Format, before: pa.Schema, after: pa.Schema) -> bool:
    """Whether files of the one logical schema may stay in a table of the other."""
    return all(
        same_type(column, after.field(column.name)) or table_format.promotes(column, after.field(column.name))
        for column in before
        if column.name in after.names
    )


def _logical(stored: pa.RecordBatch, schema: pa.Schema, names: Sequence[str]) -> pa.RecordBatch:
    fields = [schema.field(name) for name in names]
    arrays = [stored.column(column.name) for column in fields]
    arrays = [_restored(array, column.type) for array, column in zip(arrays, fields, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def _restored(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """Stored values in their logical type; pyarrow casts all but times that are text."""
    if array.type.equals(kind):
        return array
    if pa.types.is_time(kind) and pa.types.is_string(array.type):
        moments = pc.binary_join_element_wise(pa.scalar("1970-01-01 "), array, "")
        return moments.cast(pa.timestamp("us")).cast(kind)
    mask = pc.is_null(array) if array.null_count else None
    if pa.types.is_struct(kind):
        children = [_restored(child, field.type) for child, field in zip(array.flatten(), kind, strict=True)]
        return pa.StructArray.from_arrays(children, fields=list(kind), mask=mask)
    if pa.types.is_list(kind):
        lengths = pc.fill_null(pc.list_value_length(array).cast(pa.int64()), 0)
        offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths).cast(pa.int32())])
        return pa.ListArray.from_arrays(offsets, _restored(array.flatten(), kind.value_type), type=kind, mask=mask)
    return array.cast(kind)


def numbered(start: int, count: int) -> pa.Array:
    """`count` numbers from `start` on, as int64, without a Python object for each."""
    return pc.cumulative_sum(pa.repeat(pa.scalar(1, pa.int64()), count), start=start - 1)
