"""Singer (or Airbyte) messages of any size, the same bytes every time: `python -m benchmarks.generate FILE --rows N`."""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

Shape = Literal["orders", "wide", "users"]
Protocol = Literal["singer", "airbyte"]

STATE_EVERY = 10_000
WIDE_COLUMNS = 200

CITIES = ["Berlin", "São Paulo", "東京", "New York", "Kraków", "Nairobi", "Reykjavík", "Mumbai"]
LANGUAGES = ["Khmer", "Latvian", "Moldovan", "Japanese", "Swahili", "Português", "Íslenska", "Deutsch"]
STATUSES = ["new", "paid", "packed", "shipped", "returned"]
FIRST = [
    "Ada",
    "Björn",
    "Chidi",
    "Dana",
    "Emeka",
    "Fatima",
    "Grace",
    "Hugo",
    "Ines",
    "Jun",
    "Kofi",
    "Lena",
    "Marek",
    "Noor",
    "Olga",
    "Pia",
]
LAST = [
    "Adeyemi",
    "Brandt",
    "Castro",
    "Dvořák",
    "Fischer",
    "Gomez",
    "Hansen",
    "Ito",
    "Kim",
    "Larsen",
    "Müller",
    "Novak",
    "Okafor",
    "Silva",
]
WORDS = (
    r"the order was left at door neighbour has key customer asked for \"express\" delivery a receipt parcel came late\nrefund"
    r" pending since second of month see ticket support team all details gift wrapped please do not bend fragile glass call"
).split(" ")
NULLABLE_DATE_TIME = {"type": ["null", "string"], "format": "date-time"}

ORDERS: dict[str, Any] = {
    "id": {"type": "integer"},
    "customer": {"type": ["null", "string"]},
    "name": {"type": ["null", "string"]},
    "email": {"type": ["null", "string"]},
    "city": {"type": ["null", "string"]},
    "status": {"type": ["null", "string"]},
    "quantity": {"type": ["null", "integer"]},
    "price": {"type": ["null", "number"]},
    "weight": {"type": ["null", "number"]},
    "gift": {"type": ["null", "boolean"]},
    "created_at": NULLABLE_DATE_TIME,
    "note": {"type": ["null", "string"]},
}
TEXT: dict[str, Any] = {"type": ["null", "string"]}
ZONED: dict[str, Any] = {"type": ["null", "string"], "format": "date-time", "airbyte_type": "timestamp_with_timezone"}
PLACE = ("street_number", "street_name", "city", "state", "province", "postal_code", "country_code")
USERS: dict[str, Any] = {
    "id": {"type": "integer"},
    "created_at": ZONED,
    "updated_at": ZONED,
    "name": TEXT,
    "title": TEXT,
    "age": {"type": ["null", "integer"]},
    "email": TEXT,
    "telephone": TEXT,
    "gender": TEXT,
    "language": TEXT,
    "academic_degree": TEXT,
    "nationality": TEXT,
    "occupation": TEXT,
    "height": TEXT,
    "blood_type": TEXT,
    "weight": {"type": ["null", "integer"]},
    "address": {"type": ["null", "object"], "properties": dict.fromkeys(PLACE, TEXT)},
    "note": TEXT,
}
"""The columns of `airbyte-source-faker`'s users, and a note."""
WIDE_TYPES: list[dict[str, Any]] = [
    {"type": ["null", "integer"]},
    {"type": ["null", "string"]},
    {"type": ["null", "number"]},
    {"type": ["null", "boolean"]},
    NULLABLE_DATE_TIME,
]


def schema(shape: Shape) -> dict[str, Any]:
    """The JSON Schema of the records."""
    if shape != "wide":
        return {"type": "object", "properties": ORDERS if shape == "orders" else USERS}
    columns = {f"c{n:03}": WIDE_TYPES[n % len(WIDE_TYPES)] for n in range(1, WIDE_COLUMNS)}
    return {"type": "object", "properties": {"id": {"type": "integer"}, **columns}}


def order(n: int, bits: int) -> str:
    """A record of twelve columns from 256 random bits."""
    first, last, number = FIRST[bits & 15], LAST[(bits >> 4 & 0xFFF) % len(LAST)], bits >> 32 & 0xFFF
    cents, grams, day, second, micro = (
        bits >> 44 & 0xFFFFF,
        bits >> 64 & 0xFFFFFF,
        bits >> 88 & 0xFFF,
        bits >> 100 & 0xFFFF,
        bits >> 116,
    )
    words = " ".join([WORDS[(bits >> shift & 0x3F) % len(WORDS)] for shift in range(136, 232, 6)])
    note = f'"{words}"' if bits >> 232 & 7 else "null"
    a, b, c, d, e = bits >> 96 & 0xFFFFFFFF, bits & 0xFFFF, bits >> 20 & 0xFFF, bits >> 40 & 0xFFF, bits >> 180 & 0xFFFFFFFFFFFF
    date = f"20{10 + day % 15}-{1 + day % 12:02}-{1 + second % 28:02}"
    time = f"{second % 24:02}:{second // 24 % 60:02}:{day % 60:02}.{micro % 1_000_000:06}"
    return (
        f'{{"id":{n},"customer":"{a:08x}-{b:04x}-4{c:03x}-a{d:03x}-{e:012x}","name":"{first} {last}",'
        f'"email":"{first.lower()}.{last.lower()}{number}@mail-{bits >> 160 & 0x3F}.example.com",'
        f'"city":"{CITIES[bits >> 236 & 7]}",'
        f'"status":"{STATUSES[(bits >> 240 & 0xFF) % 5]}","quantity":{bits >> 248 & 0x3F},"price":{cents / 100},'
        f'"weight":{grams / 7919},'
        f'"gift":{"true" if bits >> 254 & 1 else "false"},"created_at":"{date}T{time}+00:00","note":{note}}}'
    )


