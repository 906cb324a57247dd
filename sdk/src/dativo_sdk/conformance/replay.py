"""Quarantined rows are read, and taken out with the commit that loads them mended."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from dativo_protocols import TargetError

from dativo_sdk._writer import ConfiguredStream, Replaying
from dativo_sdk.conformance._bench import Bench
from dativo_sdk.conformance._check import check
from dativo_sdk.conformance._data import ORDERS, batch, rejects
from dativo_sdk.conformance._expect import refused, same

COLUMNS = ["id", "run_id", "loaded_at", "line", "column", "reason", "record"]


def rejected(writer: Any) -> list[dict[str, Any]]:
    found = [pa.record_batch(part) for part in writer.read_rejects(ORDERS)]
    for part in found:
        same(part.schema.names, COLUMNS, "columns")
    return [row for part in found for row in part.to_pylist()]


@check(power=Replaying)
def quarantined_rows_are_read_oldest_first(bench: Bench) -> None:
    bench.load(batch({"id": [1]}), rejected=[rejects(records=[b'{"id":"a"}', b"\xff\x00"])])
    bench.load(batch({"id": [2]}), rejected=[rejects(records=[b'{"id":"c"}'])])
    writer = bench.open(ConfiguredStream(ORDERS))
    same(dict(writer.rejected()), {ORDERS: 3}, "rows in quarantine")
    found = rejected(writer)
    same([row["record"] for row in found], [b'{"id":"a"}', b"\xff\x00", b'{"id":"c"}'], "raw records")
    said = [(row["run_id"], row["line"], row["column"]) for row in found]
    same(said, [("run1", 1, "id"), ("run1", 2, "id"), ("run2", 1, "id")])
    same(len({row["id"] for row in found}), 3, "different ids")


@check(power=Replaying)
def the_id_of_a_quarantined_row_stays_the_same(bench: Bench) -> None:
    bench.load(batch({"id": [1]}), rejected=[rejects(records=[b"1", b"2", b"3"])])
    first = rejected(bench.open(ConfiguredStream(ORDERS)))
    writer = bench.open(ConfiguredStream(ORDERS))
    writer.remove_rejects(ORDERS, [first[0]["id"]])
    writer.write_rejects(rejects(records=[b"4"]))
    writer.commit(b"1", final=True)
    second = rejected(bench.open(ConfiguredStream(ORDERS)))
    same([row["record"] for row in second], [b"2", b"3", b"4"], "raw records")
    same([row["id"] for row in second[:2]], [row["id"] for row in first[1:]], "ids")
    same(second[2]["id"] in [row["id"] for row in first], False, "whether an id is used again")


@check(power=Replaying)
def rows_leave_the_quarantine_with_the_commit(bench: Bench) -> None:
    bench.load(batch({"id": [1]}), rejected=[rejects(records=[b"1", b"2"])])
    writer = bench.open(ConfiguredStream(ORDERS))
    writer.remove_rejects(ORDERS, [row["id"] for row in rejected(writer)])
    writer.write_batch(batch({"id": [2, 3]}))
    bench.close()
    writer = bench.open(ConfiguredStream(ORDERS))
    same(dict(writer.rejected()), {ORDERS: 2}, "rows in quarantine after a run that did not commit")
    writer.remove_rejects(ORDERS, [row["id"] for row in rejected(writer)])
    writer.write_batch(batch({"id": [2, 3]}))
    receipt = writer.commit(b"1", final=True)
    same((dict(receipt.written), dict(receipt.quarantined)), ({ORDERS: 2}, {}), "the receipt")
    bench.close()
    writer = bench.open(ConfiguredStream(ORDERS))
    same((dict(writer.rejected()), rejected(writer)), ({}, []), "rows in quarantine")
    bench.close()
    same(bench.column("id"), [1, 2, 3])


@check(power=Replaying)
def a_row_that_is_not_in_quarantine_fails_the_commit(bench: Bench) -> None:
    bench.load(batch({"id": [1]}), rejected=[rejects(records=[b"1"])])
    writer = bench.open(ConfiguredStream(ORDERS))
    (row,) = rejected(writer)
    writer.remove_rejects(ORDERS, [row["id"], "no such id"])
    writer.write_batch(batch({"id": [2]}))
    with refused(TargetError):
        writer.commit(b"1", final=True)
    bench.close()
    same(dict(bench.open(ConfiguredStream(ORDERS)).rejected()), {ORDERS: 1}, "rows in quarantine")
    bench.close()
    same(bench.column("id"), [1])


@check(power=Replaying)
def no_row_is_replayed_twice(bench: Bench) -> None:
    bench.load(batch({"id": [1]}), rejected=[rejects(records=[b"1"])])
    (row,) = rejected(bench.open(ConfiguredStream(ORDERS)))
    for turn in range(2):
        writer = bench.open(ConfiguredStream(ORDERS))
        writer.remove_rejects(ORDERS, [row["id"]])
        writer.write_batch(batch({"id": [2]}))
        if turn == 0:
            writer.commit(b"1", final=True)
        else:
            with refused(TargetError):
                writer.commit(b"2", final=True)
    bench.close()
    same(bench.column("id"), [1, 2])


@check(power=Replaying)
def a_target_without_a_quarantine_has_nothing_to_replay(bench: Bench) -> None:
    writer = bench.open(ConfiguredStream(ORDERS))
    same((dict(writer.rejected()), rejected(writer)), ({}, []))
    bench.load(batch({"id": [1]}))
    writer = bench.open(ConfiguredStream(ORDERS))
    same((dict(writer.rejected()), rejected(writer)), ({}, []))
