"""Tables whose columns change: what is there stays, value by value."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
from dativo_protocols import StreamId
from dativo_protocols.errors import ContractError

from dativo_sdk._writer import ConfiguredStream
from dativo_sdk.conformance._bench import Bench
from dativo_sdk.conformance._check import check
from dativo_sdk.conformance._data import ORDERS, batch, decimals, json_field
from dativo_sdk.conformance._expect import refused, same

_UTC = dt.UTC
_TEXT = pa.array(["x"])
_MIDNIGHT, _NIGHT = dt.datetime(2026, 1, 1, tzinfo=_UTC), dt.datetime(2026, 1, 1, 3, 0, 0, 100000, _UTC)
_DAY = pa.array([_MIDNIGHT.date()])

# What a table has, what comes, what is there afterwards, and the column's new type.
_WIDENINGS: list[tuple[str, pa.Array, pa.Array, list[Any], str]] = [
    ("to decimal", pa.array([1]), decimals("2.50", 38, 9), [Decimal(1), Decimal("2.5")], "decimal(38,9)"),
    ("to float", pa.array([2**53]), pa.array([0.5]), [2.0**53, 0.5], "float64"),
    ("scale", decimals("1.5", 10, 1), decimals("0.25", 10, 2), [Decimal("1.5"), Decimal("0.25")], "decimal(11,2)"),
    ("date", _DAY, pa.array([_NIGHT], pa.timestamp("us", "UTC")), [_MIDNIGHT, _NIGHT], "timestamp"),
    ("number text", pa.array([7]), _TEXT, ["7", "x"], "string"),
    ("float text", pa.array([1e-5]), _TEXT, ["1e-05", "x"], "string"),
    ("bool text", pa.array([True]), _TEXT, ["true", "x"], "string"),
    ("decimal text", decimals("0.10", 38, 2), _TEXT, ["0.10", "x"], "string"),
    ("time text", pa.array([_NIGHT], pa.timestamp("us", "UTC")), _TEXT, ["2026-01-01T03:00:00.1Z", "x"], "string"),
    ("narrower", _TEXT, pa.array([False]), ["x", "false"], "string"),
    ("number json", pa.array([1]), pa.array([True]), ["1", "true"], "json"),
]
# What comes in turn, a list of texts being JSON, and what is there afterwards.
_TWICE: list[tuple[str, list[pa.Array | list[str]], list[str]]] = [
    ("text json", [pa.array([1]), _TEXT, ["{}"]], ['"1"', '"x"', "{}"]),
    ("float text", [pa.array([1]), pa.array([0.5]), _TEXT], ["1.0", "0.5", "x"]),
    ("digits text", [decimals("1.5", 10, 1), decimals("0.25", 10, 2), _TEXT], ["1.50", "0.25", "x"]),
    (
        "time json",
        [_DAY, pa.array([_NIGHT], pa.timestamp("us", "UTC")), pa.array([1])],
        ['"2026-01-01T00:00:00Z"', '"2026-01-01T03:00:00.1Z"', "1"],
    ),
]


@check()
def a_new_column_is_null_before_and_a_missing_one_after(bench: Bench) -> None:
    bench.load(batch({"id": [1], "old": ["x"]}))
    receipt = bench.load(batch({"new": ["y"], "id": [2]}))
    same([(change.kind, change.column, change.after) for change in receipt.changes], [("column", "new", "string")])
    same(bench.rows(), [{"id": 1, "old": "x", "new": None}, {"id": 2, "old": None, "new": "y"}])


@check()
def a_column_can_come_in_the_midst_of_a_run(bench: Bench) -> None:
    batches = [
        batch({"id": [1]}),
        batch({"id": [2], "_dativo_extra": ['{"x":1}']}, fields=[json_field("_dativo_extra")]),
        batch({"id": [3]}),
    ]
    bench.load(*batches)
    same(bench.column("_dativo_extra"), [None, '{"x":1}', None])


@check()
def a_column_widens_and_keeps_every_value(bench: Bench) -> None:
    for name, before, after, expected, kind in _WIDENINGS:
        stream = StreamId(name)
        bench.load(batch({"id": [1], "v": before}, stream))
        receipt = bench.load(batch({"id": [2], "v": after}, stream))
        changes = [(change.kind, change.column, change.after) for change in receipt.changes]
        same(changes, [] if name == "narrower" else [("type", "v", kind)], f"changes of `{name}`")
        same(bench.column("v", name.replace(" ", "_")), expected, f"values of `{name}`")


@check()
def a_column_that_widens_twice_takes_both_steps(bench: Bench) -> None:
    for name, arrays, expected in _TWICE:
        for runs in ("one run", "three runs"):
            stream = StreamId(f"{name} {runs}")
            batches = [
                batch({"id": [place], "v": values}, stream, [json_field("v")] if isinstance(values, list) else ())
                for place, values in enumerate(arrays)
            ]
            for part in [batches] if runs == "one run" else [[each] for each in batches]:
                bench.load(*part)
            same(bench.column("v", str(stream).replace(" ", "_")), expected, str(stream))


@check()
def a_string_that_becomes_json_is_quoted(bench: Bench) -> None:
    bench.load(batch({"id": [1], "v": ['say "hi"']}), batch({"id": [2], "v": ['{"a":1.10}']}, fields=[json_field("v")]))
    same(bench.column("v"), ['"say \\"hi\\""', '{"a":1.10}'])


@check("merge")
def merge_by_a_key_whose_type_widens(bench: Bench) -> None:
    bench.load(batch({"id": [1, 2], "v": ["a", "b"]}), mode="merge", key=("id",))
    bench.load(batch({"id": ["2", "x"], "v": ["c", "d"]}), mode="merge", key=("id",))
    same(bench.rows(), [{"id": "1", "v": "a"}, {"id": "2", "v": "c"}, {"id": "x", "v": "d"}])


@check()
def a_value_that_would_change_is_refused(bench: Bench) -> None:
    bench.load(batch({"id": [1], "v": [0.5]}))
    writer = bench.open(ConfiguredStream(ORDERS))
    with refused(ContractError) as facts:
        writer.write_batch(batch({"id": [2], "v": [2**53 + 1]}))
    same((facts["column"], facts["stream"]), ("v", "orders"), "facts of the error")
    bench.close()
    same(bench.column("v"), [0.5])


@check()
def a_stored_value_that_would_change_is_refused(bench: Bench) -> None:
    bench.load(batch({"id": [1], "v": [2**53 + 1]}))
    writer = bench.open(ConfiguredStream(ORDERS))
    with refused(ContractError) as facts:
        writer.write_batch(batch({"id": [2], "v": [0.5]}))
        writer.commit(b"1", final=True)
    same(facts["column"], "v", "the error's column")
    bench.close()
    same(bench.column("v"), [2**53 + 1])
