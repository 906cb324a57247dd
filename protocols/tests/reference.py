"""What Singer messages mean, said as plainly as possible: no speed, no streaming, one dict per row.

Made from the design's table and rules, with the json module, Decimal and datetime; it shares nothing with the decoder it is held
against. Lines are whole messages, or RECORDs cut somewhere inside their record; strings have no invalid escapes.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
import re
from dataclasses import dataclass, field
from decimal import Context, Decimal
from typing import Any

EXACT = Context(prec=2000, Emax=10**9, Emin=-(10**9))
UTC = dt.UTC
TEMPORAL = {"date", "date-time", "time"}


class Number(str):
    """A number as it stands in the text."""

    __slots__ = ()


class Bad(Exception):
    """A value that does not fit its column."""


# Objects are tuples of their members, so that equal names do not hide each other.
DECODER = json.JSONDecoder(parse_int=Number, parse_float=Number, object_pairs_hook=tuple, strict=False)
# Keys of a row beside its columns, whose names are any text.
EXTRA = ("extra",)
CHANGES = ("changes",)
EXTRACTED_AT = ("extracted_at",)
VERSION = ("version",)


OWN = {"_dativo_extra", "_dativo_changes", "_dativo_extracted_at", "_dativo_version"}


@dataclass
class Stream:
    """What one stream gave. A row is its cells that are not null; a reject is its line, column and bytes."""

    types: dict[str, Any]
    key: list[str]
    rows: list[dict[Any, Any]] = field(default_factory=list)
    rejects: list[tuple[int, str | None, bytes]] = field(default_factory=list)
    seen: int = 0

    def column(self, name: Any) -> Any:
        """The column of a property: those with a name of Dativo's own columns get `_` at its end until it is free."""
        column = name
        while name in self.types and (column in OWN or (column != name and column in self.types)):
            column += "_"
        return column


def members(text: str) -> list[tuple[str, str, str, Any]]:
    """The properties of a JSON object, in order: name as sent, name, value as sent, value."""
    found = []
    text = text.strip(" \t\r\n")
    if not text.startswith("{"):
        raise ValueError("no object")
    at = 1

    def skip(at: int) -> int:
        while at < len(text) and text[at] in " \t\r\n":
            at += 1
        return at

    at = skip(at)
    while text[at : at + 1] != "}":
        name, end = DECODER.raw_decode(text, at)
        if not isinstance(name, str) or isinstance(name, Number):
            raise ValueError("no name")
        raw_name = text[at:end]
        at = skip(end)
        if text[at : at + 1] != ":":
            raise ValueError("no colon")
        at = skip(at + 1)
        value, end = DECODER.raw_decode(text, at)
        found.append((raw_name, name, text[at:end], value))
        at = skip(end)
        if text[at : at + 1] == ",":
            at = skip(at + 1)
            if text[at : at + 1] == "}":
                raise ValueError("comma before the end")
        elif text[at : at + 1] != "}":
            raise ValueError("no comma")
    if text[at + 1 :]:
        raise ValueError("more text")
    return found


def alternatives(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """A schema without `anyOf`, one plain type each."""
    if "anyOf" in schema:
        return [plain for branch in schema["anyOf"] for plain in alternatives(branch)]
    if "type" not in schema:
        return [{}]
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return [{**schema, "type": name} for name in types]


def plain_type(schema: dict[str, Any]) -> Any:
    name = schema.get("type")
    if name == "number" and "multipleOf" in schema:
        return ("decimal", -Decimal(str(schema["multipleOf"])).normalize().adjusted())
    if name == "integer" and schema.get("airbyte_type") == "big_integer":
        return ("decimal", 0)
    if name == "string" and schema.get("format") in TEMPORAL:
        return schema["format"]
    if name == "string" and schema.get("contentEncoding") == "base64":
        return "binary"
    return name if name in {"integer", "number", "boolean", "string"} else "json"


def column_type(schema: dict[str, Any]) -> Any:
    """`integer`, `number`, `boolean`, `string`, `date`, `date-time`, `time`, `binary`, `json`, or ("decimal", scale)."""
    kinds = {plain_type(plain) for plain in alternatives(schema) if plain.get("type") != "null"}
    if not kinds:
        return "json"
    if len(kinds) == 1:
        return kinds.pop()
    if kinds <= {"string", "binary"} | TEMPORAL:
        return "string"
    wide = kinds - {"integer"}
    if "integer" in kinds and len(wide) == 1 and (wide == {"number"} or isinstance(next(iter(wide)), tuple)):
        return wide.pop()
    return "json"


def has_half_pairs(value: object) -> bool:
    if isinstance(value, tuple | list):
        return any(has_half_pairs(item) for item in value)
    return isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value)


