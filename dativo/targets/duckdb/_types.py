"""Arrow types as DuckDB's, and the SQL that changes a column from one to another without changing a value."""

from __future__ import annotations

import json

import pyarrow as pa
from dativo_protocols import StreamId
from dativo_protocols.errors import ContractError

from dativo import _compute as pc
from dativo._evolution import type_text
from dativo._exact_text import is_json
from dativo.targets.duckdb._failure import WOULD_CHANGE

__all__ = ["check_holds", "check_values", "has_moments", "literal", "quoted", "sql_type", "widened"]

_PLAIN: dict[pa.DataType, str] = {
    pa.bool_(): "BOOLEAN",
    pa.int8(): "TINYINT",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.uint8(): "UTINYINT",
    pa.uint16(): "USMALLINT",
    pa.uint32(): "UINTEGER",
    pa.uint64(): "UBIGINT",
    pa.float32(): "REAL",
    pa.float64(): "DOUBLE",
    pa.utf8(): "VARCHAR",
    pa.binary(): "BLOB",
    pa.date32(): "DATE",
    pa.time64("us"): "TIME",
    pa.timestamp("us"): "TIMESTAMP",
    pa.timestamp("us", "UTC"): "TIMESTAMPTZ",
}
# DuckDB takes the values outside for infinities, or fails on them in the midst of other work.
_BOUNDS: dict[pa.DataType, tuple[int, int]] = {
    pa.date32(): (-(2**31) + 2, 2**31 - 2),
    pa.time64("us"): (0, 86_400_000_000),
    pa.timestamp("us"): (-9_223_372_022_400_000_000, 2**63 - 2),
    pa.timestamp("us", "UTC"): (-9_223_372_022_400_000_000, 2**63 - 2),
}


