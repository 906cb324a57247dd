"""What every target must do. A target's test file describes itself as a `WriterCase` and runs every check of `CHECKS`.

```python
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_conformance(check, tmp_path):
    run_check(check, MyCase(), tmp_path)
```
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pytest
from dativo_protocols import Batch, Rejects, StreamId
from dativo_protocols.errors import ContractError
from dativo_sdk import ConfiguredStream, JobKey, Receipt, WriteCatalog, Writer

from dativo._evolution import json_field

UTC = dt.timezone.utc
ORDERS = StreamId("orders")
JOB = JobKey("acme", "shop")


class WriterCase(Protocol):
    """One target under test.

    Attributes:
        modes: Write modes it supports.
    """

    modes: frozenset[str]

    def make(self, tmp_path: Path) -> tuple[Writer, dict[str, Any]]:
        """A new writer, not initialized, and its configuration: the same place for the same `tmp_path`."""
        ...

    def read_table(self, config: Mapping[str, Any], table: str) -> pa.Table | None:
        """Committed rows as somebody else sees them, or None when there is no such table."""
        ...


Check = Callable[["Bench"], None]
CHECKS: list[Check] = []


def check(function: Check) -> Check:
    CHECKS.append(function)
    return function


def needs(*modes: str) -> Callable[[Check], Check]:
    """A check for targets that support all these modes."""

    def mark(function: Check) -> Check:
        function.needs = frozenset(modes)  # type: ignore[attr-defined]
        return check(function)

    return mark


def run_check(function: Check, case: WriterCase, tmp_path: Path) -> None:
    missing = getattr(function, "needs", frozenset()) - case.modes
    if missing:
        pytest.skip(f"the target does not support {', '.join(sorted(missing))}")
    bench = Bench(case, tmp_path)
    try:
        function(bench)
    finally:
        bench.close()


class Bench:
    """A case at work: runs that open, write, commit and close."""

    def __init__(self, case: WriterCase, tmp_path: Path) -> None:
        self.case = case
        self.path = tmp_path
        self.config: dict[str, Any] = {}
        self.state: bytes | None = None
        self.writer: Writer | None = None
        self._runs = itertools.count(1)

    def open(self, *streams: ConfiguredStream, job: JobKey = JOB) -> Writer:
        self.close()
        self.writer, self.config = self.case.make(self.path)
        catalog = WriteCatalog(job, f"run{next(self._runs)}", {stream.id: stream for stream in streams})
        self.state = self.writer.initialize(self.config, catalog)
        return self.writer

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    def load(self, *batches: Batch, mode: str = "append", key: tuple[str, ...] = (), state: bytes | None = b"{}") -> Receipt:
        """One whole run with one commit."""
        streams = dict.fromkeys(batch.stream for batch in batches)
        writer = self.open(*(ConfiguredStream(stream, mode, key) for stream in streams))
        for each in batches:
            writer.write_batch(each)
        receipt = writer.commit(state, final=True)
        self.close()
        return receipt

    def table(self, name: str = "orders") -> pa.Table | None:
        return self.case.read_table(self.config, name)

    def rows(self, name: str = "orders", order: str | None = "id") -> list[dict[str, Any]]:
        table = self.table(name)
        assert table is not None, f"no table `{name}`"
        found = table.to_pylist()
        return sorted(found, key=lambda row: row[order]) if order else found


def batch(columns: Mapping[str, Any], stream: StreamId = ORDERS, fields: Iterable[pa.Field] = ()) -> Batch:
    """A batch from Python values or Arrow arrays."""
    types = {field.name: field for field in fields}
    arrays = {
        name: value if isinstance(value, pa.Array) else pa.array(value, types[name].type if name in types else None)
        for name, value in columns.items()
    }
    schema = pa.schema([types.get(name, pa.field(name, array.type)) for name, array in arrays.items()])
    data = pa.RecordBatch.from_arrays(list(arrays.values()), schema=schema)
    return Batch(stream, data, data.num_rows, data.nbytes)


def decimals(text: str, precision: int, scale: int) -> pa.Array:
    return pa.array([Decimal(text)], pa.decimal128(precision, scale))


def rejects(stream: StreamId = ORDERS, records: Iterable[bytes] = (b'{"id":"x"}',)) -> Rejects:
    records = list(records)
    count = len(records)
    data = pa.record_batch(
        {
            "line": pa.array(range(1, count + 1), pa.int64()),
            "column": pa.array(["id"] * count, pa.utf8()),
            "reason": pa.array(["not an integer"] * count, pa.utf8()),
            "record": pa.array(records, pa.binary()),
        }
    )
    return Rejects(stream, data, count)


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
        [dt.datetime(2026, 11, 22, 1, 2, 3, 4, UTC), dt.datetime(1, 1, 1, tzinfo=UTC), None],
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
        [[{"at": dt.datetime(2026, 1, 1, tzinfo=UTC)}], [], None],
    ),
]


@check
def every_type_comes_back_unchanged(bench: Bench) -> None:
    bench.load(batch({field.name: values for field, values in EVERY_TYPE}, fields=[field for field, _ in EVERY_TYPE]))
    rows = bench.rows()
    for field, values in EVERY_TYPE:
        assert [row[field.name] for row in rows] == values, field.name


@check
def the_schema_is_that_of_the_table(bench: Bench) -> None:
    bench.load(batch({"id": [1], "name": ["a"]}))
    writer = bench.open(ConfiguredStream(ORDERS))
    schema = pa.schema(writer.get_schema(ORDERS))
    assert (schema.names, [str(kind) for kind in schema.types]) == (["id", "name"], ["int64", "string"])
    assert writer.get_schema(StreamId("other")) is None


@check
def append_adds_to_what_is_there(bench: Bench) -> None:
    bench.load(batch({"id": [1, 2]}))
    receipt = bench.load(batch({"id": [2, 3]}), batch({"id": [4]}))
    assert receipt.written == {ORDERS: 3}
    assert [row["id"] for row in bench.rows()] == [1, 2, 2, 3, 4]


@needs("overwrite")
def overwrite_replaces_everything_at_the_end(bench: Bench) -> None:
    bench.load(batch({"id": [1, 2], "old": ["x", "y"]}))
    writer = bench.open(ConfiguredStream(ORDERS, "overwrite"))
    writer.write_batch(batch({"id": [3]}))
    first = writer.commit(b"1")
    writer.write_batch(batch({"id": [4]}))
    last = writer.commit(b"2", final=True)
    bench.close()
    assert first.written.get(ORDERS, 0) + last.written[ORDERS] == 2
    assert bench.rows() == [{"id": 3}, {"id": 4}]


@needs("overwrite")
def overwrite_without_the_end_changes_nothing(bench: Bench) -> None:
    bench.load(batch({"id": [1]}), mode="overwrite")
    writer = bench.open(ConfiguredStream(ORDERS, "overwrite"))
    writer.write_batch(batch({"id": [2]}))
    writer.commit(b"half")
    bench.close()
    assert [row["id"] for row in bench.rows()] == [1]
    bench.load(batch({"id": [3]}), mode="overwrite")
    assert [row["id"] for row in bench.rows()] == [3]


@needs("overwrite")
def overwrite_with_zero_rows_empties_the_table(bench: Bench) -> None:
    bench.load(batch({"id": [1]}))
    bench.load(batch({"id": pa.array([], pa.int64()), "new": pa.array([], pa.utf8())}), mode="overwrite")
    table = bench.table()
    assert table is not None
    assert (table.num_rows, table.schema.names) == (0, ["id", "new"])


@needs("overwrite")
def overwrite_of_a_stream_that_was_not_announced_keeps_its_table(bench: Bench) -> None:
    bench.load(batch({"id": [1]}))
    bench.open(ConfiguredStream(ORDERS, "overwrite")).commit(b"1", final=True)
    bench.close()
    assert [row["id"] for row in bench.rows()] == [1]


@needs("merge")
def merge_replaces_rows_by_key_and_the_last_one_wins(bench: Bench) -> None:
    bench.load(batch({"id": [1, 2], "v": ["a", "b"]}), mode="merge", key=("id",))
    batches = [batch({"id": [2, 3, 3], "v": ["c", "d", "e"]}), batch({"id": [3], "v": ["f"]})]
    receipt = bench.load(*batches, mode="merge", key=("id",))
    assert receipt.written == {ORDERS: 4}
    assert bench.rows() == [{"id": 1, "v": "a"}, {"id": 2, "v": "c"}, {"id": 3, "v": "f"}]


@needs("merge")
def merge_by_a_composite_key(bench: Bench) -> None:
    bench.load(batch({"id": [1, 1], "part": ["a", "b"], "v": [1, 2]}), mode="merge", key=("id", "part"))
    bench.load(batch({"id": [1, 2], "part": ["b", "a"], "v": [3, 4]}), mode="merge", key=("id", "part"))
    assert sorted((row["id"], row["part"], row["v"]) for row in bench.rows()) == [(1, "a", 1), (1, "b", 3), (2, "a", 4)]


@needs("merge")
def merge_by_a_key_whose_type_widens(bench: Bench) -> None:
    bench.load(batch({"id": [1, 2], "v": ["a", "b"]}), mode="merge", key=("id",))
    bench.load(batch({"id": ["2", "x"], "v": ["c", "d"]}), mode="merge", key=("id",))
    assert [tuple(row.values()) for row in bench.rows()] == [("1", "a"), ("2", "c"), ("x", "d")]


@needs("merge")
def merge_in_several_commits_of_one_run(bench: Bench) -> None:
    writer = bench.open(ConfiguredStream(ORDERS, "merge", ("id",)))
    for number in range(4):
        writer.write_batch(batch({"id": [number, number + 1], "v": [number, number]}))
        writer.commit(str(number).encode(), final=number == 3)
    bench.close()
    assert [tuple(row.values()) for row in bench.rows()] == [(0, 0), (1, 1), (2, 2), (3, 3), (4, 3)]


@check
def a_new_column_is_null_before_and_a_missing_one_after(bench: Bench) -> None:
    bench.load(batch({"id": [1], "old": ["x"]}))
    receipt = bench.load(batch({"new": ["y"], "id": [2]}))
    assert [(change.kind, change.column, change.after) for change in receipt.changes] == [("column", "new", "string")]
    assert bench.rows() == [{"id": 1, "old": "x", "new": None}, {"id": 2, "old": None, "new": "y"}]


@check
def a_column_can_come_in_the_midst_of_a_run(bench: Bench) -> None:
    batches = [
        batch({"id": [1]}),
        batch({"id": [2], "_dativo_extra": ['{"x":1}']}, fields=[json_field("_dativo_extra")]),
        batch({"id": [3]}),
    ]
    bench.load(*batches)
    assert [row["_dativo_extra"] for row in bench.rows()] == [None, '{"x":1}', None]


TEXT = pa.array(["x"])
MIDNIGHT, NIGHT = dt.datetime(2026, 1, 1, tzinfo=UTC), dt.datetime(2026, 1, 1, 3, 0, 0, 100000, UTC)
WIDENINGS: list[tuple[str, pa.Array, pa.Array, list[Any], str]] = [
    ("to decimal", pa.array([1]), decimals("2.50", 38, 9), [Decimal(1), Decimal("2.5")], "decimal(38,9)"),
    ("to float", pa.array([2**53]), pa.array([0.5]), [2.0**53, 0.5], "float64"),
    ("scale", decimals("1.5", 10, 1), decimals("0.25", 10, 2), [Decimal("1.5"), Decimal("0.25")], "decimal(11,2)"),
    ("date", pa.array([MIDNIGHT.date()]), pa.array([NIGHT], pa.timestamp("us", "UTC")), [MIDNIGHT, NIGHT], "timestamp"),
    ("number text", pa.array([7]), TEXT, ["7", "x"], "string"),
    ("float text", pa.array([1e-5]), TEXT, ["1e-05", "x"], "string"),
    ("bool text", pa.array([True]), TEXT, ["true", "x"], "string"),
    ("decimal text", decimals("0.10", 38, 2), TEXT, ["0.10", "x"], "string"),
    ("time text", pa.array([NIGHT], pa.timestamp("us", "UTC")), TEXT, ["2026-01-01T03:00:00.1Z", "x"], "string"),
    ("narrower", TEXT, pa.array([False]), ["x", "false"], "string"),
    ("number json", pa.array([1]), pa.array([True]), ["1", "true"], "json"),
]


@check
def a_column_widens_and_keeps_every_value(bench: Bench) -> None:
    for name, before, after, expected, kind in WIDENINGS:
        stream = StreamId(name)
        bench.load(batch({"id": [1], "v": before}, stream))
        receipt = bench.load(batch({"id": [2], "v": after}, stream))
        changes = [(change.kind, change.column, change.after) for change in receipt.changes]
        assert changes == ([] if name == "narrower" else [("type", "v", kind)]), name
        assert [row["v"] for row in bench.rows(name.replace(" ", "_"))] == expected, name


DAY = pa.array([MIDNIGHT.date()])
TWICE: list[tuple[str, list[pa.Array | list[str]], list[str]]] = [
    ("text json", [pa.array([1]), TEXT, ["{}"]], ['"1"', '"x"', "{}"]),
    ("float text", [pa.array([1]), pa.array([0.5]), TEXT], ["1.0", "0.5", "x"]),
    ("digits text", [decimals("1.5", 10, 1), decimals("0.25", 10, 2), TEXT], ["1.50", "0.25", "x"]),
    (
        "time json",
        [DAY, pa.array([NIGHT], pa.timestamp("us", "UTC")), pa.array([1])],
        ['"2026-01-01T00:00:00Z"', '"2026-01-01T03:00:00.1Z"', "1"],
    ),
]


@check
def a_column_that_widens_twice_takes_both_steps(bench: Bench) -> None:
    for name, arrays, expected in TWICE:
        for runs in ("one run", "three runs"):
            stream = StreamId(f"{name} {runs}")
            batches = [
                batch({"id": [place], "v": values}, stream, [json_field("v")] if isinstance(values, list) else ())
                for place, values in enumerate(arrays)
            ]
            for part in [batches] if runs == "one run" else [[each] for each in batches]:
                bench.load(*part)
            assert [row["v"] for row in bench.rows(str(stream).replace(" ", "_"))] == expected, stream


@check
def a_string_that_becomes_json_is_quoted(bench: Bench) -> None:
    field = json_field("v")
    bench.load(batch({"id": [1], "v": ['say "hi"']}), batch({"id": [2], "v": ['{"a":1.10}']}, fields=[field]))
    assert [row["v"] for row in bench.rows()] == ['"say \\"hi\\""', '{"a":1.10}']


@check
def a_value_that_would_change_is_refused(bench: Bench) -> None:
    bench.load(batch({"id": [1], "v": [0.5]}))
    writer = bench.open(ConfiguredStream(ORDERS))
    with pytest.raises(ContractError) as caught:
        writer.write_batch(batch({"id": [2], "v": [2**53 + 1]}))
    assert (caught.value.facts["column"], caught.value.facts["stream"]) == ("v", "orders")
    bench.close()
    assert [row["v"] for row in bench.rows()] == [0.5]


@check
def a_stored_value_that_would_change_is_refused(bench: Bench) -> None:
    bench.load(batch({"id": [1], "v": [2**53 + 1]}))
    writer = bench.open(ConfiguredStream(ORDERS))

    def write_and_commit() -> None:
        writer.write_batch(batch({"id": [2], "v": [0.5]}))
        writer.commit(b"1", final=True)

    with pytest.raises(ContractError) as caught:
        write_and_commit()
    assert caught.value.facts["column"] == "v"
    bench.close()
    assert [row["v"] for row in bench.rows()] == [2**53 + 1]


@check
def an_empty_stream_has_a_table(bench: Bench) -> None:
    receipt = bench.load(batch({"id": pa.array([], pa.int64())}))
    assert [change.kind for change in receipt.changes] == ["table"]
    table = bench.table()
    assert table is not None
    assert (table.num_rows, table.schema.names) == (0, ["id"])


@check
def nothing_is_seen_before_the_commit(bench: Bench) -> None:
    bench.load(batch({"id": [1]}), state=b'{"at":1}')
    writer = bench.open(ConfiguredStream(ORDERS))
    writer.write_batch(batch({"id": [2], "new": ["x"]}))
    bench.close()
    assert bench.rows() == [{"id": 1}]
    bench.open(ConfiguredStream(ORDERS))
    assert bench.state == b'{"at":1}'


@check
def each_commit_holds_what_came_before_it(bench: Bench) -> None:
    writer = bench.open(ConfiguredStream(ORDERS))
    writer.write_batch(batch({"id": [1]}))
    first = writer.commit(b"1")
    writer.write_batch(batch({"id": [2]}))
    second = writer.commit(b"2")
    writer.write_batch(batch({"id": [3]}))
    bench.close()
    assert (first.written, second.written, second.changes) == ({ORDERS: 1}, {ORDERS: 1}, ())
    assert first.commit_id != second.commit_id
    assert [row["id"] for row in bench.rows()] == [1, 2]
    bench.open()
    assert bench.state == b"2"


@check
def a_state_comes_back_byte_for_byte(bench: Bench) -> None:
    bench.open()
    assert bench.state is None
    for state in (
        b'{"v": 1.10, "big": 123456789012345678901234567890, "e": 1E400}',
        b"{}",
        b"\xff\x00 not JSON",
        b"x" * 2_000_000,
    ):
        bench.load(batch({"id": [1]}), state=state)
        bench.open()
        assert bench.state == state


@check
def no_state_keeps_the_one_before(bench: Bench) -> None:
    bench.load(batch({"id": [1]}), state=b"1")
    bench.load(batch({"id": [2]}), state=None)
    bench.open()
    assert bench.state == b"1"


@check
def states_belong_to_one_tenant_and_job(bench: Bench) -> None:
    bench.load(batch({"id": [1]}), state=b"1")
    for job in (JobKey("acme", "other"), JobKey("other", "shop")):
        bench.open(job=job)
        assert bench.state is None


@check
def rejected_rows_are_kept_with_the_commit(bench: Bench) -> None:
    writer = bench.open(ConfiguredStream(ORDERS))
    writer.write_batch(batch({"id": [1]}))
    writer.write_rejects(rejects(records=[b'{"id": 1.10}', b"\xff\xfe"]))  # type: ignore[attr-defined]
    receipt = writer.commit(b"1", final=True)
    bench.close()
    assert receipt.quarantined == {ORDERS: 2}
    rows = bench.rows("orders__quarantine", "line")
    assert [(row["line"], row["column"], row["reason"]) for row in rows] == [
        (1, "id", "not an integer"),
        (2, "id", "not an integer"),
    ]
    assert [_record(row) for row in rows] == [b'{"id": 1.10}', b"\xff\xfe"]


@check
def rejected_rows_of_a_stream_without_a_table(bench: Bench) -> None:
    writer = bench.open()
    writer.write_rejects(rejects(StreamId("_unknown")))  # type: ignore[attr-defined]
    writer.commit(b"1", final=True)
    writer = bench.open()
    writer.write_rejects(rejects(StreamId("_unknown")))  # type: ignore[attr-defined]
    writer.commit(b"1", final=True)
    bench.close()
    assert len(bench.rows("_unknown__quarantine", None)) == 2


def _record(row: Mapping[str, Any]) -> bytes:
    record = row["record"]
    if record is None:
        record = row["record_bytes"]
    return record.encode() if isinstance(record, str) else bytes(record)


HOSTILE = ["id", "ID", "Id", "a b", "a-b", "a.b", "", "\U0001f600", "1st", "select", 'quo"te', "x" * 300, "日本語"]
HOSTILE += ["_dativo_x", "é", "e\u0301", "null", "rowid", "a\x00b"]


@check
def hostile_column_names_hold_their_own_values(bench: Bench) -> None:
    values = {name: [f"value of {number}"] for number, name in enumerate(HOSTILE)}
    bench.load(batch(values))
    backwards = {name: [f"{values[name][0]} again"] for name in reversed(HOSTILE)}
    bench.load(batch(backwards))
    table = bench.table()
    assert table is not None
    assert len({name.casefold() for name in table.schema.names}) == len(HOSTILE)
    assert all(len(name.encode()) <= 63 for name in table.schema.names)
    found = {tuple(sorted(column.to_pylist())) for column in table.columns}
    assert found == {(f"value of {number}", f"value of {number} again") for number in range(len(HOSTILE))}


@check
def hostile_stream_names_have_their_own_tables(bench: Bench) -> None:
    names = [
        "orders",
        "Orders",
        "orders__quarantine",
        "",
        "\U0001f600",
        "a/b",
        "..",
        "x" * 300,
        "_dativo_state",
        "con",
        'q"q',
        "c",
    ]
    streams = [StreamId(name) for name in names] + [StreamId("c", "a__b"), StreamId("b__c", "a"), StreamId("orders", "eu")]
    for number in range(2):
        writer = bench.open(*(ConfiguredStream(stream) for stream in streams))
        for index, stream in enumerate(streams):
            writer.write_batch(batch({"id": [index], "run": [number]}, stream))
        writer.write_rejects(rejects())  # type: ignore[attr-defined]
        writer.commit(b"1", final=True)
    schemas = [writer.get_schema(stream) for stream in streams]
    bench.close()
    assert all(schema is not None for schema in schemas)
    assert [(row["id"], row["run"]) for row in bench.rows("c")] == [(11, 0), (11, 1)]
    assert [row["id"] for row in bench.rows("eu__orders")] == [len(streams) - 1] * 2


@check
def three_hundred_columns(bench: Bench) -> None:
    bench.load(batch({f"column {number}": [number, None] for number in range(300)}))
    table = bench.table()
    assert table is not None
    assert (table.num_rows, table.num_columns) == (2, 300)


@check
def many_streams_in_any_order(bench: Bench) -> None:
    streams = [StreamId(f"s{number}") for number in range(60)]
    writer = bench.open(*(ConfiguredStream(stream) for stream in streams))
    for turn in range(3):
        for stream in streams:
            writer.write_batch(batch({"id": [turn], "name": [stream.name]}, stream))
    receipt = writer.commit(b"1", final=True)
    bench.close()
    assert receipt.written == dict.fromkeys(streams, 3)
    assert bench.rows("s59") == [{"id": turn, "name": "s59"} for turn in range(3)]


@check
def a_stream_can_be_announced_late(bench: Bench) -> None:
    writer, bench.config = bench.case.make(bench.path)
    catalog = WriteCatalog(JOB, "late", {})
    writer.initialize(bench.config, catalog)
    catalog.streams[ORDERS] = ConfiguredStream(ORDERS)
    writer.write_batch(batch({"id": [1]}))
    writer.commit(b"1", final=True)
    writer.close()
    assert [row["id"] for row in bench.rows()] == [1]


@check
def closing_twice_does_nothing_more(bench: Bench) -> None:
    writer = bench.open(ConfiguredStream(ORDERS))
    writer.write_batch(batch({"id": [1]}))
    writer.close()
    writer.close()
    assert bench.table() is None
    bench.open()
    assert bench.state is None
