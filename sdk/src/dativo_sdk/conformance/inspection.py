"""What is there: counted, and looked at without a change."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pyarrow as pa
from dativo_protocols import StreamId

from dativo_sdk._writer import ConfiguredStream, Counting, Inspecting, Inspection
from dativo_sdk.conformance._bench import Bench
from dativo_sdk.conformance._check import check
from dativo_sdk.conformance._data import JOB, ORDERS, batch
from dativo_sdk.conformance._expect import same

USERS = StreamId("users")


def inspect(bench: Bench, *streams: StreamId) -> Inspection:
    bench.close()
    writer, config = bench.case.make(bench.path)
    return cast(Inspecting, writer).inspect(config, JOB, streams)


def names(path: Path) -> list[str]:
    return sorted(str(each) for each in path.rglob("*"))


@check(power=Counting)
def rows_are_counted_as_they_were_committed(bench: Bench) -> None:
    same(bench.open(ConfiguredStream(ORDERS)).count_rows(ORDERS), None, "rows of a table that is not there")
    bench.load(batch({"id": [1, 2, 3]}))
    bench.load(batch({"id": [4]}))
    writer = bench.open(ConfiguredStream(ORDERS))
    same((writer.count_rows(ORDERS), writer.count_rows(USERS)), (4, None))


@check("merge", power=Counting)
def rows_that_were_replaced_are_not_counted(bench: Bench) -> None:
    for _ in range(2):
        bench.load(batch({"id": [1, 2]}), mode="merge", key=("id",))
    same(bench.open(ConfiguredStream(ORDERS)).count_rows(ORDERS), 2)


@check(power=Inspecting)
def an_empty_target_is_looked_at_without_a_trace(bench: Bench) -> None:
    before = names(bench.path)
    found = inspect(bench, ORDERS)
    info = found.tables.get(ORDERS)
    same((found.state, None if info is None else info.data), (None, None), "the state and the table")
    same(names(bench.path), before, "what is in the directory")


@check(power=Inspecting)
def a_target_says_what_it_holds(bench: Bench) -> None:
    bench.load(batch({"id": [1, 2], "Full Name": ["a", "b"]}), state=b'{"at":1.10}')
    before = names(bench.path)
    found = inspect(bench, ORDERS, USERS)
    same(found.state, b'{"at":1.10}', "the state")
    info = found.tables[ORDERS]
    same(info.rows in (2, None), True, "its rows, where they are known")
    names_found = [] if info.data is None else pa.schema(info.data).names
    same(names_found, ["id", info.columns.get("Full Name", "Full Name")], "its columns")
    same(found.tables[USERS].data, None, "a table that is not there")
    same(names(bench.path), before, "what is in the directory")
    bench.load(batch({"id": [3], "Full Name": ["c"]}))
    same(bench.column("id"), [1, 2, 3], "the rows after it")


@check(power=Inspecting)
def tables_that_were_not_asked_for_are_shown_as_well(bench: Bench) -> None:
    bench.load(batch({"id": [1]}), batch({"id": [1]}, USERS))
    same({ORDERS, USERS} <= inspect(bench).tables.keys(), True, "the job's streams are there")
