"""Values come back as they were given, and schemas as they are."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
from dativo_protocols import ContractError, StreamId

from dativo_sdk._writer import ConfiguredStream
from dativo_sdk.conformance._bench import Bench
from dativo_sdk.conformance._check import check
from dativo_sdk.conformance._data import ORDERS, batch, json_field
from dativo_sdk.conformance._expect import refused, same

__all__ = ["EVERY_TYPE"]

_UTC = dt.UTC

EVERY_TYPE: list[tuple[pa.Field, list[Any]]] = [
    (pa.field("id", pa.int64()), [1, 2, 3]),
    (pa.field("whole", pa.int64()), [2**63 - 1, -(2**63), None]),
    (pa.field("real", pa.float64()), [0.1, -1.5e300, None]),
    (pa.field("yes", pa.bool_()), [True, False, None]),
    (pa.field("text", pa.utf8()), ["", "é 日本 \U0001f600 \x00 \\ \" '\n", None]),
    (pa.field("big", pa.decimal128(38, 0)), [Decimal("9" * 38), Decimal("-" + "9" * 38), None]),
    (pa.field("small", pa.decimal128(38, 9)), [Decimal("0.000000001"), Decimal("-1.100000000"), None]),
    (pa.field("day", pa.date32()), [dt.date(1970, 1, 1), dt.date(9999, 12, 31), None]),
    (pa.field("clock", pa.time64("us")), [dt.time(23, 59, 59, 999999), dt.time(0), None]),
    (
        pa.field("at", pa.timestamp("us", "UTC")),
        [dt.datetime(2026, 11, 22, 1, 2, 3, 4, _UTC), dt.datetime(1, 1, 1, tzinfo=_UTC), None],
    ),
    (pa.field("local", pa.timestamp("us")), [dt.datetime(2026, 11, 22, 1, 2, 3, 400000), dt.datetime(9999, 12, 31), None]),
    (pa.field("raw", pa.binary()), [b"\x00\xff", b"", None]),
    (json_field("json"), ['{"a":1.10,"b":[null,1e400]}', '"text"', None]),
    (pa.field("list", pa.list_(pa.int64())), [[1, None], [], None]),
    (
        pa.field("struct", pa.struct([("a", pa.int64()), ("b", pa.struct([("c", pa.utf8())]))])),
        [{"a": 1, "b": {"c": "x"}}, {"a": None, "b": None}, None],
    ),
    (
        pa.field("structs", pa.list_(pa.struct([("at", pa.timestamp("us", "UTC"))]))),
        [[{"at": dt.datetime(2026, 1, 1, tzinfo=_UTC)}], [], None],
    ),
]
"""Each type that the pipeline hands over, with three values."""


@check()
def every_type_comes_back_unchanged(bench: Bench) -> None:
    bench.load(batch({field.name: values for field, values in EVERY_TYPE}, fields=[field for field, _ in EVERY_TYPE]))
    rows = bench.rows()
    for field, values in EVERY_TYPE:
        same([row[field.name] for row in rows], values, f"column `{field.name}`")


@check()
def a_character_0_is_kept_or_refused_as_the_writer_says(bench: Bench) -> None:
    bench.load(batch({"id": [1], "text": ["a"]}))
    writer = bench.open(ConfiguredStream(ORDERS))
    if "nul" not in getattr(writer, "refuses", ()):
        bench.load(batch({"id": [2], "text": ["a\x00b"]}))
        same([row["text"] for row in bench.rows()], ["a", "a\x00b"])
        return
    with refused(ContractError):
        writer.write_batch(batch({"id": [2], "text": ["a\x00b"]}))
        writer.commit(b"1", final=True)
    bench.close()
    same([row["text"] for row in bench.rows()], ["a"])


@check()
def the_schema_is_that_of_the_table(bench: Bench) -> None:
    bench.load(batch({"id": [1], "name": ["a"]}))
    writer = bench.open(ConfiguredStream(ORDERS))
    schema = pa.schema(writer.get_schema(ORDERS))
    same([(field.name, str(field.type)) for field in schema], [("id", "int64"), ("name", "string")])
    same(writer.get_schema(StreamId("other")), None, "the schema of a stream without a table")


@check()
def an_empty_stream_has_a_table(bench: Bench) -> None:
    receipt = bench.load(batch({"id": pa.array([], pa.int64())}))
    same([change.kind for change in receipt.changes], ["table"])
    same(bench.rows(), [])
    table = bench.table()
    same(None if table is None else table.schema.names, ["id"])


@check()
def three_hundred_columns(bench: Bench) -> None:
    bench.load(batch({f"column {number}": [number, None] for number in range(300)}))
    table = bench.table()
    same(None if table is None else (table.num_rows, table.num_columns), (2, 300), "rows and columns")
