"""Tables as they are in the database: their columns in Arrow types, and how values get into them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from dativo._evolution import json_field
from dativo.targets.postgres._connection import Connection

__all__ = ["RELATIONS", "Column", "Relation", "UniqueIndex", "describe", "relations", "unique_indexes"]

RELATIONS = frozenset("rpvmf")
"""`pg_class.relkind` of what rows can be read from: tables, partitioned ones, views, materialized and foreign ones."""

_TABLES = {"r", "p"}
_ARROW: dict[str, pa.DataType] = {
    "bool": pa.bool_(),
    "int2": pa.int16(),
    "int4": pa.int32(),
    "int8": pa.int64(),
    "float4": pa.float32(),
    "float8": pa.float64(),
    "text": pa.utf8(),
    "varchar": pa.utf8(),
    "bytea": pa.binary(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", "UTC"),
}
_MOMENTS = {"time", "timestamp", "timestamptz"}


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        field: In the Arrow type whose values it takes without a change; text, where PostgreSQL's type has no such one.
        type_name: PostgreSQL's type, with its length or precision.
        cast: The type that staged values are cast to, or None where the bytes that are sent are those of the type.
        generated: PostgreSQL computes it.
        identity: It takes given values only with OVERRIDING SYSTEM VALUE.
        coarse: It keeps fewer than six digits of a second: how many.
    """

    field: pa.Field
    type_name: str
    cast: str | None = None
    generated: bool = False
    identity: bool = False
    coarse: int | None = None

    def value(self, staged: str) -> str:
        """The SQL expression for a staged value, as the column takes it."""
        return staged if self.cast is None else f"CAST({staged} AS {self.cast})"


@dataclass(frozen=True)
class Relation:
    """A table or view; equal to another when nothing has changed in between.

    Attributes:
        kind: As in `pg_class.relkind`: `r` a table, `p` a partitioned one, `v` a view…
    """

    name: str
    kind: str
    oid: int
    columns: tuple[Column, ...]

    @property
    def is_table(self) -> bool:
        """Whether rows can be inserted in the usual way."""
        return self.kind in _TABLES

    @cached_property
    def schema(self) -> pa.Schema:
        """Its columns; JSON as marked utf8."""
        return pa.schema([column.field for column in self.columns])


@dataclass(frozen=True)
class UniqueIndex:
    """An index by which a merge can find the row that it replaces.

    Attributes:
        nulls_equal: Two nulls are the same key.
    """

    name: str
    columns: frozenset[str]
    nulls_equal: bool


def relations(connection: Connection) -> dict[str, str]:
    """Everything in the schema that has a table's name: name to `pg_class.relkind`."""
    sql = """
        SELECT CAST(c.relname AS text), CAST(c.relkind AS text) FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1
    """
    return dict(connection.rows(sql, "list the tables", [connection.schema]))


def describe(connection: Connection, names: Iterable[str]) -> dict[str, Relation]:
    """The relations of these names that exist."""
    wanted = sorted(set(names))
    if not wanted:
        return {}
    sql = """
        SELECT CAST(c.relname AS text), CAST(c.relkind AS text), CAST(c.oid AS bigint), CAST(a.attname AS text),
            CAST(t.typname AS text), t.typnamespace = 'pg_catalog'::regnamespace, a.atttypmod,
            pg_catalog.format_type(a.atttypid, a.atttypmod), pg_catalog.format_type(a.atttypid, NULL),
            a.attgenerated <> '', a.attidentity = 'a'
        FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        LEFT JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
        WHERE n.nspname = $1 AND c.relname IN (SELECT json_array_elements_text($2::text::json))
            AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
        ORDER BY c.relname, a.attnum
    """
    found: dict[str, tuple[str, int, list[Column]]] = {}
    for name, kind, oid, *column in connection.rows(sql, "read the columns", [connection.schema, json.dumps(wanted)]):
        columns = found.setdefault(name, (kind, oid, []))[2]
        if column[0] is not None:
            columns.append(_column(*column))
    return {name: Relation(name, kind, oid, tuple(columns)) for name, (kind, oid, columns) in found.items()}


def unique_indexes(connection: Connection, table: str) -> list[UniqueIndex]:
    """The table's unique indexes over plain columns and all rows, checked at once."""
    # Not every version has `indnullsnotdistinct`.
    sql = """
        SELECT CAST(x.relname AS text), coalesce(to_jsonb(i) ->> 'indnullsnotdistinct', 'false') = 'true',
            (SELECT CAST(json_agg(CAST(a.attname AS text)) AS text) FROM pg_catalog.pg_attribute a WHERE a.attrelid = i.indrelid
             AND a.attnum = ANY ((CAST(string_to_array(CAST(i.indkey AS text), ' ') AS int[]))[1:i.indnkeyatts]))
        FROM pg_catalog.pg_index i
        JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
        JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relname = $2
            AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
    """
    rows = connection.rows(sql, f"read the indexes of `{table}`", [connection.schema, table])
    return [UniqueIndex(name, frozenset(json.loads(columns)), nulls_equal) for name, nulls_equal, columns in rows]


def _column(name: str, kind: str, builtin: bool, modifier: int, whole: str, bare: str, generated: bool, identity: bool) -> Column:
    told: Mapping[str, Any] = {"generated": generated, "identity": identity}
    if builtin and kind in _ARROW:
        coarse = modifier if kind in _MOMENTS and 0 <= modifier < 6 else None
        return Column(pa.field(name, _ARROW[kind]), whole, coarse=coarse, **told)
    if builtin and kind == "numeric" and modifier >= 4:
        precision, scale = ((modifier - 4) >> 16) & 0xFFFF, (modifier - 4) & 0x7FF
        if scale <= precision <= 76:
            decimal = pa.decimal128 if precision <= 38 else pa.decimal256
            return Column(pa.field(name, decimal(precision, scale)), whole, **told)
    if builtin and kind in ("json", "jsonb"):
        return Column(json_field(name), whole, None if kind == "json" else "jsonb", **told)
    # Numbers without a precision, enums, UUIDs, arrays: PostgreSQL reads them from text, and refuses what is none.
    return Column(pa.field(name, pa.utf8()), whole, bare, **told)
