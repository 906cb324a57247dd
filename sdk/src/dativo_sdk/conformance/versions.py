"""Versions of a whole stream, of which one is active: what ACTIVATE_VERSION makes of the others' rows."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from dativo_sdk._writer import ConfiguredStream, DeleteMode, Versioning, WriteMode
from dativo_sdk.conformance._bench import Bench
from dativo_sdk.conformance._check import check
from dativo_sdk.conformance._data import ORDERS, batch
from dativo_sdk.conformance._expect import same


def rows(version: int | None, *ids: int, **more: Any) -> Any:
    return batch({"id": list(ids), "_dativo_version": pa.array([version] * len(ids), pa.int64()), **more})


def run(bench: Bench, *steps: Any, mode: WriteMode = "append", deletes: DeleteMode = "hard") -> None:
    """One run with one commit; a number among the steps is a version that becomes active."""
    writer = bench.open(ConfiguredStream(ORDERS, mode, () if mode == "append" else ("id",), deletes=deletes))
    for step in steps:
        if isinstance(step, int):
            writer.activate_version(ORDERS, step)
        else:
            writer.write_batch(step)
    writer.commit(b"{}", final=True)
    bench.close()


@check(power=Versioning)
def rows_of_older_versions_are_removed(bench: Bench) -> None:
    run(bench, rows(1, 1, 2), rows(None, 3))
    run(bench, rows(2, 1), 2)
    same([(row["id"], row["_dativo_version"]) for row in bench.rows()], [(1, 2)])


@check(power=Versioning)
def a_version_concerns_what_was_staged_before_it_alone(bench: Bench) -> None:
    run(bench, rows(1, 1), rows(2, 2), 2, rows(3, 3), rows(1, 4))
    same(bench.column("id"), [2, 3, 4])


@check(power=Versioning)
def the_last_of_several_versions_counts(bench: Bench) -> None:
    run(bench, rows(1, 1), 1, rows(2, 2), 2)
    same(bench.column("id"), [2])


@check(power=Versioning)
def a_version_whose_rows_came_with_an_earlier_commit(bench: Bench) -> None:
    writer = bench.open(ConfiguredStream(ORDERS, deletes="hard"))
    writer.write_batch(rows(1, 1))
    writer.commit(b"1")
    writer.write_batch(rows(2, 2))
    writer.commit(b"2")
    writer.activate_version(ORDERS, 2)
    writer.commit(b"3", final=True)
    bench.close()
    same(bench.column("id"), [2])


@check(power=Versioning)
def rows_that_never_had_a_version_are_of_none(bench: Bench) -> None:
    bench.load(batch({"id": [1]}))
    run(bench, rows(7, 2), 7)
    same(bench.column("id"), [2])


@check(power=Versioning)
def a_version_that_is_not_committed_removes_nothing(bench: Bench) -> None:
    run(bench, rows(1, 1))
    writer = bench.open(ConfiguredStream(ORDERS, deletes="hard"))
    writer.write_batch(rows(2, 2))
    writer.activate_version(ORDERS, 2)
    bench.close()
    same(bench.column("id"), [1])


@check(power=Versioning)
def soft_deletes_say_when_a_row_became_obsolete(bench: Bench) -> None:
    run(bench, rows(1, 1, 2), deletes="soft")
    run(bench, rows(2, 3), 2, deletes="soft")
    first = bench.column("_dativo_deleted_at")
    same([moment is None for moment in first], [False, False, True], "rows without a moment")
    run(bench, rows(3, 4), 3, deletes="soft")
    second = bench.column("_dativo_deleted_at")
    same(second[:2], first[:2], "a moment stays what it was")
    same([moment is None for moment in second], [False, False, False, True], "rows without a moment")


@check("merge", power=Versioning)
def merged_rows_belong_to_the_version_they_came_with(bench: Bench) -> None:
    run(bench, rows(1, 1, 2, 3), mode="merge")
    run(bench, rows(2, 2, 3), 2, mode="merge")
    same([(row["id"], row["_dativo_version"]) for row in bench.rows()], [(2, 2), (3, 2)])


@check("merge", power=Versioning)
def a_row_that_comes_back_is_deleted_no_more(bench: Bench) -> None:
    run(bench, rows(1, 1, 2), mode="merge", deletes="soft")
    run(bench, rows(2, 2), 2, mode="merge", deletes="soft")
    run(bench, rows(3, 1, 2), 3, mode="merge", deletes="soft")
    same(bench.column("_dativo_deleted_at"), [None, None])


@check("merge", power=Versioning)
def a_row_that_loses_by_its_cursor_is_of_the_newer_version(bench: Bench) -> None:
    """The source still has it, though what it sent is older than what is there."""
    for version, at in ((1, 5), (2, 3)):
        writer = bench.open(ConfiguredStream(ORDERS, "merge", ("id",), "at", deletes="hard"))
        writer.write_batch(rows(version, 1, at=[at]))
        writer.activate_version(ORDERS, version)
        writer.commit(b"{}", final=True)
        bench.close()
    same(bench.rows(), [{"id": 1, "_dativo_version": 2, "at": 5}])


@check("scd2", power=Versioning)
def obsolete_rows_are_ended_where_history_is_kept(bench: Bench) -> None:
    run(bench, rows(1, 1, 2, v=["a", "b"]), mode="scd2")
    run(bench, rows(2, 2, v=["b"]), 2, mode="scd2")
    found = [(row["id"], row["_dativo_valid_to"] is None) for row in bench.rows()]
    same(found, [(1, False), (2, True)], "which rows are current, where one was sent again unchanged")


@check("append_dedup", power=Versioning)
def a_row_that_was_sent_again_is_of_the_newer_version(bench: Bench) -> None:
    run(bench, rows(1, 1, 2), mode="append_dedup")
    run(bench, rows(2, 2, 3), 2, mode="append_dedup")
    same(bench.column("id"), [2, 3])
