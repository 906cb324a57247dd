"""Arrow types and Iceberg's: how values are stored, and which changes of a type leave files as they are."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pyarrow as pa

from dativo._evolution import type_text
from dativo._exact_text import is_json

if TYPE_CHECKING:
    from pyiceberg.types import IcebergType, NestedField

__all__ = ["iceberg_type", "is_writable", "stored", "stored_field", "widens"]

_DIGITS = 38
_STORED = {
    pa.int8(): pa.int32(),
    pa.int16(): pa.int32(),
    pa.uint8(): pa.int32(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.decimal128(20, 0),
    pa.float16(): pa.float32(),
}
_KEPT = frozenset(
    {
        pa.bool_(),
        pa.int32(),
        pa.int64(),
        pa.float32(),
        pa.float64(),
        pa.utf8(),
        pa.binary(),
        pa.date32(),
        pa.time64("us"),
        pa.timestamp("us"),
        pa.timestamp("us", "UTC"),
    }
)


def stored(column: pa.Field) -> pa.Field:
    """The column as Iceberg's data files hold it.

    Raises:
        ValueError: Iceberg has no type that holds all values unchanged; says what.
    """
    return pa.field(column.name, pa.utf8() if is_json(column) else _stored(column.type))


def _stored(kind: pa.DataType) -> pa.DataType:
    if kind in _KEPT:
        return kind
    if kind in _STORED:
        return _STORED[kind]
    if pa.types.is_decimal(kind) and kind.precision <= _DIGITS and 0 <= kind.scale <= kind.precision:
        return pa.decimal128(kind.precision, kind.scale)
    if pa.types.is_struct(kind):
        names = [child.name for child in kind]
        if not names or len(set(names)) < len(names) or any(not name or "." in name for name in names):
            raise ValueError("a struct with no fields, or with names that are empty, come twice or hold a `.`")
        return pa.struct([stored(child) for child in kind])
    if pa.types.is_list(kind):
        return pa.list_(stored(kind.value_field).with_name("element"))
    raise ValueError(f"`{type_text(kind)}`")


def iceberg_type(kind: pa.DataType) -> IcebergType:
    """The Iceberg type of a stored one; field ids in it are placeholders."""
    return _converted(kind, count(1))


def _converted(kind: pa.DataType, ids: count[int]) -> IcebergType:
    from pyiceberg import types

    if pa.types.is_decimal(kind):
        return types.DecimalType(kind.precision, kind.scale)
    if pa.types.is_struct(kind):
        fields = [types.NestedField(next(ids), child.name, _converted(child.type, ids), required=False) for child in kind]
        return types.StructType(*fields)
    if pa.types.is_list(kind):
        return types.ListType(next(ids), _converted(kind.value_type, ids), element_required=False)
    plain: dict[pa.DataType, IcebergType] = {
        pa.bool_(): types.BooleanType(),
        pa.int32(): types.IntegerType(),
        pa.int64(): types.LongType(),
        pa.float32(): types.FloatType(),
        pa.float64(): types.DoubleType(),
        pa.utf8(): types.StringType(),
        pa.binary(): types.BinaryType(),
        pa.date32(): types.DateType(),
        pa.time64("us"): types.TimeType(),
        pa.timestamp("us"): types.TimestampType(),
        pa.timestamp("us", "UTC"): types.TimestamptzType(),
    }
    return plain[kind]


def stored_field(field: NestedField) -> pa.Field:
    """The inverse of `iceberg_type`, for a column of one of its types."""
    from pyiceberg import types

    kind = field.field_type
    if isinstance(kind, types.DecimalType):
        return pa.field(field.name, pa.decimal128(kind.precision, kind.scale))
    if isinstance(kind, types.StructType):
        return pa.field(field.name, pa.struct([stored_field(child) for child in kind.fields]))
    if isinstance(kind, types.ListType):
        return pa.field(field.name, pa.list_(stored_field(kind.element_field)))
    plain: dict[str, pa.DataType] = {str(iceberg_type(each)): each for each in _KEPT}
    return pa.field(field.name, plain[str(kind)])


def widens(before: IcebergType, after: IcebergType) -> bool:
    """Whether Iceberg reads files of the one type as the other with the same values: the specification's promotions, nested too.

    Structs may get more fields, and none may go.
    """
    from pyiceberg import types

    if isinstance(before, types.StructType) and isinstance(after, types.StructType):
        fields = {field.name: field.field_type for field in after.fields}
        return all(field.name in fields and widens(field.field_type, fields[field.name]) for field in before.fields)
    if isinstance(before, types.ListType) and isinstance(after, types.ListType):
        return widens(before.element_type, after.element_type)
    if isinstance(before, types.DecimalType) and isinstance(after, types.DecimalType):
        return before.scale == after.scale and before.precision <= after.precision
    pairs = ((types.IntegerType, types.LongType), (types.FloatType, types.DoubleType))
    return before == after or any(isinstance(before, one) and isinstance(after, other) for one, other in pairs)


def is_writable(kind: IcebergType) -> bool:
    """Whether `iceberg_type` can give this type, nested ones included."""
    from pyiceberg import types

    if isinstance(kind, types.StructType):
        return all(is_writable(field.field_type) for field in kind.fields)
    if isinstance(kind, types.ListType):
        return is_writable(kind.element_type)
    plain = (types.BooleanType, types.IntegerType, types.LongType, types.FloatType, types.DoubleType, types.DecimalType)
    moments = (types.DateType, types.TimeType, types.TimestampType, types.TimestamptzType)
    return isinstance(kind, (*plain, *moments, types.StringType, types.BinaryType))