def user(n: int, bits: int) -> str:
    """A record as `airbyte-source-faker` makes them, from 256 random bits."""
    first, last, job = FIRST[bits & 15], LAST[(bits >> 4 & 0xFFF) % len(LAST)], WORDS[bits >> 16 & 31]
    day, second, number, street = bits >> 24 & 0xFFF, bits >> 36 & 0xFFFF, bits >> 52 & 0xFFFFFF, bits >> 76 & 0xFFFF
    words = " ".join([WORDS[(bits >> shift & 0x3F) % len(WORDS)] for shift in range(136, 208, 6)])
    created = (
        f"20{day % 25:02}-{1 + day % 12:02}-{1 + second % 28:02}T{second % 24:02}:{second // 24 % 60:02}:{day % 60:02}+00:00"
    )
    return (
        f'{{"id":{n},"created_at":"{created}","updated_at":"2026-11-22T08:42:05+00:00","name":"{first}","title":"Mrs.",'
        f'"age":{18 + day % 80},"email":"{first.lower()}{number}+{n}@example.com",'
        f'"telephone":"+1-({second % 900 + 100})-{number}","gender":"Female",'
        f'"language":"{LANGUAGES[bits >> 92 & 7]}","academic_degree":"Master",'
        f'"nationality":"{LANGUAGES[bits >> 95 & 7]}",'
        f'"occupation":"{last} of {job}","height":"1.{50 + day % 50}","blood_type":"AB−","weight":{45 + second % 60},'
        f'"address":{{"street_number":"{street}","street_name":"{last}","city":"{CITIES[bits >> 98 & 7]}","state":"South Dakota",'
        f'"province":"Montana","postal_code":"{number % 100000:05}","country_code":"LK"}},"note":"{words}"}}'
    )


def wide(n: int, bits: int) -> str:
    """A record of 200 columns: five types in turn, each value a different part of the same bits."""
    values: list[str] = []
    for k in range(WIDE_COLUMNS // 5):
        h = (bits >> k) * 2654435761 & 0xFFFFFFFF
        values += [
            f'"value {h & 0xFFF} of row {h >> 16 & 0xFFF}"',
            f"{h / 7919}",
            "true" if h & 64 else "null",
            f'"20{10 + h % 15}-{1 + h % 12:02}-{1 + h % 28:02}T{h % 24:02}:00:{n % 60:02}+00:00"',
            f"{h % 1_000_000}",
        ]
    return WIDE_TEMPLATE % (n, *values[:-1])


WIDE_TEMPLATE = '{"id":%d,' + ",".join(f'"c{n:03}":%s' for n in range(1, WIDE_COLUMNS)) + "}"
RECORDS: dict[Shape, Callable[[int, int], str]] = {"orders": order, "wide": wide, "users": user}


def messages(
    shape: Shape, rows: int, protocol: Protocol, ids: Callable[[int], int] | None = None, seed: int = 2026
) -> Iterator[str]:
    """The lines of one stream, named like the shape: its schema or status, its records, a state after every 10,000.

    Args:
        ids: The id of the n-th record, counted from 1; by default n.
    """
    record, random_bits = RECORDS[shape], random.Random(seed).getrandbits
    if protocol == "singer":
        keys = {"key_properties": ["id"], "bookmark_properties": ["id"]}
        yield json.dumps({"type": "SCHEMA", "stream": shape, "schema": schema(shape), **keys})
        head, tail = f'{{"type":"RECORD","stream":"{shape}","record":', ',"time_extracted":"2026-01-01T00:00:00.000000Z"}'
    else:
        yield status(shape, "STARTED")
        head, tail = f'{{"type":"RECORD","record":{{"stream":"{shape}","data":', ',"emitted_at":1767225600000}}'
    for n in range(1, rows + 1):
        yield head + record(ids(n) if ids else n, random_bits(256)) + tail
        if n % STATE_EVERY == 0 or n == rows:
            yield state(shape, n, protocol)
    if protocol == "airbyte":
        yield status(shape, "COMPLETE")


def status(shape: Shape, status: str) -> str:
    return (
        f'{{"type":"TRACE","trace":{{"type":"STREAM_STATUS","emitted_at":1767225600000.5,'
        f'"stream_status":{{"stream_descriptor":{{"name":"{shape}"}},"status":"{status}"}}}}}}'
    )


def state(shape: Shape, n: int, protocol: Protocol) -> str:
    if protocol == "singer":
        return f'{{"type":"STATE","value":{{"bookmarks":{{"{shape}":{{"replication_key":"id","replication_key_value":{n}}}}}}}}}'
    return (
        f'{{"type":"STATE","state":{{"type":"STREAM","stream":{{"stream_descriptor":{{"name":"{shape}"}},"stream_state":{{"id":{n}}}}},'
        f'"sourceStats":{{"recordCount":{n % STATE_EVERY or STATE_EVERY}.0}}}}}}'
    )


def write(path: Path, shape: Shape, rows: int, protocol: Protocol = "singer") -> Path:
    """Writes the messages to `path`, unless it already has them."""
    marker = path.with_name(path.name + ".whole")
    if not (path.exists() and marker.exists()):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8") as output:
            output.writelines(line + "\n" for line in messages(shape, rows, protocol))
        marker.touch()
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--shape", choices=["orders", "wide", "users"], default="orders")
    parser.add_argument("--protocol", choices=["singer", "airbyte"], default="singer")
    chosen = parser.parse_args()
    write(chosen.file, chosen.shape, chosen.rows, chosen.protocol)
