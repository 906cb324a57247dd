"""Commits: all of it or none, the state with it, and what an attempt leaves behind."""

from __future__ import annotations

from dativo_sdk._writer import ConfiguredStream, JobKey, WriteCatalog
from dativo_sdk.conformance._bench import Bench
from dativo_sdk.conformance._check import check
from dativo_sdk.conformance._data import JOB, ORDERS, batch
from dativo_sdk.conformance._expect import same


@check()
def nothing_is_seen_before_the_commit(bench: Bench) -> None:
    bench.load(batch({"id": [1]}), state=b'{"at":1}')
    writer = bench.open(ConfiguredStream(ORDERS))
    writer.write_batch(batch({"id": [2], "new": ["x"]}))
    if bench.case.can_read_while_open():
        same(bench.rows(), [{"id": 1}], "what readers see while rows are staged")
    bench.close()
    same(bench.rows(), [{"id": 1}], "what is there after a run that did not commit")
    bench.open(ConfiguredStream(ORDERS))
    same(bench.state, b'{"at":1}', "the committed state")


@check()
def each_commit_holds_what_came_before_it(bench: Bench) -> None:
    writer = bench.open(ConfiguredStream(ORDERS))
    writer.write_batch(batch({"id": [1]}))
    first = writer.commit(b"1")
    writer.write_batch(batch({"id": [2]}))
    second = writer.commit(b"2")
    writer.write_batch(batch({"id": [3]}))
    bench.close()
    same((first.written, second.written, second.changes), ({ORDERS: 1}, {ORDERS: 1}, ()), "the receipts")
    same(first.commit_id != second.commit_id, True, "each commit has a name of its own")
    same(bench.column("id"), [1, 2])
    bench.open()
    same(bench.state, b"2", "the committed state")


@check()
def a_rerun_goes_on_from_the_returned_state(bench: Bench) -> None:
    """The state counts the rows that are there: a source that goes on from it neither loses nor doubles one."""
    for end in (7, 15, 20):
        writer = bench.open(ConfiguredStream(ORDERS))
        for number in range(int(bench.state or b"0"), end):
            writer.write_batch(batch({"id": [number]}))
            if number % 5 == 4:
                writer.commit(str(number + 1).encode())
        bench.close()
    same(bench.column("id"), list(range(20)))


@check()
def a_commit_of_nothing_keeps_the_rows(bench: Bench) -> None:
    bench.load(batch({"id": [1]}), state=b"1")
    receipt = bench.open(ConfiguredStream(ORDERS)).commit(b"2", final=True)
    same(sum(receipt.written.values()), 0, "rows written")
    bench.close()
    same(bench.column("id"), [1])
    bench.open()
    same(bench.state, b"2", "the committed state")


@check()
def a_state_comes_back_byte_for_byte(bench: Bench) -> None:
    bench.open()
    same(bench.state, None, "the state before the first commit")
    for state in (
        b'{"v": 1.10, "big": 123456789012345678901234567890, "e": 1E400}',
        b"{}",
        b"\xff\x00 not JSON",
        b"x" * 2_000_000,
    ):
        bench.load(batch({"id": [1]}), state=state)
        bench.open()
        same(bench.state, state, "the committed state")


@check()
def no_state_keeps_the_one_before(bench: Bench) -> None:
    bench.load(batch({"id": [1]}), state=b"1")
    bench.load(batch({"id": [2]}), state=None)
    bench.open()
    same(bench.state, b"1", "the committed state")


@check()
def states_belong_to_one_tenant_and_job(bench: Bench) -> None:
    bench.load(batch({"id": [1]}), state=b"1")
    for job in (JobKey("acme", "other"), JobKey("other", "shop")):
        bench.open(job=job)
        same(bench.state, None, f"the state of `{job}`")


@check()
def a_stream_can_be_announced_late(bench: Bench) -> None:
    bench.writer, bench.config = bench.case.make(bench.path)
    catalog = WriteCatalog(JOB, "late", {})
    bench.writer.initialize(bench.config, catalog)
    catalog.streams[ORDERS] = ConfiguredStream(ORDERS)
    bench.writer.write_batch(batch({"id": [1]}))
    bench.writer.commit(b"1", final=True)
    bench.close()
    same(bench.column("id"), [1])


@check()
def closing_twice_does_nothing_more(bench: Bench) -> None:
    writer = bench.open(ConfiguredStream(ORDERS))
    writer.write_batch(batch({"id": [1]}))
    writer.close()
    writer.close()
    same(bench.table(), None, "a table that nothing was committed to")
    bench.open()
    same(bench.state, None, "the committed state")
