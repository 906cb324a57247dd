"""States: what they are, and that a run which starts with one gives exactly the rest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from dativo_protocols import StreamId

from dativo_sdk._saved_state import SavedState
from dativo_sdk.conformance._check import CheckSkipped
from dativo_sdk.conformance._expect import same
from dativo_sdk.conformance.readers._bench import ReaderBench, Step, counted, rows_of
from dativo_sdk.conformance.readers._check import reader_check

RESUMED = 8


@reader_check()
def states_are_json_objects(bench: ReaderBench) -> None:
    for step in _stated(bench):
        state = step.state
        try:
            parsed = None if state is None else json.loads(state.data)
        except ValueError as error:
            raise AssertionError(f"expected a state of `{step.stream}` in JSON, found {error}") from None
        if not isinstance(parsed, dict):
            raise AssertionError(f"expected a state of `{step.stream}` that is a JSON object, found {type(parsed).__name__}")


@reader_check()
def a_state_is_of_the_stream_of_its_batch(bench: ReaderBench) -> None:
    for step in _stated(bench):
        if step.state is not None and step.state.stream is not None:
            same(str(step.state.stream), str(step.stream), "the stream of the state behind a batch")


@reader_check()
def incremental_streams_say_states(bench: ReaderBench) -> None:
    bench.needs_rows()
    incremental = {each.id for each in bench.catalog.streams if {"INCREMENTAL", "LOG_BASED"} & {*each.replication_methods}}
    read = incremental & rows_of(bench.whole).keys()
    if not read:
        raise CheckSkipped("no stream with rows is incremental")
    last = bench.whole[-1].saved
    silent = sorted(str(stream) for stream in read if stream not in last.streams and last.shared is None)
    same(silent, [], "incremental streams that were read and said no state")


@reader_check()
def a_run_loses_nothing_from_any_state(bench: ReaderBench) -> None:
    for saved, expected, found in _resumed(bench):
        for stream, rows in expected.items():
            lost = counted(rows) - counted(found.get(stream, []))
            if lost:
                where = saved.to_json().decode()[:300]
                raise AssertionError(
                    f"expected {len(rows)} rows of `{stream}` behind the state {where}, found {len(found.get(stream, []))}: "
                    f"{lost.total()} are lost, such as {next(iter(lost))}"
                )


@reader_check()
def a_run_doubles_no_row_without_a_key(bench: ReaderBench) -> None:
    for saved, expected, found in _resumed(bench):
        for stream, rows in found.items():
            doubled = counted(rows) - counted(expected.get(stream, []))
            if doubled and not bench.stream(stream).primary_key:
                where = saved.to_json().decode()[:300]
                raise AssertionError(
                    f"expected {len(expected.get(stream, []))} rows of `{stream}`, which has no key, behind the state {where}, "
                    f"found {len(rows)}: {doubled.total()} came before it, such as {next(iter(doubled))}"
                )


@reader_check()
def a_run_from_the_last_state_begins_no_stream_anew(bench: ReaderBench) -> None:
    *_, last = _stated(bench)
    whole, again = rows_of(bench.whole), rows_of(bench.read(state=_through_json(last.saved)))
    for stream in _covered(last.saved, whole):
        rows, before = again.get(stream, []), whole[stream]
        if len(before) > bench.case.max_rows and len(rows) >= len(before):
            raise AssertionError(f"expected what is new of `{stream}` behind its last state, found all {len(rows)} rows again")


def _stated(bench: ReaderBench) -> list[Step]:
    bench.needs_rows()
    found = [step for step in bench.whole if step.state is not None]
    if not found:
        raise CheckSkipped("with this configuration the reader says no state")
    return found


def _resumed(bench: ReaderBench) -> Iterator[tuple[SavedState, Mapping[StreamId, Any], Mapping[StreamId, Any]]]:
    """States, the rows behind each, and those of a run that starts with it; only of streams that the state speaks of."""
    if not bench.case.is_stable:
        raise CheckSkipped("the source is not stable")
    _stated(bench)
    places = [place for place, step in enumerate(bench.whole) if step.state is not None]
    every = max(1, len(places) // RESUMED)
    for place in sorted({*places[::every], places[-1]}):
        saved = bench.whole[place].saved
        behind = dict.fromkeys(_covered(saved, rows_of(bench.whole)), 0)
        for at, step in enumerate(bench.whole[: place + 1]):
            if step.state is not None:
                behind.update({stream: at + 1 for stream in behind if step.state.stream in (None, stream)})
        expected = {stream: rows_of(_steps_of(bench, stream, start)).get(stream, []) for stream, start in behind.items()}
        found = rows_of(bench.read(state=_through_json(saved)))
        yield saved, expected, {stream: found[stream] for stream in behind if stream in found}


def _steps_of(bench: ReaderBench, stream: StreamId, start: int) -> list[Step]:
    return [step for step in bench.whole[start:] if step.stream == stream]


def _covered(saved: SavedState, whole: Mapping[StreamId, Any]) -> list[StreamId]:
    return [stream for stream in whole if stream in saved.streams or saved.shared is not None]


def _through_json(saved: SavedState) -> SavedState:
    """As it comes back in the next run."""
    return SavedState.parse(saved.to_json())
