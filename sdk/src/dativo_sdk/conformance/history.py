"""`scd2`: every version of a row, and from when to when it held."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pyarrow as pa

from dativo_sdk._writer import ConfiguredStream
from dativo_sdk.conformance._bench import Bench
from dativo_sdk.conformance._check import check
from dativo_sdk.conformance._data import ORDERS, batch
from dativo_sdk.conformance._expect import same

MOMENT = pa.timestamp("us", "UTC")
HISTORY: Any = {"mode": "scd2", "key": ("id",)}
BY_CURSOR: Any = {**HISTORY, "cursor": "at"}


def day(number: int) -> dt.datetime:
    return dt.datetime(2024, 1, number, tzinfo=dt.UTC)


def days(*numbers: int | None) -> pa.Array:
    return pa.array([None if number is None else day(number) for number in numbers], MOMENT)


def versions(bench: Bench, id: int = 1) -> list[tuple[Any, Any, Any]]:
    """Of one key, in order: its `v`, and since when and till when it held."""
    rows = [row for row in bench.rows(order=None) if row["id"] == id]
    last = dt.datetime.max.replace(tzinfo=dt.UTC)
    rows.sort(key=lambda row: (row["_dativo_valid_from"], row["_dativo_valid_to"] or last))
    return [(row["v"], row["_dativo_valid_from"], row["_dativo_valid_to"]) for row in rows]


@check("scd2")
def scd2_ends_the_old_row_as_the_new_one_begins(bench: Bench) -> None:
    before = dt.datetime.now(dt.UTC)
    bench.load(batch({"id": [1, 2], "v": ["a", "x"]}), **HISTORY)
    receipt = bench.load(batch({"id": [1], "v": ["b"]}), **HISTORY)
    same(receipt.written, {ORDERS: 1}, "rows received")
    (old, since, until), (new, then, end) = versions(bench)
    same((old, new, until, end), ("a", "b", then, None))
    same(before <= since < then <= dt.datetime.now(dt.UTC), True, "the moments are those of the commits")
    same([(v, end) for v, _, end in versions(bench, 2)], [("x", None)])


@check("scd2")
def scd2_writes_nothing_for_a_row_that_changes_nothing(bench: Bench) -> None:
    for turn in range(3):
        rows = {"id": [1, 1], "v": ["a", "a"], "n": pa.array([None, None], pa.int64())}
        bench.load(batch({**rows, "_dativo_run_id": [f"r{turn}"] * 2, "_dativo_loaded_at": days(1 + turn, 1 + turn)}), **HISTORY)
    same([(row["v"], row["_dativo_run_id"]) for row in bench.rows()], [("a", "r0")])


@check("scd2")
def scd2_takes_a_change_of_extra_properties_for_one(bench: Bench) -> None:
    for extra in ('{"a":1}', '{"a":1}', '{"a":2}', None):
        bench.load(batch({"id": [1], "v": ["x"], "_dativo_extra": pa.array([extra], pa.utf8())}), **HISTORY)
    same(len(versions(bench)), 3, "versions")


@check("scd2")
def scd2_writes_each_version_that_came_within_one_commit(bench: Bench) -> None:
    bench.load(batch({"id": [1], "v": ["a"]}), **HISTORY)
    bench.load(batch({"id": [1, 2, 1, 1], "v": ["b", "x", "b", "c"]}), batch({"id": [1], "v": ["a"]}), **HISTORY)
    found = bench.rows(order=None)
    same(sorted(row["v"] for row in found if row["id"] == 1), ["a", "a", "b", "c"])
    current = [(row["id"], row["v"]) for row in found if row["_dativo_valid_to"] is None]
    same(sorted(current), [(1, "a"), (2, "x")], "current rows")


@check("scd2")
def scd2_begins_with_the_cursor_where_that_is_a_moment(bench: Bench) -> None:
    bench.load(batch({"id": [1], "at": days(1), "v": ["a"]}), **BY_CURSOR)
    bench.load(batch({"id": [1, 1], "at": days(5, 3), "v": ["c", "b"]}), **BY_CURSOR)
    same(versions(bench), [("a", day(1), day(3)), ("b", day(3), day(5)), ("c", day(5), None)])


@check("scd2")
def scd2_begins_with_a_date_at_its_midnight(bench: Bench) -> None:
    for number in (2, 4):
        at = pa.array([dt.date(2024, 1, number)], pa.date32())
        bench.load(batch({"id": [1], "at": at, "v": [str(number)]}), **BY_CURSOR)
    same(versions(bench), [("2", day(2), day(4)), ("4", day(4), None)])


@check("scd2")
def scd2_leaves_out_what_is_older_than_the_current_row(bench: Bench) -> None:
    bench.load(batch({"id": [1], "at": days(5), "v": ["a"]}), **BY_CURSOR)
    bench.load(batch({"id": [1, 1], "at": days(3, None), "v": ["late", "never"]}), **BY_CURSOR)
    same(versions(bench), [("a", day(5), None)])


@check("scd2")
def scd2_orders_by_a_cursor_that_is_no_moment(bench: Bench) -> None:
    bench.load(batch({"id": [1, 1, 1], "at": [2, 3, 1], "v": ["b", "c", "a"]}), **BY_CURSOR)
    found = {row["v"]: row["_dativo_valid_to"] is None for row in bench.rows(order=None)}
    same(found, {"a": False, "b": False, "c": True}, "which one is current")


@check("scd2")
def scd2_holds_over_commits_of_one_run(bench: Bench) -> None:
    writer = bench.open(ConfiguredStream(ORDERS, "scd2", ("id",), "at"))
    for number in (1, 2, 3):
        writer.write_batch(batch({"id": [1], "at": days(number), "v": [str(min(number, 2))]}))
        writer.commit(str(number).encode(), final=number == 3)
    bench.close()
    found = versions(bench)
    same([(v, since) for v, since, _ in found], [("1", day(1)), ("2", day(2)), ("2", day(3))], "the cursor is a column too")
    same(sum(until is None for _, _, until in found), 1, "current rows")
