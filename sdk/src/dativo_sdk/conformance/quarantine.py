"""Rejected rows are kept beside the data, with the commit that they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dativo_protocols import StreamId

from dativo_sdk._writer import ConfiguredStream, Quarantining
from dativo_sdk.conformance._bench import Bench
from dativo_sdk.conformance._check import check
from dativo_sdk.conformance._data import ORDERS, batch, rejects
from dativo_sdk.conformance._expect import same


@check(power=Quarantining)
def rejected_rows_are_kept_with_the_commit(bench: Bench) -> None:
    receipt = bench.load(batch({"id": [1]}), rejected=[rejects(records=[b'{"id": 1.10}', b"\xff\xfe"])])
    same(receipt.quarantined, {ORDERS: 2}, "rows quarantined")
    rows = bench.rows("orders__quarantine", "line")
    found = [(row["line"], row["column"], row["reason"]) for row in rows]
    same(found, [(1, "id", "not an integer"), (2, "id", "not an integer")])
    same([_record(row) for row in rows], [b'{"id": 1.10}', b"\xff\xfe"], "raw records")


@check(power=Quarantining)
def rejected_rows_without_a_commit_are_not_kept(bench: Bench) -> None:
    bench.load(batch({"id": [1]}), rejected=[rejects()])
    bench.open(ConfiguredStream(ORDERS)).write_rejects(rejects())
    bench.close()
    same(len(bench.rows("orders__quarantine", None)), 1, "rows in quarantine")


@check(power=Quarantining)
def rejected_rows_of_a_stream_without_a_table(bench: Bench) -> None:
    for _ in range(2):
        bench.load(rejected=[rejects(StreamId("_unknown"))])
    same(len(bench.rows("_unknown__quarantine", None)), 2, "rows in quarantine")


def _record(row: Mapping[str, Any]) -> bytes:
    record = row["record"]
    if record is None:
        record = row["record_bytes"]
    return record.encode() if isinstance(record, str) else bytes(record)
