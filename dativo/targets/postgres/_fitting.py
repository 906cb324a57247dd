"""Do a stream's rows fit a table as it was found? And what a run has changed of its columns."""

from __future__ import annotations

import pyarrow as pa
from dativo_protocols import StreamId
from dativo_protocols.errors import ContractError
from dativo_sdk import SchemaChange

from dativo import _compute as pc
from dativo._evolution import same_type, type_text
from dativo.targets.postgres._catalog import Relation

__all__ = ["MOMENT", "check_precision", "differences", "refuse_generated", "with_moments"]

MOMENT = pa.timestamp("us", "UTC")
"""The type of the columns that say when a row was deleted, and from when to when it held."""


def refuse_generated(relation: Relation | None, names: list[str], stream: StreamId) -> None:
    """Refuses columns that PostgreSQL computes.

    Raises:
        ContractError: One of these names is one.
    """
    for column in () if relation is None else relation.columns:
        if column.generated and column.field.name in names:
            raise ContractError(
                f"PostgreSQL generates column `{column.field.name}` of its table, but stream `{stream}` has it too",
                hint="leave it out with `fields` in the job",
                facts={"stream": str(stream), "column": column.field.name},
            )


def check_precision(relation: Relation | None, rows: pa.RecordBatch, stream: StreamId) -> None:
    """Refuses fractions of a second that a column of the user's would round.

    Raises:
        ContractError: Names stream and column.
    """
    for column in () if relation is None else relation.columns:
        if column.coarse is None or column.field.name not in rows.schema.names:
            continue
        values, unit = rows.column(column.field.name).view(pa.int64()), 10 ** (6 - column.coarse)
        if pc.any(pc.not_equal(pc.multiply(pc.divide(values, unit), unit), values)).as_py():
            raise ContractError(
                f"column `{column.field.name}` is `{column.type_name}`, which would round a value of stream `{stream}`",
                hint="change the column's type by hand",
                facts={"stream": str(stream), "column": column.field.name},
            )


def with_moments(schema: pa.Schema, *names: str) -> pa.Schema:
    """The schema, and columns of moments of these names that it lacks."""
    for name in names:
        if name not in schema.names:
            schema = schema.append(pa.field(name, MOMENT))
    return schema


def differences(stream: StreamId, old: pa.Schema | None, new: pa.Schema, ours: frozenset[str]) -> list[SchemaChange]:
    """What replacing a table's rows changes; a column that is gone has no `after`."""
    if old is None:
        return [SchemaChange(stream, "table", None, None, None)]
    before, after = ({field.name: field for field in schema} for schema in (old, new))
    changes = [
        SchemaChange(stream, "column", name, None, type_text(field)) for name, field in after.items() if name not in before
    ]
    for name, field in before.items():
        if name not in after:
            changes += [SchemaChange(stream, "column", name, type_text(field), None)] if name in ours else []
        elif not same_type(field, after[name]):
            changes.append(SchemaChange(stream, "type", name, type_text(field), type_text(after[name])))
    return changes
