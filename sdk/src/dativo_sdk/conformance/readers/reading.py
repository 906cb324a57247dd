"""Batches: how many rows, of which streams, with which columns, and each time the same."""

from __future__ import annotations

from dativo_sdk.conformance._check import CheckSkipped
from dativo_sdk.conformance._expect import same
from dativo_sdk.conformance.readers._bench import ALL_ROWS, ReaderBench, rows_of, same_rows
from dativo_sdk.conformance.readers._check import reader_check
from dativo_sdk.conformance.readers.schemas import columns


@reader_check()
def no_batch_has_more_rows_than_asked_for(bench: ReaderBench) -> None:
    bench.needs_rows()
    for limit in (1, 2, bench.case.max_rows):
        largest = max(step.data.num_rows for step in bench.read(max_rows=limit))
        if largest > limit:
            raise AssertionError(f"expected at most {limit} rows a batch, found {largest}")


@reader_check()
def rows_are_the_same_however_many_are_asked_for(bench: ReaderBench) -> None:
    bench.needs_rows()
    expected = rows_of(bench.whole)
    for limit in (1, ALL_ROWS):
        same_rows(rows_of(bench.read(max_rows=limit)), expected, f"{limit} at a time", ordered=bench.case.is_stable)


@reader_check()
def a_batch_says_its_size(bench: ReaderBench) -> None:
    bench.needs_rows()
    for step in bench.whole:
        same(step.rows, step.data.num_rows, f"`rows` of a batch of `{step.stream}`")
        if not step.is_rejects and step.rows and step.nbytes <= 0:
            raise AssertionError(f"expected `nbytes` of a batch of `{step.stream}` above 0, found {step.nbytes}")


@reader_check()
def rows_and_types_are_the_same_each_time(bench: ReaderBench) -> None:
    bench.needs_rows()
    if not bench.case.is_stable:
        raise CheckSkipped("the source is not stable")
    again = bench.read()
    same([step.data.schema for step in again], [step.data.schema for step in bench.whole], "schemas of the batches")
    same_rows(rows_of(again), rows_of(bench.whole), "a second read")


@reader_check()
def only_selected_streams_are_read(bench: ReaderBench) -> None:
    bench.needs_rows()
    if len(bench.catalog.streams) < 2:
        raise CheckSkipped("the reader offers one stream")
    expected = rows_of(bench.whole)
    for stream in bench.catalog.streams:
        read = bench.read(bench.selection(stream.id))
        others = sorted({str(step.stream) for step in read} - {str(stream.id)})
        same(others, [], f"streams that were read where `{stream.id}` alone was selected")
        mine = {stream.id: expected[stream.id]} if stream.id in expected else {}
        same_rows(rows_of(read), mine, f"`{stream.id}` alone", ordered=bench.case.is_stable)


@reader_check()
def only_selected_fields_are_read(bench: ReaderBench) -> None:
    bench.needs_rows()
    tried = False
    for stream in bench.catalog.streams:
        known = columns(stream)
        needed = [name for name in dict.fromkeys([*stream.primary_key, *stream.cursor]) if name in known]
        rest = [name for name in known if name not in needed]
        if len(rest) < 2 or not any(step.stream == stream.id for step in bench.whole):
            continue
        tried, wanted = True, {*needed, rest[-1]}
        for step in bench.read(bench.selection(stream.id, fields=[*needed, rest[-1]])):
            if step.stream == stream.id and not step.is_rejects:
                same(set(step.data.schema.names), wanted, f"columns of `{stream.id}` where these were selected")
    if not tried:
        raise CheckSkipped("no stream has two columns beside its key and its cursor")


@reader_check()
def the_end_stays_the_end(bench: ReaderBench) -> None:
    with bench.opened(bench.selection()) as reader:
        while reader.read_batch(ALL_ROWS) is not None:
            reader.get_incremental_state()
        same(reader.read_batch(ALL_ROWS), None, "`read_batch` after the end")
