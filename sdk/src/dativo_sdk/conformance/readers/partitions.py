"""Parts: together all there is, in order, with states that hold."""

from __future__ import annotations

from collections.abc import Sequence

from dativo_protocols import StreamId

from dativo_sdk._reader import Partition, Partitionable
from dativo_sdk._saved_state import SavedState
from dativo_sdk.conformance._check import CheckSkipped
from dativo_sdk.conformance.readers._bench import ReaderBench, Step, counted, rows_of, same_rows
from dativo_sdk.conformance.readers._check import reader_check

TARGET_BYTES = 64


@reader_check(power=Partitionable)
def partitions_are_together_the_whole_in_order(bench: ReaderBench) -> None:
    bench.needs_rows()
    parts = _read_in_parts(bench)
    together = [step for _, read in parts for step in read]
    same_rows(rows_of(together), rows_of(bench.whole), f"{len(parts)} parts", ordered=bench.case.is_stable)


@reader_check(power=Partitionable)
def states_of_partitions_leave_the_parts_behind_them(bench: ReaderBench) -> None:
    bench.needs_rows()
    if not bench.case.is_stable:
        raise CheckSkipped("the source is not stable")
    parts = _read_in_parts(bench)
    saved = SavedState()
    stated = False
    for place, (part, _) in enumerate(parts):
        if part.state is None:
            continue
        stated, saved = True, saved.merged(part.state)
        expected = rows_of([step for _, read in parts[place + 1 :] for step in read])
        found = rows_of(bench.read(state=saved))
        for stream in _spoken_of(saved, bench):
            there, due = counted(found.get(stream, [])), counted(expected.get(stream, []))
            if due - there:
                raise AssertionError(
                    f"expected {due.total()} rows of `{stream}` behind the state of part {place}, found {there.total()}: "
                    f"{(due - there).total()} are lost"
                )
            if there - due and not bench.stream(stream).primary_key:
                raise AssertionError(
                    f"expected {due.total()} rows of `{stream}`, which has no key, behind the state of part {place}, "
                    f"found {there.total()}"
                )
    if not stated:
        raise CheckSkipped("no part has a state")


def _spoken_of(saved: SavedState, bench: ReaderBench) -> list[StreamId]:
    return [stream.id for stream in bench.catalog.streams if stream.id in saved.streams or saved.shared is not None]


def _read_in_parts(bench: ReaderBench) -> list[tuple[Partition, list[Step]]]:
    with bench.opened(bench.selection()) as reader:
        parts: Sequence[Partition] = reader.partitions(2, TARGET_BYTES)
        if not parts:
            raise CheckSkipped("with this configuration the reader gives no parts")
        # In another order than theirs: they are read at a time.
        read = {place: bench.read(bench.selection(partition=parts[place].token)) for place in reversed(range(len(parts)))}
    return [(part, read[place]) for place, part in enumerate(parts)]
