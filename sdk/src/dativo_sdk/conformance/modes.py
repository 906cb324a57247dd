"""What each write mode makes of the rows."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from dativo_protocols import StreamId

from dativo_sdk._writer import ConfiguredStream
from dativo_sdk.conformance._bench import Bench
from dativo_sdk.conformance._check import check
from dativo_sdk.conformance._data import ORDERS, batch, json_field
from dativo_sdk.conformance._expect import same


@check()
def append_adds_to_what_is_there(bench: Bench) -> None:
    bench.load(batch({"id": [1, 2]}))
    receipt = bench.load(batch({"id": [2, 3]}), batch({"id": [4]}))
    same(receipt.written, {ORDERS: 3}, "rows written")
    same(bench.column("id"), [1, 2, 2, 3, 4])


@check("overwrite")
def overwrite_replaces_everything_at_the_end(bench: Bench) -> None:
    bench.load(batch({"id": [1, 2], "old": ["x", "y"]}))
    writer = bench.open(ConfiguredStream(ORDERS, "overwrite"))
    writer.write_batch(batch({"id": [3]}))
    first = writer.commit(b"1")
    writer.write_batch(batch({"id": [4]}))
    last = writer.commit(b"2", final=True)
    bench.close()
    same(first.written.get(ORDERS, 0) + last.written[ORDERS], 2, "rows written")
    same(bench.rows(), [{"id": 3}, {"id": 4}])


@check("overwrite")
def overwrite_without_the_end_changes_nothing(bench: Bench) -> None:
    bench.load(batch({"id": [1]}), mode="overwrite")
    writer = bench.open(ConfiguredStream(ORDERS, "overwrite"))
    writer.write_batch(batch({"id": [2]}))
    writer.commit(b"half")
    bench.close()
    same(bench.column("id"), [1])
    bench.load(batch({"id": [3]}), mode="overwrite")
    same(bench.column("id"), [3])


@check("overwrite")
def overwrite_with_zero_rows_empties_the_table(bench: Bench) -> None:
    bench.load(batch({"id": [1]}))
    bench.load(batch({"id": pa.array([], pa.int64()), "new": pa.array([], pa.utf8())}), mode="overwrite")
    same(bench.rows(), [])
    table = bench.table()
    same(None if table is None else table.schema.names, ["id", "new"])


@check("overwrite")
def overwrite_of_a_stream_that_was_not_announced_keeps_its_table(bench: Bench) -> None:
    bench.load(batch({"id": [1]}))
    bench.open(ConfiguredStream(ORDERS, "overwrite")).commit(b"1", final=True)
    bench.close()
    same(bench.column("id"), [1])


@check("merge")
def merge_replaces_rows_by_key_and_the_last_one_wins(bench: Bench) -> None:
    bench.load(batch({"id": [1, 2], "v": ["a", "b"]}), mode="merge", key=("id",))
    batches = [batch({"id": [2, 3, 3], "v": ["c", "d", "e"]}), batch({"id": [3], "v": ["f"]})]
    receipt = bench.load(*batches, mode="merge", key=("id",))
    same(receipt.written, {ORDERS: 4}, "rows written")
    same(bench.rows(), [{"id": 1, "v": "a"}, {"id": 2, "v": "c"}, {"id": 3, "v": "f"}])


@check("merge")
def merge_by_a_composite_key(bench: Bench) -> None:
    bench.load(batch({"id": [1, 1], "part": ["a", "b"], "v": [1, 2]}), mode="merge", key=("id", "part"))
    bench.load(batch({"id": [1, 2], "part": ["b", "a"], "v": [3, 4]}), mode="merge", key=("id", "part"))
    same(sorted((row["id"], row["part"], row["v"]) for row in bench.rows()), [(1, "a", 1), (1, "b", 3), (2, "a", 4)])


@check("merge")
def merge_in_several_commits_of_one_run(bench: Bench) -> None:
    writer = bench.open(ConfiguredStream(ORDERS, "merge", ("id",)))
    for number in range(4):
        writer.write_batch(batch({"id": [number, number + 1], "v": [number, number]}))
        writer.commit(str(number).encode(), final=number == 3)
    bench.close()
    same([tuple(row.values()) for row in bench.rows()], [(0, 0), (1, 1), (2, 2), (3, 3), (4, 3)])


@check("merge")
def merge_keeps_the_greatest_cursor_whichever_came_first(bench: Bench) -> None:
    bench.load(batch({"id": [1, 2, 3], "at": [10, 10, 10], "v": ["a", "b", "c"]}), mode="merge", key=("id",), cursor="at")
    late = batch({"id": [1, 2, 3, 4, 4], "at": [9, 10, 11, 5, 4], "v": ["late", "tie", "new", "first", "older"]})
    receipt = bench.load(late, mode="merge", key=("id",), cursor="at")
    same(receipt.written, {ORDERS: 5}, "rows written")
    same(bench.column("v"), ["a", "tie", "new", "first"])


@check("merge")
def merge_takes_a_null_cursor_for_the_smallest(bench: Bench) -> None:
    bench.load(batch({"id": [1, 2, 3], "at": [None, 1, None], "v": ["a", "b", "c"]}), mode="merge", key=("id",), cursor="at")
    rows = batch({"id": [1, 2, 3], "at": pa.array([None, None, 0], pa.int64()), "v": ["tie", "smaller", "greater"]})
    bench.load(rows, mode="merge", key=("id",), cursor="at")
    same(bench.column("v"), ["tie", "b", "greater"])


@check("merge")
def merge_compares_text_cursors_by_their_bytes(bench: Bench) -> None:
    rows = batch({"id": [1, 1, 2, 2], "at": ["Z", "a", "é", "z"], "v": ["Z", "a", "é", "z"]})
    bench.load(rows, mode="merge", key=("id",), cursor="at")
    bench.load(batch({"id": [1], "at": ["B"], "v": ["B"]}), mode="merge", key=("id",), cursor="at")
    same(bench.column("v"), ["a", "é"])


@check("merge")
def merge_takes_the_last_row_where_the_cursor_has_no_order(bench: Bench) -> None:
    for value in ('{"n":2}', '{"n":1}'):
        bench.load(batch({"id": [1], "at": [value]}, fields=[json_field("at")]), mode="merge", key=("id",), cursor="at")
    same(bench.column("at"), ['{"n":1}'])


@check("merge")
def merge_by_cursor_holds_over_commits_and_batches(bench: Bench) -> None:
    writer = bench.open(ConfiguredStream(ORDERS, "merge", ("id",), "at"))
    for turn, moments in enumerate(([5, 3], [4, 6], [6, 2])):
        for moment in moments:
            writer.write_batch(batch({"id": [1], "at": [moment], "turn": [turn]}))
        writer.commit(str(turn).encode(), final=turn == 2)
    bench.close()
    same(bench.rows(), [{"id": 1, "at": 6, "turn": 2}])


@check("append_dedup")
def append_dedup_leaves_out_what_is_there_by_key_and_cursor(bench: Bench) -> None:
    options: Any = {"mode": "append_dedup", "key": ("id",), "cursor": "at"}
    bench.load(batch({"id": [1, 1, 1], "at": [1, 2, 1], "v": ["a", "b", "again"]}), **options)
    receipt = bench.load(batch({"id": [1, 1, 2], "at": [2, 3, 1], "v": ["again", "c", "d"]}), **options)
    same(receipt.written, {ORDERS: 3}, "rows received")
    same(sorted(bench.column("v")), ["a", "b", "c", "d"])


@check("append_dedup")
def append_dedup_without_a_key_compares_whole_rows(bench: Bench) -> None:
    moment = pa.timestamp("us", "UTC")
    for turn in range(2):
        own = {"_dativo_loaded_at": pa.array([turn] * 4, moment), "_dativo_run_id": [f"r{turn}"] * 4}
        bench.load(batch({"id": [1, 1, None, None], "v": ["a", "b", "c", "c"], **own}), mode="append_dedup")
    found = sorted((row["v"], row["_dativo_run_id"]) for row in bench.rows(order=None))
    same(found, [("a", "r0"), ("b", "r0"), ("c", "r0")])


@check("append_dedup")
def append_dedup_tells_new_columns_from_old_rows(bench: Bench) -> None:
    bench.load(batch({"id": [1, 2]}), mode="append_dedup")
    bench.load(batch({"id": [1, 2], "new": [None, "x"]}), mode="append_dedup")
    bench.load(batch({"id": [1, 3]}), mode="append_dedup")
    found = sorted((row["id"], row["new"] or "") for row in bench.rows(order=None))
    same(found, [(1, ""), (2, ""), (2, "x"), (3, "")])


@check("append_dedup")
def append_dedup_holds_over_commits(bench: Bench) -> None:
    writer = bench.open(ConfiguredStream(ORDERS, "append_dedup", ("id",)))
    for turn in range(3):
        writer.write_batch(batch({"id": [turn, turn + 1], "turn": [turn, turn]}))
        writer.commit(str(turn).encode(), final=turn == 2)
    bench.close()
    same([tuple(row.values()) for row in bench.rows()], [(0, 0), (1, 0), (2, 1), (3, 2)])


@check()
def many_streams_in_any_order(bench: Bench) -> None:
    streams = [StreamId(f"s{number}") for number in range(60)]
    writer = bench.open(*(ConfiguredStream(stream) for stream in streams))
    for turn in range(3):
        for stream in streams:
            writer.write_batch(batch({"id": [turn], "name": [stream.name]}, stream))
    receipt = writer.commit(b"1", final=True)
    bench.close()
    same(receipt.written, dict.fromkeys(streams, 3), "rows written")
    same(bench.rows("s59"), [{"id": turn, "name": "s59"} for turn in range(3)])