def has_non_finite(value: object) -> bool:
    if isinstance(value, tuple | list):
        return any(has_non_finite(item) for item in value)
    return isinstance(value, float)


def decimal_of(value: object) -> Decimal:
    if not isinstance(value, Number):
        raise Bad
    return EXACT.create_decimal(value)


def moment(text: str) -> dt.datetime:
    """A date-time, in UTC where it names a zone; without a zone as it stands."""
    parts = re.fullmatch(
        r"(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d(?::?\d\d)?)?)?", text, re.ASCII
    )
    if not parts:
        raise Bad
    year, month, day, hour, minute, second = (int(part or 0) for part in parts.groups()[:6])
    fraction = (parts[7] or "").rstrip("0")
    if len(fraction) > 6:
        raise Bad
    zone = parts[8]
    try:
        value = dt.datetime(year, month, day, hour, minute, second, int(fraction.ljust(6, "0")))
        if zone is None:
            return value
        digits = "" if zone in "Zz" else zone[1:].replace(":", "").ljust(4, "0")
        hours, minutes = (int(digits[:2]), int(digits[2:])) if digits else (0, 0)
        if hours > 23 or minutes > 59:
            raise Bad
        offset = dt.timedelta(hours=hours, minutes=minutes)
        return (value - offset if zone[0] == "+" else value + offset).replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise Bad from None


def text_of(value: object) -> str:
    if not isinstance(value, str) or isinstance(value, Number) or has_half_pairs(value):
        raise Bad
    return value


def cell(value: object, raw: str, kind: Any) -> object:
    """The value as a cell of the column.

    Raises:
        Bad: It does not fit without loss.
    """
    if kind == "json":
        if has_half_pairs(value) or has_non_finite(value):
            raise Bad
        return raw
    if kind == "boolean":
        if not isinstance(value, bool):
            raise Bad
        return value
    if kind == "number" and isinstance(value, float):
        return value
    if kind in ("integer", "number") or isinstance(kind, tuple):
        number = decimal_of(value)
        if kind == "number":
            as_float = float(number)
            if as_float in (float("inf"), float("-inf")) or Decimal(repr(as_float)) != number:
                raise Bad
            return -0.0 if number.is_zero() and number.is_signed() else as_float
        scale = 0 if kind == "integer" else kind[1]
        if number and (number.adjusted() > 60 or number.adjusted() < -60):
            raise Bad
        scaled = EXACT.scaleb(number, scale)
        if scaled != EXACT.to_integral_value(scaled):
            raise Bad
        limits = (-(2**63), 2**63 - 1) if kind == "integer" else (1 - 10**38, 10**38 - 1)
        if not limits[0] <= scaled <= limits[1]:
            raise Bad
        return int(scaled) if kind == "integer" else EXACT.quantize(number, Decimal(1).scaleb(-scale)) + 0
    text = text_of(value)
    if kind == "binary":
        padded = text + "=" * (-len(text) % 4)
        try:
            decoded = base64.b64decode(padded, validate=True)
        except (binascii.Error, ValueError):
            raise Bad from None
        if base64.b64encode(decoded).decode() != padded:
            raise Bad
        return decoded
    if kind == "date-time":
        value = moment(text)
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if kind == "date":
        value = moment(text)
        if re.search(r"[+-](?!00:?(00)?$)\d\d:?(\d\d)?$", text[10:]) or value.time() != dt.time():
            raise Bad
        return value.date()
    if kind == "time":
        if not re.fullmatch(r"\d\d:\d\d:\d\d(\.\d+)?", text, re.ASCII):
            raise Bad
        return moment(f"2000-01-01T{text}").time()
    return text


