"""How a table's columns change when data of another shape arrives, and how batches are brought into the table's shape.

The rules are in `docs/evolution.md`. `evolve` looks at types only; `conform` looks at values and refuses those that would change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
from dativo_protocols import StreamId
from dativo_protocols.errors import ContractError

from dativo import _compute as pc
from dativo._exact_text import exact_text, is_json, json_text, plain

__all__ = ["ColumnChange", "Evolution", "common_field", "conform", "convert", "evolve", "json_field", "same_type", "type_text"]

_JSON = {b"ARROW:extension:name": b"arrow.json", b"ARROW:extension:metadata": b""}
_DIGITS = {8: 3, 16: 5, 32: 10, 64: 19}


@dataclass(frozen=True)
class ColumnChange:
    """One change to a table's columns.

    Attributes:
        kind: `column` (added) or `type` (widened).
        before: The type as `type_text` gives it, or None for an added column.
    """

    kind: Literal["column", "type"]
    column: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Evolution:
    """The schema that holds both what is there and what comes.

    Attributes:
        schema: The table's columns in their order, then new ones in the order they came; all nullable; JSON as marked utf8.
        changes: What differs from the existing schema; empty when there was none.
    """

    schema: pa.Schema
    changes: tuple[ColumnChange, ...]


def evolve(existing: pa.Schema | None, incoming: pa.Schema) -> Evolution:
    """The narrowest schema that holds the existing table and the incoming batches.

    Args:
        existing: The table as it is, or None when there is no table.
        incoming: The batches, their columns under the table's names.
    """
    arriving = {field.name: _canonical(field) for field in incoming}
    fields: list[pa.Field] = []
    changes: list[ColumnChange] = []
    for field in existing or ():
        new = arriving.pop(field.name, None)
        after = field if new is None else common_field(field, new)
        fields.append(_marked(field) if same_type(field, after) else after)
        if not same_type(field, after):
            changes.append(ColumnChange("type", field.name, type_text(field), type_text(after)))
    for field in arriving.values():
        fields.append(field)
        if existing is not None:
            changes.append(ColumnChange("column", field.name, None, type_text(field)))
    return Evolution(pa.schema(fields), tuple(changes))


def conform(batch: pa.RecordBatch, schema: pa.Schema, *, stream: StreamId | None = None) -> pa.RecordBatch:
    """The batch with exactly the schema's columns, in its order and types; columns that the batch lacks are null.

    Nothing is copied for columns that already fit.

    Args:
        stream: Named in errors.

    Raises:
        ContractError: A value would change, or a column is not in the schema; facts `column`, `before`, `after` and `stream`.
    """
    if batch.schema.equals(schema, check_metadata=True):
        return batch
    positions = {name: index for index, name in enumerate(batch.schema.names)}
    if len(positions) < batch.num_columns:
        twice = next(name for index, name in enumerate(batch.schema.names) if positions[name] != index)
        raise ContractError(f"column `{twice}` comes twice in one batch", facts=_facts(stream, column=twice))
    arrays: list[pa.Array] = []
    for field in schema:
        index = positions.pop(field.name, None)
        if index is None:
            arrays.append(pa.nulls(batch.num_rows, field.type))
        else:
            arrays.append(_converted(batch.column(index), batch.schema.field(index), field, stream))
    if positions:
        extra = next(iter(positions))
        raise ContractError(f"the table has no column `{extra}`", facts=_facts(stream, column=extra))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def convert(array: pa.Array, before: pa.Field, after: pa.Field) -> pa.Array:
    """The array's values in another type, each exactly the same value.

    Raises:
        ValueError: A value would change (pyarrow's own errors are ValueErrors too), or the types have nothing in common.
    """
    if is_json(after):
        return json_text(array, before)
    target = after.type
    array = plain(array)
    source = array.type
    if source.equals(target):
        return array
    if pa.types.is_string(target):
        return exact_text(array)
    if pa.types.is_struct(target) and pa.types.is_struct(source):
        return _convert_struct(array, target)
    if pa.types.is_list(target) and (pa.types.is_list(source) or pa.types.is_large_list(source)):
        return _convert_list(array, target)
    if pa.types.is_decimal(target) and pa.types.is_integer(source):
        # pyarrow refuses a precision that might be too small before it looks at the values.
        array = array.cast(pa.decimal256(20 + target.scale, target.scale))
    if pa.types.is_decimal(source) and pa.types.is_integer(target) and source.scale > 0:
        array = array.cast(pa.decimal256(76, 0))
    if pa.types.is_floating(target) and pa.types.is_integer(source):
        array = array.cast(pa.int64()).cast(pa.float64())
    if pa.types.is_boolean(target) or pa.types.is_boolean(source):
        raise ValueError(f"`{type_text(before)}` is not `{type_text(after)}`")
    result = array.cast(target)
    if pa.types.is_floating(target) and pa.types.is_floating(source) and source.bit_width > target.bit_width:
        back = result.cast(source)
        if pc.any(pc.and_not(pc.not_equal(back, array), pc.is_nan(array))).as_py():
            raise ValueError("a number needs more digits")
    return result


def common_field(existing: pa.Field, incoming: pa.Field) -> pa.Field:
    """The existing field when it can hold the incoming type; else the narrowest type that holds both."""
    name = existing.name
    if is_json(existing) or is_json(incoming):
        return json_field(name)
    before, after = _simple(existing.type), _simple(incoming.type)
    if pa.types.is_null(after) or before.equals(after):
        return existing
    if pa.types.is_null(before):
        return incoming.with_name(name).with_nullable(True)
    common = _common(before, after)
    if common is None:
        return json_field(name)
    return existing if common.equals(before) else pa.field(name, common)


def json_field(name: str) -> pa.Field:
    """A column of JSON text: utf8, marked with the extension name `arrow.json`."""
    return pa.field(name, pa.utf8(), metadata=_JSON)


def same_type(one: pa.Field, other: pa.Field) -> bool:
    """Whether two fields hold the same type, whatever their names, nullability and layout."""
    return type_text(one) == type_text(other)


def type_text(kind: pa.DataType | pa.Field) -> str:
    """The type as reports and kept mappings show it: `int64`, `decimal(38,9)`, `json`, `timestamp`, `list<string>`…

    `timestamp` is in microseconds UTC; one without a zone is `timestamp_without_timezone`.
    """
    if isinstance(kind, pa.Field):
        return "json" if is_json(kind) else type_text(kind.type)
    if isinstance(kind, pa.BaseExtensionType):
        return "json" if kind.extension_name == "arrow.json" else str(kind.extension_name)
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    if pa.types.is_struct(kind):
        return f"struct<{', '.join(f'{field.name}: {type_text(field)}' for field in kind)}>"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"list<{type_text(kind.value_field)}>"
    if pa.types.is_float32(kind) or pa.types.is_float64(kind):
        return f"float{kind.bit_width}"
    names = {pa.date32(): "date", pa.time64("us"): "time", pa.timestamp("us"): "timestamp_without_timezone"}
    names |= {pa.timestamp("us", "UTC"): "timestamp", pa.large_utf8(): "string", pa.string_view(): "string"}
    names |= {pa.large_binary(): "binary", pa.binary_view(): "binary"}
    return names.get(kind, str(kind))


def _converted(array: pa.Array, before: pa.Field, after: pa.Field, stream: StreamId | None) -> pa.Array:
    try:
        return convert(array, before, after)
    except (ValueError, NotImplementedError) as error:
        where = f"column `{after.name}`" if stream is None else f"column `{after.name}` of stream `{stream}`"
        raise ContractError(
            f"{where} has a value of type `{type_text(before)}` that would change as `{type_text(after)}`",
            hint="give the column a wider type under `types` in the job, for example `string`, and load the stream anew",
            facts=_facts(stream, column=after.name, before=type_text(before), after=type_text(after)),
        ) from error


def _facts(stream: StreamId | None, **facts: object) -> dict[str, object]:
    return facts if stream is None else {"stream": str(stream), **facts}


def _marked(field: pa.Field) -> pa.Field:
    return json_field(field.name) if is_json(field) else pa.field(field.name, field.type)


def _canonical(field: pa.Field) -> pa.Field:
    """The field as tables get it: nullable, a type of the pipeline's own set, JSON as marked utf8."""
    if is_json(field) or pa.types.is_null(field.type):
        return json_field(field.name)
    return pa.field(field.name, _simple(field.type))


def _simple(kind: pa.DataType) -> pa.DataType:
    """The type without layout variants, and in the pipeline's units."""
    if isinstance(kind, pa.BaseExtensionType):
        return _simple(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return _simple(kind.value_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.utf8()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind) or pa.types.is_fixed_size_binary(kind):
        return pa.binary()
    if pa.types.is_float16(kind):
        return pa.float32()
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", None if kind.tz is None else "UTC")
    if pa.types.is_date(kind):
        return pa.date32()
    if pa.types.is_time(kind):
        return pa.time64("us")
    if pa.types.is_struct(kind):
        return pa.struct([_marked(field) if is_json(field) else pa.field(field.name, _simple(field.type)) for field in kind])
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        item = kind.value_field
        return pa.list_(json_field("item") if is_json(item) else pa.field("item", _simple(item.type)))
    return kind


def _common(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """The narrowest type that holds both, or None when only JSON text does."""
    kinds = pa.types
    if kinds.is_string(one) or kinds.is_string(other):
        return None if kinds.is_nested(one) or kinds.is_nested(other) else pa.utf8()
    if kinds.is_integer(one) and kinds.is_integer(other):
        return _common_integer(one, other)
    if kinds.is_floating(one) and kinds.is_floating(other):
        return max(one, other, key=lambda kind: kind.bit_width)
    if _is_exact(one) and _is_exact(other):
        return _common_decimal(one, other)
    if (kinds.is_floating(one) and kinds.is_integer(other)) or (kinds.is_integer(one) and kinds.is_floating(other)):
        return pa.float64()
    if _is_moment(one) and _is_moment(other):
        zoned = [kind for kind in (one, other) if kinds.is_timestamp(kind) and kind.tz is not None]
        return pa.timestamp("us", "UTC") if zoned else pa.timestamp("us")
    if kinds.is_struct(one) and kinds.is_struct(other):
        return _common_struct(one, other)
    if kinds.is_list(one) and kinds.is_list(other):
        return pa.list_(common_field(one.value_field, other.value_field))
    return None


def _is_exact(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_decimal(kind))


def _is_moment(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def _common_integer(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    signed = {pa.types.is_signed_integer(one), pa.types.is_signed_integer(other)}
    width = max(one.bit_width, other.bit_width)
    if len(signed) == 1:
        return one if one.bit_width == width else other
    unsigned = one if pa.types.is_unsigned_integer(one) else other
    if unsigned.bit_width < width:
        return one if one.bit_width == width else other
    return pa.decimal128(20, 0) if width == 64 else pa.int64()


def _common_decimal(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """Holds every value of both where 38 digits do (76 when one is a decimal256 already); beyond that, the values decide."""
    shapes = [(kind.precision, kind.scale) if pa.types.is_decimal(kind) else (_digits(kind), 0) for kind in (one, other)]
    scale = max(scale for _, scale in shapes)
    digits = max(precision - scale for precision, scale in shapes)
    if any(pa.types.is_decimal256(kind) for kind in (one, other)):
        return pa.decimal256(min(76, digits + scale), scale)
    return pa.decimal128(min(38, digits + scale), scale)


def _digits(kind: pa.DataType) -> int:
    return 20 if kind.equals(pa.uint64()) else _DIGITS[kind.bit_width]


def _common_struct(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    if len({field.name for field in one}) != len(list(one)) or len({field.name for field in other}) != len(list(other)):
        return None
    arriving = {field.name: field for field in other}
    fields = [common_field(field, arriving.pop(field.name)) if field.name in arriving else field for field in one]
    return pa.struct([*fields, *arriving.values()])


def _convert_struct(array: pa.Array, target: pa.DataType) -> pa.Array:
    source = {field.name: (field, child) for field, child in zip(array.type, array.flatten(), strict=True)}
    if len(source) != len(list(array.type)) or source.keys() - {field.name for field in target}:
        raise ValueError("the struct has fields that the table's does not")
    children = []
    for field in target:
        before, child = source.get(field.name, (None, None))
        children.append(pa.nulls(len(array), field.type) if before is None else convert(child, before, field))
    mask = pc.is_null(array) if array.null_count else None
    return pa.StructArray.from_arrays(children, fields=list(target), mask=mask)


def _convert_list(array: pa.Array, target: pa.DataType) -> pa.Array:
    items = convert(array.flatten(), array.type.value_field, target.value_field)
    lengths = pc.fill_null(pc.list_value_length(array).cast(pa.int64()), 0)
    ends = pc.cumulative_sum(lengths).cast(pa.int32())
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends])
    mask = pc.is_null(array) if array.null_count else None
    return pa.ListArray.from_arrays(offsets, items, type=target, mask=mask)
