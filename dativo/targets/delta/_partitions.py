"""Values of partition columns: text in the log, and no column in the files."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
from dativo_protocols.errors import ConfigError, ContractError

from dativo import _compute as pc
from dativo._evolution import type_text

__all__ = ["partition_array", "partition_text", "split"]


def split(rows: pa.RecordBatch, partition_by: Sequence[str]) -> Iterator[tuple[Mapping[str, str | None], pa.RecordBatch]]:
    """The rows by partition, in their order, without the partition columns.

    Raises:
        ConfigError: The type of a column has no exact text.
        ContractError: A string is empty: Delta takes it for null.
    """
    codes = pa.array([0], pa.int64()).take(pa.array([0] * rows.num_rows, pa.int32()))
    values: list[list[str | None]] = []
    for name in partition_by:
        column = rows.column(name)
        _check(rows.schema.field(name), column)
        encoded = pc.dictionary_encode(column, null_encoding="encode")
        known = [partition_text(value) for value in encoded.dictionary.to_pylist()]
        codes = pc.add(pc.multiply(codes, len(known)), encoded.indices.cast(pa.int64()))
        values.append(known)
    rest = rows.select([name for name in rows.schema.names if name not in partition_by])
    order = pc.array_sort_indices(codes)
    runs = pc.run_end_encode(codes.take(order), run_end_type=pa.int64())
    found, ends = runs.values.to_pylist(), runs.run_ends.to_pylist()
    for code, start, end in zip(found, [0, *ends], ends, strict=False):
        texts: list[str | None] = []
        for known in reversed(values):
            code, index = divmod(code, len(known))
            texts.append(known[index])
        partition = dict(zip(partition_by, reversed(texts), strict=True))
        part = rest if len(found) == 1 else rest.take(order.slice(start, end - start))
        yield partition, part


def partition_text(value: Any) -> str | None:
    """A value as the log has it."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, datetime.date) else str(value)


def partition_array(text: str | None, kind: pa.DataType, count: int) -> pa.Array:
    """The inverse, so many times."""
    if text is None:
        return pa.nulls(count, kind)
    if pa.types.is_boolean(kind):
        return pa.repeat(pa.scalar(text == "true"), count)
    return pa.repeat(pa.scalar(text).cast(kind), count)


def _check(field: pa.Field, column: pa.Array) -> None:
    kind = field.type
    if not (pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_date(kind) or pa.types.is_boolean(kind)):
        raise ConfigError(
            f"a Delta table cannot be partitioned by column `{field.name}` of type `{type_text(kind)}`",
            hint="choose a string, integer, date or boolean column in `partition_by`",
            facts={"column": field.name},
        )
    if pa.types.is_string(kind) and pc.any(pc.equal(column, "")).as_py():
        raise ContractError(
            f"partition column `{field.name}` has an empty string, which Delta would take for null",
            hint="partition by another column",
            facts={"column": field.name},
        )
