"""Values as text and as JSON text, exactly: what a column's values become when its type is widened to `string` or `json`."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from decimal import Decimal

import pyarrow as pa

from dativo import _compute as pc

__all__ = ["exact_text", "is_json", "json_text", "plain"]

_CASTABLE = (
    pa.types.is_integer,
    pa.types.is_boolean,
    pa.types.is_date,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_null,
)
_FLOAT_NAMES = {"nan": "NaN", "-nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_UNCLEAN = r'["\\\x00-\x1f]'


def is_json(field: pa.Field) -> bool:
    """Whether the field holds JSON text: marked with the `arrow.json` extension name, or of its registered type."""
    kind = field.type
    if isinstance(kind, pa.BaseExtensionType):
        return bool(kind.extension_name == "arrow.json")
    return bool((field.metadata or {}).get(b"ARROW:extension:name") == b"arrow.json")


def plain(array: pa.Array) -> pa.Array:
    """The array without its extension type, dictionary or view layout."""
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    return array


def exact_text(array: pa.Array) -> pa.Array:
    """Each value's text as utf8; nulls stay null.

    Integers and decimals in plain notation, a decimal with all digits of its scale; booleans `true` and `false`; floats as Python
    writes them, in the shortest form that reads back as the same number, and `NaN`, `Infinity`, `-Infinity`; timestamps in
    RFC 3339 (`Z` when the type has a zone), their fraction without zeros at its end; binary as base64.

    Raises:
        ValueError: A type that has no text, or a timestamp beyond the calendar.
    """
    array = plain(array)
    kind = array.type
    if pa.types.is_string(kind):
        return array
    if pa.types.is_floating(kind):
        return _float_text(array)
    if pa.types.is_decimal(kind):
        return _mended(array.cast(pa.utf8()), "E", lambda text: format(Decimal(text), "f"))
    if pa.types.is_timestamp(kind):
        return _timestamp_text(array)
    if pa.types.is_time(kind):
        return _shortened(array.cast(pa.utf8()))
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return pa.array([None if value is None else base64.b64encode(value).decode() for value in array.to_pylist()], pa.utf8())
    if any(test(kind) for test in _CASTABLE):
        return array.cast(pa.utf8())
    raise ValueError(f"no text for `{kind}`")


def json_text(array: pa.Array, field: pa.Field) -> pa.Array:
    """Each value as JSON text in utf8; a null stays null, and is `null` inside a struct or list.

    Text becomes a JSON string; numbers keep their digits; `NaN` and infinities become strings, as JSON has no number for them.
    """
    json_already = is_json(field)
    array = plain(array)
    kind = array.type
    if json_already:
        return array.cast(pa.utf8())
    if pa.types.is_struct(kind):
        return _struct_json(array)
    if pa.types.is_map(kind):
        return _map_json(array)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _list_json(array)
    text = exact_text(array)
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind):
        return text
    if pa.types.is_floating(kind):
        return _mended(text, r"[Ny]$", json.dumps)
    quoted = pc.binary_join_element_wise('"', text, '"', "")
    dirty = pc.fill_null(pc.match_substring_regex(text, _UNCLEAN), False)
    if not pc.any(dirty).as_py():
        return quoted
    return pc.replace_with_mask(quoted, dirty, pa.array([_quote(value) for value in text.filter(dirty).to_pylist()], pa.utf8()))


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _mended(text: pa.Array, pattern: str, mend: Callable[[str], str]) -> pa.Array:
    """The text with `mend` applied where the pattern matches; that is rare, so a Python loop will do."""
    matched = pc.fill_null(pc.match_substring_regex(text, pattern), False)
    if not pc.any(matched).as_py():
        return text
    return pc.replace_with_mask(text, matched, pa.array([mend(value) for value in text.filter(matched).to_pylist()], pa.utf8()))


def _float_text(array: pa.Array) -> pa.Array:
    text = array.cast(pa.utf8())
    whole = pc.fill_null(pc.match_substring_regex(text, r"^-?[0-9]+$"), False)
    text = pc.if_else(whole, pc.binary_join_element_wise(text, ".0", ""), text)
    return _mended(text, r"e|^-?0\.0000|[nf]$", lambda value: _FLOAT_NAMES.get(value) or repr(float(value)))


def _timestamp_text(array: pa.Array) -> pa.Array:
    zone = "Z" if array.type.tz is not None else ""
    # Without the zone: formatting a zoned timestamp needs a time zone database, which small systems lack.
    text = array.cast(pa.timestamp(array.type.unit, "UTC")).cast(pa.timestamp(array.type.unit)).cast(pa.utf8())
    if pc.any(pc.match_substring(text, "out of range")).as_py():
        raise ValueError("a timestamp is beyond the calendar")
    return pc.binary_join_element_wise(_shortened(pc.replace_substring(text, " ", "T")), zone, "")


def _shortened(text: pa.Array) -> pa.Array:
    """Without the zeros at the end of a fraction."""
    return pc.replace_substring_regex(pc.replace_substring_regex(text, r"\.0+$", ""), r"(\.[0-9]*[1-9])0+$", r"\1")


def _struct_json(array: pa.Array) -> pa.Array:
    fields = list(array.type)
    children = array.flatten()
    parts: list[pa.Array | str] = ["{"]
    for index, (field, child) in enumerate(zip(fields, children, strict=True)):
        parts += [f"{',' if index else ''}{_quote(field.name)}:", pc.fill_null(json_text(child, field), "null")]
    if not fields:
        parts.append(pa.array([""] * len(array), pa.utf8()))
    return _nulled(pc.binary_join_element_wise(*parts, "}", ""), array)


def _list_json(array: pa.Array) -> pa.Array:
    items = json_text(array.flatten(), array.type.value_field).to_pylist()
    texts: list[str | None] = []
    start = 0
    for length in pc.list_value_length(array).to_pylist():
        if length is None:
            texts.append(None)
            continue
        texts.append(f"[{','.join('null' if item is None else item for item in items[start : start + length])}]")
        start += length
    return pa.array(texts, pa.utf8())


def _map_json(array: pa.Array) -> pa.Array:
    """Maps as objects: keys are always JSON strings, in the map's order."""
    kind = array.type
    texts: list[str | None] = []
    for value in array:
        if not value.is_valid:
            texts.append(None)
            continue
        entries = value.values
        keys = exact_text(entries.field(0)).to_pylist()
        items = json_text(entries.field(1), kind.item_field).to_pylist()
        pairs = (f"{_quote(key)}:{'null' if item is None else item}" for key, item in zip(keys, items, strict=True))
        texts.append(f"{{{','.join(pairs)}}}")
    return pa.array(texts, pa.utf8())


def _nulled(text: pa.Array, like: pa.Array) -> pa.Array:
    return pc.if_else(pc.is_valid(like), text, pa.scalar(None, pa.utf8())) if like.null_count else text