def moment_in_utc(value: object) -> dt.datetime | None:
    """What a RECORD says beside its record, as a `date-time` column takes it."""
    try:
        found = cell(value, "", "date-time")
    except Bad:
        return None
    assert isinstance(found, dt.datetime)
    return found


def integer_or_none(value: object) -> int | None:
    try:
        found = cell(value, "", "integer")
    except Bad:
        return None
    assert isinstance(found, int)
    return found


def take_record(stream: Stream, line: int, record: str, on_bad_value: str, beside: dict[Any, Any]) -> None:
    """Adds the record as a row or a reject; `beside` are cells that a row gets besides."""
    row = {name: value for name, value in beside.items() if value is not None}
    bad: list[str] = []
    extra: list[str] = []
    for raw_name, name, raw, value in members(record):
        if name not in stream.types:
            if has_half_pairs(value) or has_non_finite(value):
                bad.append(name)
            else:
                extra.append(f"{raw_name}:{raw}")
            continue
        bad = [column for column in bad if column != name]
        row.pop(name, None)
        if value is None:
            if name in stream.key:
                bad.append(name)
            continue
        try:
            row[name] = cell(value, raw, stream.types[name])
        except Bad:
            bad.append(name)
    present = {name for _, name, _, _ in members(record)}
    bad += [name for name in stream.types if name in stream.key and name not in present]
    if extra:
        row[EXTRA] = "{" + ",".join(extra) + "}"
    bad_keys = [name for name in bad if name in stream.key]
    if bad and on_bad_value == "null" and not bad_keys:
        row[CHANGES] = [stream.column(name) for name in bad]
    elif bad:
        column = stream.column(bad_keys[0] if on_bad_value == "null" else bad[0])
        stream.rejects.append((line, column, record.encode("utf-8", "surrogateescape")))
        return
    stream.rows.append({stream.column(name): value for name, value in row.items()})


def decode(text: bytes, on_bad_value: str = "quarantine") -> tuple[dict[str, Stream], list[tuple[str, dict[str, int]]]]:
    """The streams, and each state with the number of records of each stream before it."""
    streams: dict[str, Stream] = {}
    states = []
    for number, raw_line in enumerate(text.split(b"\n"), start=1):
        line = raw_line.decode("utf-8", "surrogateescape")
        if not line.strip():
            continue
        try:
            found = {name: (raw, value) for _, name, raw, value in members(line)}
        except ValueError:
            cut = re.match(r'\s*{\s*"type"\s*:\s*"RECORD"\s*,\s*"stream"\s*:\s*("(?:[^"\\]|\\.)*")', line)
            stream = streams[json.loads(cut[1])] if cut else streams.setdefault("_unknown", Stream({}, []))
            stream.seen += 1
            stream.rejects.append((number, None, raw_line))
            continue
        kind = found["type"][1].upper()
        if kind == "SCHEMA":
            schema = json.loads(found["schema"][0])
            key = json.loads(found["key_properties"][0])
            streams[found["stream"][1]] = Stream({name: column_type(inner) for name, inner in schema["properties"].items()}, key)
        elif kind == "RECORD":
            stream = streams[found["stream"][1]]
            stream.seen += 1
            said = {
                EXTRACTED_AT: moment_in_utc(found["time_extracted"][1]) if "time_extracted" in found else None,
                VERSION: integer_or_none(found["version"][1]) if "version" in found else None,
            }
            take_record(stream, number, found["record"][0], on_bad_value, said)
        elif kind == "STATE":
            states.append((found["value"][0], {name: stream.seen for name, stream in streams.items()}))
    return streams, states
