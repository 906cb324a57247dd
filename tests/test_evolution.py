from __future__ import annotations

import datetime as dt
import json
import math
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from dativo_protocols import StreamId
from dativo_protocols.errors import ContractError
from hypothesis import given
from hypothesis import strategies as st

from dativo._evolution import ColumnChange, conform, evolve, json_field, type_text
from dativo._exact_text import exact_text, json_text

UTC = dt.UTC
TYPES = {
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "string": pa.utf8(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"),
    "timestamp_without_timezone": pa.timestamp("us"),
    "time": pa.time64("us"),
    "binary": pa.binary(),
    "decimal(38,9)": pa.decimal128(38, 9),
    "decimal(10,2)": pa.decimal128(10, 2),
    "list<int64>": pa.list_(pa.int64()),
}


def column(kind: pa.DataType | pa.Field) -> pa.Schema:
    return pa.schema([kind if isinstance(kind, pa.Field) else pa.field("c", kind)])


def one(before: str, after: str) -> str:
    fields = [json_field("c") if name == "json" else pa.field("c", TYPES[name]) for name in (before, after)]
    return type_text(evolve(column(fields[0]), column(fields[1])).schema.field("c"))


def converted(array: pa.Array, field: pa.Field) -> list[Any]:
    before = pa.field("c", array.type)
    values: list[Any] = conform(pa.record_batch([array], schema=column(before)), column(field)).column(0).to_pylist()
    return values


@pytest.mark.parametrize("name", [*TYPES, "json"])
def test_type_texts_and_a_type_that_stays(name: str) -> None:
    assert one(name, name) == name


@pytest.mark.parametrize(
    ("before", "after", "common"),
    [
        ("int64", "decimal(38,9)", "decimal(38,9)"),
        ("int64", "decimal(10,2)", "decimal(21,2)"),
        ("int64", "float64", "float64"),
        ("decimal(10,2)", "decimal(38,9)", "decimal(38,9)"),
        ("date", "timestamp", "timestamp"),
        ("timestamp_without_timezone", "timestamp", "timestamp"),
        ("int64", "string", "string"),
        ("binary", "string", "string"),
        ("json", "string", "json"),
        ("list<int64>", "string", "json"),
        ("bool", "int64", "json"),
        ("float64", "decimal(38,9)", "json"),
        ("time", "timestamp", "json"),
        ("int64", "list<int64>", "json"),
    ],
)
def test_two_types_have_one_that_holds_both(before: str, after: str, common: str) -> None:
    assert one(before, after) == common
    assert one(after, before) == common


@given(st.sampled_from([*TYPES, "json"]), st.sampled_from([*TYPES, "json"]))
def test_a_widened_type_holds_what_it_came_from(before: str, after: str) -> None:
    first = evolve(*(column(json_field("c") if name == "json" else TYPES[name]) for name in (before, after))).schema
    for name in (before, after):
        again = evolve(first, column(json_field("c") if name == "json" else TYPES[name]))
        assert (again.schema, again.changes) == (first, ())


def test_new_columns_come_last_and_missing_ones_stay() -> None:
    existing = pa.schema([("a", pa.int64()), ("b", pa.utf8())])
    evolution = evolve(existing, pa.schema([("c", pa.bool_()), ("a", pa.utf8())]))
    assert evolution.schema.names == ["a", "b", "c"]
    assert evolution.changes == (
        ColumnChange("type", "a", "int64", "string"),
        ColumnChange("column", "c", None, "bool"),
    )


def test_a_new_table_takes_plain_nullable_types() -> None:
    incoming = pa.schema(
        [pa.field("a", pa.large_utf8(), nullable=False), ("b", pa.null()), ("c", pa.json_()), ("d", pa.timestamp("ns", "CET"))]
    )
    schema = evolve(None, incoming).schema
    assert [type_text(field) for field in schema] == ["string", "json", "json", "timestamp"]
    assert all(field.nullable for field in schema)
    assert evolve(None, incoming).changes == ()


def test_structs_and_lists_widen_inside() -> None:
    before = pa.struct([("a", pa.int64())])
    after = pa.struct([("a", pa.float64()), ("b", pa.utf8())])
    assert type_text(evolve(column(before), column(after)).schema.field("c")) == "struct<a: float64, b: string>"
    field = pa.field("c", pa.list_(after))
    assert converted(pa.array([[{"a": 1}], None, []], pa.list_(before)), field) == [[{"a": 1.0, "b": None}], None, []]


def test_a_batch_that_fits_is_not_copied() -> None:
    batch = pa.record_batch({"a": [1, 2]})
    assert conform(batch, batch.schema) is batch
    wider = conform(batch, pa.schema([("b", pa.utf8()), ("a", pa.int64())]))
    assert wider.to_pydict() == {"b": [None, None], "a": [1, 2]}
    assert wider.column("a").buffers()[1].address == batch.column("a").buffers()[1].address


TEXTS = [
    (pa.array([-5, None, 2**63 - 1]), ["-5", None, "9223372036854775807"]),
    (pa.array([1.0, 0.1, 1e16, 1e-5, -0.0]), ["1.0", "0.1", "1e+16", "1e-05", "-0.0"]),
    (pa.array([math.nan, math.inf, -math.inf]), ["NaN", "Infinity", "-Infinity"]),
    (pa.array([True, False]), ["true", "false"]),
    (pa.array([Decimal(0), Decimal("-1.10")], pa.decimal128(38, 9)), ["0.000000000", "-1.100000000"]),
    (pa.array([dt.datetime(2026, 1, 2, 3, 4, 5, 600000)], pa.timestamp("us", "UTC")), ["2026-01-02T03:04:05.6Z"]),
    (pa.array([dt.datetime(2026, 1, 2)], pa.timestamp("us")), ["2026-01-02T00:00:00"]),
    (pa.array([dt.date(2026, 1, 2)]), ["2026-01-02"]),
    (pa.array([dt.time(1, 2, 3)], pa.time64("us")), ["01:02:03"]),
    (pa.array([b"\x00\xff"]), ["AP8="]),
]


@pytest.mark.parametrize(("array", "texts"), TEXTS, ids=[str(array.type) for array, _ in TEXTS])
def test_values_have_an_exact_text(array: pa.Array, texts: list[str]) -> None:
    assert converted(array, pa.field("c", pa.utf8())) == texts


@given(st.lists(st.floats() | st.none()))
def test_a_float_text_reads_back_as_the_same_number(values: list[float | None]) -> None:
    texts = exact_text(pa.array(values, pa.float64())).to_pylist()
    assert [text and repr(float(text)) for text in texts] == [None if value is None else repr(value) for value in values]


@given(st.lists(st.text() | st.none()))
def test_a_string_as_json_reads_back_as_the_same_string(values: list[str | None]) -> None:
    texts = json_text(pa.array(values, pa.utf8()), pa.field("c", pa.utf8())).to_pylist()
    assert [None if text is None else json.loads(text) for text in texts] == values


def test_nested_values_become_json() -> None:
    kind = pa.struct([("n", pa.decimal128(38, 2)), ("x", pa.list_(pa.utf8())), ("at", pa.timestamp("us", "UTC"))])
    full = {"n": Decimal("1.10"), "x": ['"', None], "at": dt.datetime(2026, 1, 1, tzinfo=UTC)}
    rows = [full, None, {"n": None, "x": None, "at": None}]
    assert converted(pa.array(rows, kind), json_field("c")) == [
        '{"n":1.10,"x":["\\"",null],"at":"2026-01-01T00:00:00Z"}',
        None,
        '{"n":null,"x":null,"at":null}',
    ]


def test_json_stays_as_it_was_sent() -> None:
    array = pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a": 1.10}', None]))
    assert converted(array, json_field("c")) == ['{"a": 1.10}', None]


REFUSED = [
    (pa.array([2**53 + 1]), pa.float64()),
    (pa.array([10**18]), pa.decimal128(10, 1)),
    (pa.array([Decimal("1e37")], pa.decimal128(38, 0)), pa.decimal128(38, 9)),
    (pa.array([Decimal("1.5")]), pa.int64()),
    (pa.array([2**40]), pa.int32()),
    (pa.array([0.1]), pa.float32()),
    (pa.array([True]), pa.int64()),
    (pa.array([2**62], pa.timestamp("us")), pa.utf8()),
]


@pytest.mark.parametrize(("array", "kind"), REFUSED, ids=[f"{array.type} to {kind}" for array, kind in REFUSED])
def test_a_value_that_would_change_is_refused(array: pa.Array, kind: pa.DataType) -> None:
    batch = pa.record_batch([array], names=["c"])
    with pytest.raises(ContractError) as caught:
        conform(batch, column(kind), stream=StreamId("orders"))
    assert (caught.value.facts["stream"], caught.value.facts["column"]) == ("orders", "c")
    assert caught.value.hint


def test_whole_decimals_and_small_numbers_are_cast() -> None:
    assert converted(pa.array([Decimal("2.00")]), pa.field("c", pa.int64())) == [2]
    assert converted(pa.array([5]), pa.field("c", pa.decimal128(10, 1))) == [Decimal(5)]
    assert converted(pa.array([2**53]), pa.field("c", pa.float64())) == [2.0**53]


def test_a_column_that_is_unknown_or_comes_twice_is_refused() -> None:
    with pytest.raises(ContractError, match="has no column `b`"):
        conform(pa.record_batch({"b": [1]}), column(pa.int64()))
    twice = pa.record_batch([pa.array([1]), pa.array([2])], names=["c", "c"])
    with pytest.raises(ContractError, match="comes twice"):
        conform(twice, column(pa.utf8()))
