"""Rows that the source marks as deleted."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from dativo_sdk._writer import DeleteMode
from dativo_sdk.conformance._bench import Bench
from dativo_sdk.conformance._check import check
from dativo_sdk.conformance._data import batch, json_field
from dativo_sdk.conformance._expect import same

FLAG = [pa.field("gone", pa.bool_())]


def options(deletes: DeleteMode, **more: Any) -> Any:
    return {"mode": "merge", "key": ("id",), "deletes": deletes, "delete_mark": "gone", **more}


@check("merge")
def a_hard_delete_removes_the_row_of_the_key(bench: Bench) -> None:
    bench.load(batch({"id": [1, 2, 3], "gone": [None, False, None]}, fields=FLAG), **options("hard"))
    receipt = bench.load(batch({"id": [2, 3, 4], "gone": [True, False, True]}), **options("hard"))
    same(sum(receipt.written.values()), 3, "rows received")
    same(bench.column("id"), [1, 3])


@check("merge")
def a_hard_delete_takes_any_value_for_a_mark(bench: Bench) -> None:
    bench.load(batch({"id": [1, 2, 3], "gone": [None, "", "2024-01-01"]}), **options("hard"))
    same(bench.column("id"), [1])


@check("merge")
def a_mark_of_json_is_none_where_it_says_false_or_null(bench: Bench) -> None:
    rows = batch({"id": [1, 2, 3, 4], "gone": ["false", "null", "true", None]}, fields=[json_field("gone")])
    bench.load(rows, **options("hard"))
    same(bench.column("id"), [1, 2, 4])


@check("merge")
def a_row_that_comes_after_its_deletion_is_there_again(bench: Bench) -> None:
    rows = {"id": [1, 1, 2, 2], "gone": [True, None, None, True], "v": ["x", "y", "x", "y"]}
    bench.load(batch({"id": [1, 2], "gone": [None, None], "v": ["a", "b"]}, fields=FLAG), **options("hard"))
    bench.load(batch(rows, fields=FLAG), **options("hard"))
    same([(row["id"], row["v"]) for row in bench.rows()], [(1, "y")])


@check("merge")
def a_hard_delete_holds_only_if_its_cursor_wins(bench: Bench) -> None:
    rows = {"id": [1, 2, 3], "at": [5, 5, 5], "gone": [None, None, None]}
    bench.load(batch(rows, fields=FLAG), **options("hard", cursor="at"))
    later = {"id": [1, 2, 3, 3], "at": [4, 5, 9, 8], "gone": [True, True, None, True]}
    bench.load(batch(later, fields=FLAG), **options("hard", cursor="at"))
    same([(row["id"], row["at"]) for row in bench.rows()], [(1, 5), (3, 9)])


@check("merge")
def a_soft_delete_keeps_the_row_with_its_mark(bench: Bench) -> None:
    bench.load(batch({"id": [1], "gone": [None], "v": ["a"]}, fields=FLAG), **options("soft"))
    bench.load(batch({"id": [1], "gone": [True], "v": ["b"]}), **options("soft"))
    same([(row["gone"], row["v"]) for row in bench.rows()], [(True, "b")])


@check("merge")
def a_mark_that_is_to_be_ignored_is_a_column(bench: Bench) -> None:
    bench.load(batch({"id": [1, 2], "gone": [True, False]}), **options("ignore"))
    same(bench.rows(), [{"id": 1, "gone": True}, {"id": 2, "gone": False}])


@check()
def in_append_mode_a_mark_is_a_column(bench: Bench) -> None:
    rows = batch({"id": [1, 1], "gone": [None, True]}, fields=FLAG)
    bench.load(rows, mode="append", deletes="soft", delete_mark="gone")
    same(sorted(row["gone"] is True for row in bench.rows()), [False, True])


@check("scd2")
def a_deletion_ends_the_current_row_and_begins_none(bench: Bench) -> None:
    modes: tuple[DeleteMode, ...] = ("soft", "hard")
    for key, deletes in enumerate(modes):
        history = options(deletes, mode="scd2")

        def current(key: int = key) -> list[bool]:
            return sorted(row["_dativo_valid_to"] is None for row in bench.rows() if row["id"] == key)

        bench.load(batch({"id": [key], "gone": [None], "v": ["a"]}, fields=FLAG), **history)
        bench.load(batch({"id": [key], "gone": [True], "v": ["a"]}), **history)
        same(current(), [False], f"which rows are current after `{deletes}`")
        bench.load(batch({"id": [key], "gone": [True], "v": ["a"]}), **history)
        same(current(), [False], "a second deletion changes nothing")
        bench.load(batch({"id": [key], "gone": [None], "v": ["a"]}, fields=FLAG), **history)
        same(current(), [False, True], f"the same row again after `{deletes}`")


@check("scd2")
def a_deletion_in_the_midst_of_versions_leaves_a_gap(bench: Bench) -> None:
    rows = {"id": [1, 1, 1], "at": [1, 2, 3], "gone": [None, True, None], "v": ["a", "a", "b"]}
    bench.load(batch(rows, fields=FLAG), **options("hard", mode="scd2", cursor="at"))
    found = [(row["v"], row["_dativo_valid_to"] is None) for row in bench.rows(order=None)]
    same(sorted(found), [("a", False), ("b", True)])
