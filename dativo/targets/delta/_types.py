"""Arrow types as Delta's, and as its Parquet files hold them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from dativo._evolution import type_text

__all__ = ["arrow_type", "delta_type", "has_local_times", "same_delta_type", "stored_type"]

_PLAIN: dict[pa.DataType, str] = {
    pa.bool_(): "boolean",
    pa.int8(): "byte",
    pa.int16(): "short",
    pa.int32(): "integer",
    pa.int64(): "long",
    pa.float32(): "float",
    pa.float64(): "double",
    pa.utf8(): "string",
    pa.binary(): "binary",
    pa.date32(): "date",
    pa.timestamp("us", "UTC"): "timestamp",
    pa.timestamp("us"): "timestamp_ntz",
}
_ARROW = {name: kind for kind, name in _PLAIN.items()}
# Delta has neither times nor unsigned integers.
_INSTEAD: dict[pa.DataType, pa.DataType] = {
    pa.time64("us"): pa.utf8(),
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.decimal128(20, 0),
}


def stored_type(kind: pa.DataType) -> pa.DataType:
    """The type of a column's values in the files: times are text such as `23:59:59.999999`, unsigned integers wider signed ones.

    Raises:
        ValueError: Delta has none that holds all values unchanged.
    """
    if kind in _PLAIN:
        return kind
    if kind in _INSTEAD:
        return _INSTEAD[kind]
    if pa.types.is_decimal(kind) and kind.precision <= 38 and 0 <= kind.scale <= kind.precision:
        return pa.decimal128(kind.precision, kind.scale)
    if pa.types.is_struct(kind):
        names = [child.name for child in kind]
        if not names or "" in names or len({name.casefold() for name in names}) < len(names):
            raise ValueError("a struct with no fields, an unnamed one, or names that differ only in case")
        return pa.struct([pa.field(child.name, stored_type(child.type)) for child in kind])
    if pa.types.is_list(kind):
        return pa.list_(pa.field("element", stored_type(kind.value_type)))
    if pa.types.is_map(kind):
        return pa.map_(stored_type(kind.key_type), stored_type(kind.item_type))
    raise ValueError(f"`{type_text(kind)}`")


def delta_type(kind: pa.DataType) -> Any:
    """A stored type in Delta's JSON."""
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    if pa.types.is_struct(kind):
        fields = [{"name": each.name, "type": delta_type(each.type), "nullable": True, "metadata": {}} for each in kind]
        return {"type": "struct", "fields": fields}
    if pa.types.is_list(kind):
        return {"type": "array", "elementType": delta_type(kind.value_type), "containsNull": True}
    if pa.types.is_map(kind):
        key, value = delta_type(kind.key_type), delta_type(kind.item_type)
        return {"type": "map", "keyType": key, "valueType": value, "valueContainsNull": True}
    return _PLAIN[kind]


def arrow_type(kind: Any) -> pa.DataType:
    """The stored type of Delta's JSON.

    Raises:
        ValueError: It is of a Delta newer than this.
    """
    if isinstance(kind, str):
        if kind.startswith("decimal"):
            precision, scale = kind.removeprefix("decimal(").removesuffix(")").split(",") if "(" in kind else ("10", "0")
            return pa.decimal128(int(precision), int(scale))
        if kind not in _ARROW:
            raise ValueError(f"`{kind}`")
        return _ARROW[kind]
    if kind["type"] == "struct":
        return pa.struct([pa.field(each["name"], arrow_type(each["type"])) for each in kind["fields"]])
    if kind["type"] == "array":
        return pa.list_(pa.field("element", arrow_type(kind["elementType"])))
    if kind["type"] == "map":
        return pa.map_(arrow_type(kind["keyType"]), arrow_type(kind["valueType"]))
    raise ValueError(f"`{kind['type']}`")


def same_delta_type(one: Any, other: Any) -> bool:
    """Whether two types hold the same values, whatever is said about nulls."""
    return bool(_bare(one) == _bare(other))


def has_local_times(schema: pa.Schema) -> bool:
    """Whether a `timestamp_ntz` is anywhere in it, which readers have to know of."""
    return any(_is_local(field.type) for field in schema)


def _is_local(kind: pa.DataType) -> bool:
    return kind.equals(pa.timestamp("us")) or any(_is_local(kind.field(index).type) for index in range(kind.num_fields))


def _bare(kind: Any) -> Any:
    if isinstance(kind, Mapping):
        kept = {key: _bare(value) for key, value in kind.items() if key not in ("nullable", "metadata", "containsNull")}
        kept.pop("valueContainsNull", None)
        return kept
    return [_bare(each) for each in kind] if isinstance(kind, list) else kind
