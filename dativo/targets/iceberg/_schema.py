"""Columns by field id: how a table's Iceberg schema follows its columns, and which ids the columns of a data file get."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from dativo.targets.iceberg._types import iceberg_type, widens

if TYPE_CHECKING:
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table, Transaction
    from pyiceberg.table.update.schema import UpdateSchema
    from pyiceberg.types import IcebergType, ListType, NestedField, StructType

__all__ = ["change_schema", "field_ids", "new_schema", "planned_schema", "with_field_ids", "without_partitions"]

_FIELD_ID = b"PARQUET:field_id"


def new_schema(columns: pa.Schema) -> Schema:
    """The Iceberg schema of a new table with these stored columns, with the ids that a catalog gives them."""
    from pyiceberg.schema import Schema, assign_fresh_schema_ids
    from pyiceberg.types import NestedField

    fields = [
        NestedField(place, column.name, iceberg_type(column.type), required=False) for place, column in enumerate(columns, 1)
    ]
    return assign_fresh_schema_ids(Schema(*fields))


def planned_schema(table: Table | None, columns: pa.Schema) -> Schema:
    """The schema that the table will have once it has these stored columns; a guess, as somebody else may change it first."""
    if table is None:
        return new_schema(columns)
    transaction = table.transaction()
    without_partitions(transaction)
    with transaction.update_schema(allow_incompatible_changes=True) as update:
        change_schema(update, table.schema(), columns, replaces=False)
    return transaction.table_metadata.schema()


def without_partitions(transaction: Transaction) -> None:
    """Stages that the table has no partitions: columns that a spec refers to cannot go."""
    with transaction.update_spec() as update:
        for field in transaction.table_metadata.spec().fields:
            update.remove_field(field.name)


def change_schema(update: UpdateSchema, before: Schema, columns: pa.Schema, *, replaces: bool) -> list[tuple[str, str | None]]:
    """Stages what makes the table hold these stored columns.

    A column keeps its id where Iceberg can read old files as the new type. Where it cannot, it is a new column of the same name.

    Args:
        replaces: Whether columns that are not among them go.

    Returns:
        Columns that were put anew behind all others, and the one that each followed before, or None for the first.
    """
    anew: list[tuple[str, str | None]] = []
    existing = {field.name: field for field in before.fields}
    wanted = set(columns.names)
    for name in existing:
        if replaces and name not in wanted:
            update.delete_column((name,))
    last = None
    for column in columns:
        field = existing.get(column.name)
        after = iceberg_type(column.type)
        if field is None:
            update.add_column((column.name,), after)
        elif widens(field.field_type, after):
            _widen(update, (column.name,), field, after)
        else:
            update.delete_column((column.name,))
            update.add_column((column.name,), after)
            anew.append((column.name, last))
        last = column.name
    return anew


def _widen(update: UpdateSchema, path: tuple[str, ...], before: NestedField, after: IcebergType) -> None:
    from pyiceberg.types import ListType, StructType

    if isinstance(after, StructType):
        _widen_struct(update, path, before.field_type, after)  # type: ignore[arg-type]
    elif isinstance(after, ListType):
        _widen_list(update, path, before.field_type, after)  # type: ignore[arg-type]
    elif before.field_type != after:
        update.update_column(path, after)


def _widen_struct(update: UpdateSchema, path: tuple[str, ...], before: StructType, after: StructType) -> None:
    known = {field.name: field for field in before.fields}
    for field in after.fields:
        if field.name in known:
            _widen(update, (*path, field.name), known[field.name], field.field_type)
        else:
            update.add_column((*path, field.name), field.field_type)


def _widen_list(update: UpdateSchema, path: tuple[str, ...], before: ListType, after: ListType) -> None:
    _widen(update, (*path, "element"), before.element_field, after.element_type)


def with_field_ids(columns: pa.Schema, schema: Schema) -> pa.Schema:
    """The same columns, each one and what is nested in it marked with its field id, as Parquet files keep it."""
    fields = {field.name: field for field in schema.fields}
    return pa.schema([_marked(column, fields[column.name]) for column in columns])


def _marked(column: pa.Field, field: NestedField) -> pa.Field:
    from pyiceberg.types import ListType, StructType

    kind = column.type
    if isinstance(field.field_type, StructType):
        fields = {child.name: child for child in field.field_type.fields}
        kind = pa.struct([_marked(child, fields[child.name]) for child in kind])
    elif isinstance(field.field_type, ListType):
        kind = pa.list_(_marked(kind.value_field.with_name("element"), field.field_type.element_field))
    return pa.field(column.name, kind, nullable=not field.required, metadata={_FIELD_ID: str(field.field_id).encode()})


def field_ids(schema: Schema) -> dict[str, int]:
    """Field ids by dotted path, of leaves and of what they are nested in."""
    from pyiceberg.schema import index_by_name

    return dict(index_by_name(schema))
