"""Rows as CSV text and back, exactly: every value comes back as it was, and null is not the empty string.

RFC 4180 with a line feed at the end of each row. Null is written without quotes, so text that looks like it has them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import pyarrow as pa
from dativo_protocols import decode_json_lines

from dativo import _compute as pc
from dativo._exact_text import exact_text, is_json, json_text
from dativo.targets._data_file import piped

BLOCK_BYTES = 4 << 20
"""Text that is parsed at a time. A row must fit, so where one is longer the blocks grow."""

LARGEST_BLOCK_BYTES = 1 << 30

FIRST_MOMENT, LAST_MOMENT = -62_135_596_800_000_000, 253_402_300_799_999_999
"""The years 1 to 9999 in microseconds."""


def csv_header(schema: pa.Schema, dialect: Mapping[str, Any]) -> bytes:
    """The names of the columns as a row."""
    names: list[str] = _quoted(pa.array(schema.names, pa.utf8()), dialect, always=dialect["quoting"] != "minimal").to_pylist()
    return f"{dialect['delimiter'].join(names)}\n".encode()


def csv_rows(batch: pa.RecordBatch, dialect: Mapping[str, Any]) -> memoryview:
    """The rows as UTF-8.

    Numbers have all their digits, moments are RFC 3339 text, binary is base64, structs and lists are JSON text, JSON is as sent.
    """
    cells = [_cells(array, field, dialect) for array, field in zip(batch.columns, batch.schema, strict=True)]
    cells[-1] = pc.binary_join_element_wise(cells[-1], "\n", "")
    rows = pc.binary_join_element_wise(*cells, dialect["delimiter"])
    _, offsets, text = rows.buffers()
    ends = memoryview(offsets).cast("i")
    return memoryview(text)[ends[rows.offset] : ends[rows.offset + len(rows)]]


def read_csv(
    again: Callable[[], pa.NativeFile], dialect: Mapping[str, Any], schema: pa.Schema, columns: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """Batches of what `csv_header` and `csv_rows` wrote.

    Args:
        again: Gives the text from its beginning; called a second time where a row is longer than a block.
        schema: What was written.
        columns: Those to read.
    """
    wanted = pa.schema([schema.field(name) for name in columns])
    texts = _texts(again, dialect, schema, columns)

    def lines() -> bytes:
        for batch in texts:
            if batch.num_rows:
                return _json_lines(batch, wanted)
        return b""

    with closing(texts), piped(lines) as pipe, closing(decode_json_lines(pipe, wanted)) as batches:
        for batch in batches:
            yield pa.record_batch(batch)


def _cells(array: pa.Array, field: pa.Field, dialect: Mapping[str, Any]) -> pa.Array:
    kind = field.type
    is_text = is_json(field) or pa.types.is_nested(kind) or pa.types.is_string(kind) or pa.types.is_binary(kind)
    if is_json(field) or pa.types.is_nested(kind):
        text = json_text(array, field)
    elif pa.types.is_floating(kind):
        text = _float_text(array)
    elif pa.types.is_timestamp(kind):
        text = _timestamp_text(array)
    else:
        text = exact_text(array)
    always = dialect["quoting"] == "all" or (dialect["quoting"] == "strings" and is_text)
    if is_text or always or dialect["null_text"]:
        text = _quoted(text, dialect, always=always)
    return pc.fill_null(text, dialect["null_text"]) if text.null_count else text


def _float_text(array: pa.Array) -> pa.Array:
    """As `exact_text` has it, but for the form of exponents, without a look at each text."""
    if not pc.all(pc.is_finite(array)).as_py():
        return exact_text(array)
    text = array.cast(pa.utf8())
    whole = pc.and_(pc.equal(pc.floor(array), array), pc.less(pc.abs(array), 1e15))
    if pc.any(whole).as_py():
        without = pc.and_(whole, pc.invert(pc.match_substring(text, ".")))
        text = pc.if_else(without, pc.binary_join_element_wise(text, ".0", ""), text)
    return text


def _timestamp_text(array: pa.Array) -> pa.Array:
    """RFC 3339 with all digits of the unit."""
    ends = pc.min_max(array.cast(pa.timestamp("us")).cast(pa.int64())).as_py()
    if ends["min"] is not None and not FIRST_MOMENT <= ends["min"] <= ends["max"] <= LAST_MOMENT:
        return exact_text(array)
    # Without the zone: formatting a zoned timestamp needs a time zone database, which small systems lack.
    text = pc.replace_substring(array.cast(pa.timestamp(array.type.unit)).cast(pa.utf8()), " ", "T")
    return text if array.type.tz is None else pc.binary_join_element_wise(text, "Z", "")


def _quoted(text: pa.Array, dialect: Mapping[str, Any], *, always: bool) -> pa.Array:
    _, offsets, values = text.buffers()
    ends = memoryview(offsets).cast("i")
    # Most columns hold nothing that needs quotes, which one look at all of their bytes tells.
    data = bytes(memoryview(values)[ends[text.offset] : ends[text.offset + len(text)]]) if values is not None else b""
    special = ('"', "\r", "\n", dialect["delimiter"])
    needed = None
    if any(character.encode() in data for character in special) and not always:
        needed = pc.match_substring_regex(text, f"[{re.escape(''.join(special))}]")
    if not always:
        # Some readers take away a space at either end.
        trimmed = pc.utf8_trim_whitespace(text)
        bare = pc.or_(pc.not_equal(trimmed, text), pc.equal(text, ""))
        needed = bare if needed is None else pc.or_(needed, bare)
        if dialect["null_text"]:
            needed = pc.or_(needed, pc.equal(text, dialect["null_text"]))
        if not pc.any(needed).as_py():
            return text
    escaped = pc.replace_substring(text, '"', '""') if b'"' in data else text
    quoted = pc.binary_join_element_wise('"', escaped, '"', "")
    return quoted if needed is None else pc.if_else(needed, quoted, text)


def _texts(
    again: Callable[[], pa.NativeFile], dialect: Mapping[str, Any], schema: pa.Schema, columns: Sequence[str]
) -> Generator[pa.RecordBatch, None, None]:
    from pyarrow import csv

    parse = csv.ParseOptions(delimiter=dialect["delimiter"], newlines_in_values=True, ignore_empty_lines=False)
    convert = csv.ConvertOptions(
        column_types=dict.fromkeys(schema.names, pa.utf8()),
        null_values=[dialect["null_text"]],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        include_columns=list(columns),
    )
    done, block = 0, BLOCK_BYTES
    while True:
        read = csv.ReadOptions(use_threads=False, block_size=block, column_names=schema.names, skip_rows=int(dialect["header"]))
        skip = done
        try:
            with csv.open_csv(again(), read_options=read, parse_options=parse, convert_options=convert) as batches:
                for batch in batches:
                    fresh = batch.slice(min(skip, batch.num_rows))
                    skip -= batch.num_rows - fresh.num_rows
                    done += fresh.num_rows
                    yield fresh
            return
        except pa.ArrowInvalid as error:
            if "straddl" not in str(error) or block >= LARGEST_BLOCK_BYTES:
                raise
            block *= 8


def _json_lines(batch: pa.RecordBatch, schema: pa.Schema) -> bytes:
    """The texts as JSON, from which the decoder makes values of every type exactly."""
    parts: list[pa.Array | str] = ["{"]
    for index, (text, field) in enumerate(zip(batch.columns, schema, strict=True)):
        kind = field.type
        as_is = (
            is_json(field)
            or pa.types.is_nested(kind)
            or pa.types.is_integer(kind)
            or pa.types.is_boolean(kind)
            or pa.types.is_decimal(kind)
        )
        value = text if as_is else json_text(text, pa.field(field.name, pa.utf8()))
        parts += [f"{',' if index else ''}{json.dumps(field.name)}:", pc.fill_null(value, "null")]
    rows = pc.binary_join_element_wise(*parts, "}\n", "")
    return b"".join(text.encode() for text in rows.to_pylist())