def quoted(name: str) -> str:
    """The name as a quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """The text as a string literal."""
    return "'" + text.replace("'", "''") + "'"


def sql_type(field: pa.Field) -> str:
    """DuckDB's type for a column.

    Raises:
        ValueError: It has none that holds all values unchanged.
    """
    kind = field.type
    if is_json(field):
        return "JSON"
    if kind in _PLAIN:
        return _PLAIN[kind]
    if pa.types.is_decimal(kind) and kind.precision <= 38 and 0 <= kind.scale <= kind.precision:
        return f"DECIMAL({kind.precision},{kind.scale})"
    if pa.types.is_struct(kind):
        names = [child.name for child in kind]
        if not names or "" in names or len({name.casefold() for name in names}) < len(names):
            raise ValueError("a struct with no fields, an unnamed one, or names that differ only in case")
        return f"STRUCT({', '.join(f'{quoted(child.name)} {sql_type(child)}' for child in kind)})"
    if pa.types.is_list(kind):
        return f"{sql_type(kind.value_field)}[]"
    if pa.types.is_map(kind):
        return f"MAP({sql_type(kind.key_field)}, {sql_type(kind.item_field)})"
    raise ValueError(f"`{type_text(field)}`")


def check_holds(field: pa.Field, stream: StreamId) -> None:
    """Refuses a column that DuckDB cannot hold.

    Raises:
        ContractError: Names stream, column and type.
    """
    try:
        sql_type(field)
    except ValueError as error:
        raise ContractError(
            f"DuckDB cannot hold column `{field.name}` of stream `{stream}`: {error}",
            hint="give the column the type `string` or `json` in the job (`types`), or set `nested: json`",
            facts={"stream": str(stream), "column": field.name, "type": type_text(field)},
        ) from error


def has_moments(kind: pa.DataType) -> bool:
    """Whether dates, times or timestamps are in the type."""
    return kind in _BOUNDS or any(has_moments(kind.field(index).type) for index in range(kind.num_fields))


def check_values(array: pa.Array, field: pa.Field, stream: StreamId) -> None:
    """Refuses dates and times that DuckDB would take for others.

    Raises:
        ContractError: Names stream and column.
    """
    if not _in_bounds(array):
        raise ContractError(
            f"column `{field.name}` of stream `{stream}` has a `{type_text(field)}` beyond DuckDB's calendar",
            hint="give the column the type `string` in the job (`types`)",
            facts={"stream": str(stream), "column": field.name, "type": type_text(field)},
        )


def _in_bounds(array: pa.Array) -> bool:
    kind = array.type
    if kind in _BOUNDS:
        low, high = _BOUNDS[kind]
        extremes = pc.min_max(array.view(pa.int32() if kind.bit_width == 32 else pa.int64())).as_py()
        return extremes["min"] is None or (low <= extremes["min"] and extremes["max"] <= high)
    if pa.types.is_struct(kind):
        return all(_in_bounds(child) for child in array.flatten() if has_moments(child.type))
    if pa.types.is_map(kind):
        return all(_in_bounds(child) for child in (array.keys, array.items) if has_moments(child.type))
    return not has_moments(kind) or _in_bounds(array.flatten())


def widened(column: str, before: pa.Field, after: pa.Field) -> str:
    """An SQL expression that gives the column's values in the other type: the same texts as `dativo._exact_text` makes.

    Args:
        column: An SQL expression, for example a quoted name.
    """
    if is_json(after):
        return f"CAST({_json(column, before)} AS JSON)"
    kind = after.type
    if pa.types.is_string(kind):
        return _text(column, before)
    if pa.types.is_floating(kind) and pa.types.is_integer(before.type):
        beyond = f"{column} > 9007199254740992 OR {column} < -9007199254740992"
        return f"CASE WHEN {beyond} THEN error({literal(WOULD_CHANGE)}) ELSE CAST({column} AS {sql_type(after)}) END"
    return f"CAST({column} AS {sql_type(after)})"


def _text(column: str, field: pa.Field) -> str:
    kind = field.type
    text = f"CAST({column} AS VARCHAR)"
    if pa.types.is_floating(kind):
        names = f"WHEN isnan({column}) THEN 'NaN' WHEN {column} = 'inf' THEN 'Infinity' WHEN {column} = '-inf' THEN '-Infinity'"
        return f"CASE {names} ELSE {text} END"
    if pa.types.is_timestamp(kind):
        if kind.tz is None:
            return f"replace({text}, ' ', 'T')"
        return f"(replace(CAST(({column} AT TIME ZONE 'UTC') AS VARCHAR), ' ', 'T') || 'Z')"
    if pa.types.is_binary(kind):
        return f"base64({column})"
    return text


def _json(column: str, field: pa.Field, depth: int = 0) -> str:
    kind = field.type
    if is_json(field):
        return f"CAST({column} AS VARCHAR)"
    if pa.types.is_struct(kind):
        return _struct_json(column, kind, depth)
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        each = f"each{depth}"
        item = _or_null(_json(each, kind.value_field, depth + 1))
        return f"('[' || array_to_string(list_transform({column}, lambda {each}: {item}), ',') || ']')"
    if pa.types.is_map(kind):
        each = f"each{depth}"
        key = f"CAST(to_json({_text(f'{each}.key', kind.key_field)}) AS VARCHAR)"
        item = f"{key} || ':' || {_or_null(_json(f'{each}.value', kind.item_field, depth + 1))}"
        return f"('{{' || array_to_string(list_transform(map_entries({column}), lambda {each}: {item}), ',') || '}}')"
    text = _text(column, field)
    if pa.types.is_floating(kind):
        return f"CASE WHEN isfinite({column}) THEN {text} ELSE '\"' || {text} || '\"' END"
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_decimal(kind):
        return text
    return f"CAST(to_json({text}) AS VARCHAR)"


def _struct_json(column: str, kind: pa.DataType, depth: int) -> str:
    parts: list[str] = []
    for child in kind:
        name = literal(f"{',' if parts else ''}{json.dumps(child.name, ensure_ascii=False)}:")
        value = _json(f"struct_extract({column}, {literal(child.name)})", child, depth)
        parts.append(f"{name} || {_or_null(value)}")
    return f"CASE WHEN {column} IS NOT NULL THEN '{{' || {' || '.join(parts)} || '}}' END"


def _or_null(text: str) -> str:
    return f"coalesce({text}, 'null')"
