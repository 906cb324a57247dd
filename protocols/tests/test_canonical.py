"""Arrow data of every type as the types that targets take."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any, Literal

import pyarrow as pa
import pytest
from dativo_protocols import ContractError, arrow_json_schema, canonical_batch, canonical_schema
from hypothesis import given, settings
from hypothesis import strategies as st

UTC = dt.UTC
JSON = pa.json_()


def canonical(array: pa.Array, field: pa.Field | None = None, nested: Literal["json", "struct"] = "json") -> pa.Array:
    """The one column, as it is made; its type is that of the schema."""
    field = field or pa.field("c", array.type)
    batch = pa.record_batch([array], schema=pa.schema([field]))
    made = pa.record_batch(canonical_batch(batch, nested=nested))
    made.validate(full=True)
    assert made.schema == pa.schema(canonical_schema(batch.schema, nested=nested))
    return made.column(0)


MOMENT = dt.datetime(2026, 11, 22, 1, 2, 3, 4, UTC)
SIMPLE: list[tuple[pa.DataType, list[Any], pa.DataType, list[Any] | None]] = [
    (pa.null(), [None, None], JSON, None),
    (pa.bool_(), [True, None], pa.bool_(), None),
    *((kind, [0, 127, None], pa.int64(), None) for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64())),
    *((kind, [0, 255, None], pa.int64(), None) for kind in (pa.uint8(), pa.uint16(), pa.uint32())),
    (pa.int8(), [-128], pa.int64(), None),
    (pa.uint64(), [2**64 - 1, 0, None], pa.decimal128(20, 0), [Decimal(2**64 - 1), Decimal(0), None]),
    (pa.float16(), [1.5, -0.0, None], pa.float64(), None),
    (pa.float32(), [1.5, float("inf"), None], pa.float64(), None),
    (pa.float64(), [0.1, None], pa.float64(), None),
    (pa.decimal32(9, 2), [Decimal("-1234567.89"), None], pa.decimal128(9, 2), None),
    (pa.decimal64(18, 0), [Decimal(10**17), None], pa.decimal128(18, 0), None),
    (pa.decimal128(10, -2), [Decimal("12300"), None], pa.decimal128(12, 0), None),
    (pa.decimal256(38, 9), [Decimal("0.000000001"), Decimal("-" + "9" * 29), None], pa.decimal128(38, 9), None),
    (pa.decimal256(76, 2), [Decimal("9" * 74 + ".25"), Decimal("-0.01"), None], JSON, ["9" * 74 + ".25", "-0.01", None]),
    *((kind, ["", "é😀\0", None], pa.utf8(), None) for kind in (pa.utf8(), pa.large_utf8(), pa.string_view())),
    *((kind, [b"", b"\0\xff", None], pa.binary(), None) for kind in (pa.binary(), pa.large_binary(), pa.binary_view())),
    (pa.binary(3), [b"abc", None, b"\0\0\0"], pa.binary(), None),
    (pa.date32(), [dt.date(1, 1, 1), None], pa.date32(), None),
    (pa.date64(), [dt.date(1969, 12, 31), None], pa.date32(), None),
    (pa.time32("s"), [dt.time(23, 59, 59), None], pa.time64("us"), None),
    (pa.time32("ms"), [dt.time(23, 59, 59, 999000), None], pa.time64("us"), None),
    (pa.time64("us"), [dt.time(0, 0, 0, 1), None], pa.time64("us"), None),
    (pa.time64("ns"), [dt.time(23, 59, 59, 999999), None], pa.time64("us"), None),
    *((pa.timestamp(unit, "UTC"), [MOMENT, None], pa.timestamp("us", "UTC"), None) for unit in ("us", "ns")),
    (pa.timestamp("s", "Europe/Berlin"), [MOMENT.replace(microsecond=0)], pa.timestamp("us", "UTC"), None),
    (pa.timestamp("us", "+05:30"), [MOMENT], pa.timestamp("us", "UTC"), None),
    (pa.timestamp("ms"), [dt.datetime(9999, 12, 31), None], pa.timestamp("us"), None),
    (pa.timestamp("us"), [dt.datetime(1, 1, 1), None], pa.timestamp("us"), None),
    *((pa.duration(unit), [dt.timedelta(days=-1, seconds=5)], pa.int64(), [-86_395_000_000]) for unit in ("s", "ms", "us", "ns")),
    (pa.month_day_nano_interval(), [(1, -2, 1_500_000_000), (0, 0, 0), None], pa.utf8(), ["P1M-2DT1.5S", "PT0S", None]),
]


def test_a_scale_beyond_the_precision_becomes_the_precision() -> None:
    values = pa.array([Decimal("1.23")], pa.decimal128(3, 2))
    array = pa.Array.from_buffers(pa.decimal128(3, 5), 1, values.buffers())
    assert canonical(array).to_pylist() == [Decimal("0.00123")]
    assert canonical(array).type == pa.decimal128(5, 5)


def name(case: object) -> str:
    return str(case) if isinstance(case, pa.DataType) else ""


@pytest.mark.parametrize(("kind", "values", "target", "expected"), SIMPLE, ids=name)
def test_every_type_becomes_its_canonical_one(
    kind: pa.DataType, values: list[Any], target: pa.DataType, expected: list[Any] | None
) -> None:
    array = pa.array(values, kind)
    made = canonical(array)
    assert made.type == target
    wanted = values if expected is None else expected
    assert made.to_pylist() == wanted
    doubled = pa.concat_arrays([array, array])
    assert canonical(doubled.slice(1, len(values))).to_pylist() == (wanted + wanted)[1 : 1 + len(values)]


@pytest.mark.parametrize(("kind", "values", "target", "expected"), SIMPLE[1:], ids=name)
def test_dictionaries_and_runs_say_each_value(
    kind: pa.DataType, values: list[Any], target: pa.DataType, expected: list[Any] | None
) -> None:
    array = pa.array(values, kind)
    wanted = values if expected is None else expected
    indices = pa.array([len(values) - 1, 0, None, 0], pa.int8())
    said = [wanted[-1], wanted[0], None, wanted[0]]
    dictionary = canonical(pa.DictionaryArray.from_arrays(indices, array))
    assert (dictionary.type, dictionary.to_pylist()) == (target, said)
    ends = pa.array([2 * place + 2 for place in range(len(values))], pa.int32())
    runs = canonical(pa.RunEndEncodedArray.from_arrays(ends, array).slice(1))
    assert (runs.type, runs.to_pylist()) == (target, [value for value in wanted for _ in range(2)][1:])


def test_canonical_columns_are_not_copied() -> None:
    batch = pa.record_batch({"n": [1, 2], "s": ["a", "b"], "big": pa.array(["x"], pa.large_utf8()).take([0, 0])})
    made = pa.record_batch(canonical_batch(batch))
    assert made.schema.metadata is None
    for column, buffer in ((0, 1), (1, 2), (2, 2)):
        assert made.column(column).buffers()[buffer].address == batch.column(column).buffers()[buffer].address


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (pa.array([1001], pa.timestamp("ns")), "a value is not a whole number of microseconds"),
        (pa.array([1001], pa.time64("ns")), "a value is not a whole number of microseconds"),
        (pa.array([1001], pa.duration("ns")), "a value is not a whole number of microseconds"),
        (pa.array([2**62], pa.timestamp("s")), "a value lies outside what microseconds in 64 bits can say"),
        (pa.array([1], pa.int64()).cast(pa.date64(), safe=False), "a date is not a whole number of days"),
    ],
)
def test_what_would_change_is_refused_by_the_name_of_its_column(array: pa.Array, reason: str) -> None:
    with pytest.raises(ContractError, match=f"column `c`: {reason}") as raised:
        canonical(array)
    assert raised.value.facts == {"column": "c"}
    assert raised.value.hint == "give the column another type in the job: `types: {c: string}`"


def test_what_is_under_a_null_does_not_matter() -> None:
    buffers = [pa.py_buffer(b"\x01"), pa.array([1000, 1001], pa.int64()).buffers()[1]]
    assert canonical(pa.Array.from_buffers(pa.timestamp("ns"), 2, buffers)).to_pylist() == [
        dt.datetime(1970, 1, 1, 0, 0, 0, 1),
        None,
    ]


def test_a_union_is_refused() -> None:
    with pytest.raises(ContractError, match=r"column `c`: the type Union.* has no form without loss here"):
        canonical(pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])]))


def test_text_in_a_json_column_must_be_json() -> None:
    field = pa.field("c", pa.json_(pa.large_utf8()))
    good = pa.ExtensionArray.from_storage(field.type, pa.array(['{"a":1.10}', " 1", None], pa.large_utf8()))
    assert canonical(good, field).to_pylist() == ['{"a":1.10}', " 1", None]
    assert canonical(good, field).type == JSON
    with pytest.raises(ContractError, match="column `c`: a text in a column of JSON is no JSON"):
        canonical(pa.ExtensionArray.from_storage(field.type, pa.array(['{"a":'], pa.large_utf8())), field)


NESTED = pa.array(
    [{"a": 1, "l": [{"t": 1_000_000_001, "m": [("k", 1.5)]}], "n": None}, {"a": None, "l": None, "n": None}, None],
    pa.struct(
        [
            ("a", pa.uint8()),
            ("l", pa.large_list(pa.struct([("t", pa.timestamp("ns", "UTC")), ("m", pa.map_(pa.utf8(), pa.float32()))]))),
            ("n", pa.null()),
        ]
    ),
)


def test_what_is_nested_becomes_exact_json_text() -> None:
    made = canonical(NESTED)
    assert made.type == JSON
    assert made.to_pylist() == [
        '{"a":1,"l":[{"t":"1970-01-01T00:00:01.000000001Z","m":{"k":1.5}}],"n":null}',
        '{"a":null,"l":null,"n":null}',
        None,
    ]


def test_what_is_nested_becomes_structs_and_lists_of_canonical_types() -> None:
    with pytest.raises(ContractError, match="not a whole number of microseconds"):
        canonical(NESTED, nested="struct")
    rows = [{"a": 1, "l": [{"t": MOMENT, "m": [("k", 1.5)]}], "n": None}, {"a": None, "l": None, "n": None}, None]
    made = canonical(pa.array(rows, NESTED.type), nested="struct")
    assert made.to_pylist() == [{**rows[0], "l": [{"t": MOMENT, "m": [{"key": "k", "value": 1.5}]}]}, *rows[1:]]  # type: ignore[dict-item]
    inner = pa.struct(
        [
            ("t", pa.timestamp("us", "UTC")),
            ("m", pa.list_(pa.field("entries", pa.struct([pa.field("key", pa.utf8(), False), ("value", pa.float64())]), False))),
        ]
    )
    assert made.type == pa.struct([("a", pa.int64()), ("l", pa.list_(inner)), ("n", JSON)])


LISTS = [pa.list_(pa.int8()), pa.large_list(pa.int8()), pa.list_view(pa.int8()), pa.large_list_view(pa.int8())]


@pytest.mark.parametrize("kind", [*LISTS, pa.list_(pa.int8(), 2)], ids=str)
def test_lists_of_every_kind(kind: pa.DataType) -> None:
    values = [[1, None], None, [3, 4]] if kind in [pa.list_(pa.int8(), 2)] else [[1, None], [], None, [3, 4, 5]]
    for array, wanted in ((pa.array(values, kind), values), (pa.array(values, kind).slice(1), values[1:])):
        assert canonical(array, nested="struct").to_pylist() == wanted
        assert canonical(array, nested="struct").type == pa.list_(pa.int64())
        assert canonical(array).to_pylist() == [
            value and json.dumps(value, separators=(",", ":")) if value != [] else "[]" for value in wanted
        ]


def test_names_of_dativo_s_own_columns_are_moved() -> None:
    schema = pa.schema([("_dativo_extra", pa.int64()), ("_dativo_extra_", pa.int64()), ("b", pa.int8())])
    assert pa.schema(canonical_schema(schema)).names == ["_dativo_extra__", "_dativo_extra_", "b"]


def test_json_schema_says_the_types() -> None:
    schema = pa.schema(
        [
            pa.field("i", pa.int8(), False),
            ("u", pa.uint64()),
            ("f", pa.float32()),
            ("d", pa.decimal128(10, 2)),
            ("t", pa.timestamp("ns", "Asia/Tokyo")),
            ("l", pa.timestamp("s")),
            ("c", pa.time32("s")),
            ("y", pa.date64()),
            ("b", pa.binary(3)),
            ("j", JSON),
            ("e", pa.dictionary(pa.int8(), pa.utf8())),
            ("s", pa.struct([("x", pa.list_(pa.bool_()))])),
            ("m", pa.map_(pa.utf8(), pa.int32())),
        ]
    )
    said = arrow_json_schema(schema)["properties"]
    assert said == {
        "i": {"type": "integer"},
        "u": {"type": ["null", "integer"], "airbyte_type": "big_integer"},
        "f": {"type": ["null", "number"]},
        "d": {"type": ["null", "number"], "multipleOf": 0.01},
        "t": {"type": ["null", "string"], "format": "date-time", "airbyte_type": "timestamp_with_timezone"},
        "l": {"type": ["null", "string"], "format": "date-time", "airbyte_type": "timestamp_without_timezone"},
        "c": {"type": ["null", "string"], "format": "time", "airbyte_type": "time_without_timezone"},
        "y": {"type": ["null", "string"], "format": "date"},
        "b": {"type": ["null", "string"], "contentEncoding": "base64"},
        "j": {},
        "e": {"type": ["null", "string"]},
        "s": {
            "type": ["null", "object"],
            "properties": {"x": {"type": ["null", "array"], "items": {"type": ["null", "boolean"]}}},
        },
        "m": {"type": ["null", "object"], "additionalProperties": {"type": ["null", "integer"]}},
    }


LEAVES: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.bool_(), st.booleans()),
    (pa.int16(), st.integers(-(2**15), 2**15 - 1)),
    (pa.uint32(), st.integers(0, 2**32 - 1)),
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.float32(), st.floats(width=32, allow_nan=False)),
    (pa.float64(), st.floats(allow_nan=False)),
    (pa.decimal64(18, 4), st.decimals(min_value=-(10**13), max_value=10**13, places=4)),
    (pa.decimal256(38, 6), st.decimals(min_value=-(10**30), max_value=10**30, places=6)),
    (pa.large_utf8(), st.text(max_size=20)),
    (pa.string_view(), st.text(max_size=20)),
    (pa.large_binary(), st.binary(max_size=20)),
    (pa.binary_view(), st.binary(max_size=20)),
    (pa.binary(2), st.binary(min_size=2, max_size=2)),
    (pa.date64(), st.dates()),
    (pa.time64("ns"), st.times()),
    (pa.timestamp("us", "America/Lima"), st.datetimes(timezones=st.just(UTC))),
    (pa.timestamp("ms"), st.datetimes().map(lambda moment: moment.replace(microsecond=0))),
]


def nest(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Types, with their values, of lists and structs of what there is."""

    def listed(leaf: tuple[pa.DataType, Any]) -> st.SearchStrategy[Any]:
        kinds = st.sampled_from([pa.list_, pa.large_list, pa.list_view, pa.large_list_view])
        return kinds.map(lambda kind: (kind(leaf[0]), st.lists(st.none() | leaf[1], max_size=4)))

    def grouped(leaves: list[tuple[pa.DataType, Any]]) -> tuple[pa.DataType, Any]:
        fields = [(f"f{place}", kind) for place, (kind, _) in enumerate(leaves)]
        return pa.struct(fields), st.fixed_dictionaries({f"f{place}": st.none() | leaf for place, (_, leaf) in enumerate(leaves)})

    return inner.flatmap(listed) | st.lists(inner, min_size=1, max_size=3).map(grouped)


TYPES = st.recursive(st.sampled_from(LEAVES), nest, max_leaves=4)


def test_slices_of_structs_within_structs() -> None:
    values = [{"a": {"b": {"c": number}, "l": [{"d": {"e": number}}] * number}} for number in range(6)]
    array = pa.array(values).slice(2, 3)
    assert canonical(array, nested="struct").to_pylist() == values[2:5]
    assert [json.loads(text) for text in canonical(array).to_pylist()] == values[2:5]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_values_come_back_the_same(data: st.DataObject) -> None:
    kind, values = data.draw(TYPES)
    rows = data.draw(st.lists(st.none() | values, max_size=8))
    array = pa.array(rows, kind)
    start = data.draw(st.integers(0, len(rows)))
    assert canonical(array.slice(start), nested="struct").to_pylist() == array.to_pylist()[start:]
    if pa.types.is_nested(kind):
        for text, value in zip(canonical(array.slice(start)).to_pylist(), array.to_pylist()[start:], strict=True):
            assert (text is None) == (value is None)
            if text is not None:
                json.loads(text)
