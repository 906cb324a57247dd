"""Arrow types as PostgreSQL's, and the SQL that changes a column from one to another without changing a value."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
from dativo_protocols import StreamId
from dativo_protocols.errors import ContractError

from dativo import _compute as pc
from dativo._evolution import json_field, type_text
from dativo._exact_text import is_json

__all__ = [
    "check_values",
    "doubtful",
    "has_bounds",
    "holding",
    "literal",
    "orders",
    "quoted",
    "quoted_list",
    "sql_type",
    "text_of",
    "widened",
]

_PLAIN: dict[pa.DataType, str] = {
    pa.bool_(): "boolean",
    pa.int16(): "smallint",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.float32(): "real",
    pa.float64(): "double precision",
    pa.utf8(): "text",
    pa.binary(): "bytea",
    pa.date32(): "date",
    pa.time64("us"): "time",
    pa.timestamp("us"): "timestamp",
    pa.timestamp("us", "UTC"): "timestamptz",
}
_NEXT: dict[pa.DataType, pa.DataType] = {
    pa.int8(): pa.int16(),
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.decimal128(20, 0),
    pa.float16(): pa.float32(),
}
# From 24 November 4714 BC to the year 5874897 for dates; for timestamps the driver fails below, and Arrow ends first above.
_BOUNDS: dict[pa.DataType, tuple[int, int]] = {
    pa.date32(): (-2_440_588, 2_145_042_905),
    pa.time64("us"): (0, 86_400_000_000),
    pa.timestamp("us"): (-210_866_803_200_000_000, 2**63 - 1),
    pa.timestamp("us", "UTC"): (-210_866_803_200_000_000, 2**63 - 1),
}


def quoted(name: str) -> str:
    """The name as a quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def quoted_list(names: Iterable[str]) -> str:
    """Names as quoted identifiers, between commas."""
    return ", ".join(quoted(name) for name in names)


def literal(text: str) -> str:
    """The text as a string literal."""
    return " E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def holding(field: pa.Field) -> pa.Field:
    """The field with the narrowest type that PostgreSQL has for its values; structs, lists and maps are JSON text.

    Raises:
        ValueError: There is none.
    """
    kind = field.type
    if is_json(field) or pa.types.is_nested(kind):
        return json_field(field.name)
    kind = _NEXT.get(kind, kind)
    if kind not in _PLAIN and not pa.types.is_decimal(kind):
        raise ValueError(f"`{type_text(field)}`")
    if pa.types.is_decimal(kind) and not 0 <= kind.scale <= kind.precision:
        raise ValueError(f"`{type_text(field)}`")
    return pa.field(field.name, kind)


def sql_type(field: pa.Field) -> str:
    """PostgreSQL's type for a column that `holding` gave."""
    kind = field.type
    if is_json(field):
        return "json"
    return f"numeric({kind.precision},{kind.scale})" if pa.types.is_decimal(kind) else _PLAIN[kind]


def orders(field: pa.Field) -> bool:
    """Whether the column's values have an order by which versions of a row can be told: no JSON, no bytes."""
    return not (is_json(field) or pa.types.is_binary(field.type))


def has_bounds(field: pa.Field) -> bool:
    """Whether PostgreSQL holds fewer values than the Arrow type."""
    return field.type in _BOUNDS


def check_values(array: pa.Array, field: pa.Field, stream: StreamId) -> None:
    """Refuses dates and times beyond PostgreSQL's calendar.

    Raises:
        ContractError: Names stream and column.
    """
    low, high = _BOUNDS[array.type]
    extremes = pc.min_max(array.view(pa.int32() if array.type.bit_width == 32 else pa.int64())).as_py()
    if extremes["min"] is not None and not (low <= extremes["min"] and extremes["max"] <= high):
        raise ContractError(
            f"column `{field.name}` of stream `{stream}` has a `{type_text(field)}` beyond PostgreSQL's calendar",
            hint="give the column the type `string` in the job (`types`)",
            facts={"stream": str(stream), "column": field.name, "type": type_text(field)},
        )


def doubtful(column: str, before: pa.Field, after: pa.Field) -> str | None:
    """A condition that holds for values which `widened` would change, or None where no value can be.

    Args:
        column: An SQL expression, for example a quoted name.
    """
    one, other = before.type, after.type
    if pa.types.is_floating(other) and pa.types.is_integer(one) and one.bit_width > 32:
        return f"{column} NOT BETWEEN -9007199254740992 AND 9007199254740992"
    if (pa.types.is_date(one) or pa.types.is_timestamp(one)) and (pa.types.is_string(other) or is_json(after)):
        return f"NOT isfinite({column}) OR extract(year FROM {column}) NOT BETWEEN 1 AND 9999"
    return None


def widened(column: str, before: pa.Field, after: pa.Field) -> str:
    """An SQL expression that gives the column's values in the other type: the same texts as `dativo._exact_text` makes.

    Args:
        column: An SQL expression, for example a quoted name.
    """
    if is_json(after):
        return f"CAST({_json(column, before)} AS json)"
    kind = after.type
    if pa.types.is_string(kind):
        return text_of(column, before)
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return f"CAST({column} AS timestamp) AT TIME ZONE 'UTC'"
    return f"CAST({column} AS {sql_type(after)})"


def text_of(column: str, field: pa.Field) -> str:
    """An SQL expression that gives the values' exact text."""
    kind = field.type
    text = f"CAST({column} AS text)"
    if pa.types.is_floating(kind):
        return _float_text(f"CAST({text} AS double precision)")
    if pa.types.is_timestamp(kind):
        if kind.tz is None:
            return f"replace({text}, ' ', 'T')"
        return f"(replace(CAST(({column} AT TIME ZONE 'UTC') AS text), ' ', 'T') || 'Z')"
    if pa.types.is_binary(kind):
        return rf"translate(encode({column}, 'base64'), E'\n', '')"
    return text


def _float_text(column: str) -> str:
    """As Python writes floats: PostgreSQL leaves out `.0`, and begins with exponents at 1e15, where Python does at 1e16."""
    text = f"CAST({column} AS text)"
    digits = f"CAST(CAST({text} AS numeric) AS text)"
    plain = f"CASE WHEN abs({column}) >= 1e15 AND abs({column}) < 1e16 THEN {digits} ELSE {text} END"
    return f"regexp_replace({plain}, '^(-?[0-9]+)$', '\\1.0')"


def _json(column: str, field: pa.Field) -> str:
    kind = field.type
    if is_json(field):
        return f"CAST({column} AS text)"
    text = text_of(column, field)
    if pa.types.is_floating(kind):
        return f"CASE WHEN {text} ~ '[yN]' THEN '\"' || {text} || '\"' ELSE {text} END"
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_decimal(kind):
        return text
    return f"CAST(to_json({text}) AS text)"
