"""From `initialize` to `close`, and what is left behind."""

from __future__ import annotations

from dativo_sdk._config import make_config
from dativo_sdk.conformance._expect import same
from dativo_sdk.conformance.readers._bench import ALL_ROWS, ReaderBench, rows_of, same_rows, steps
from dativo_sdk.conformance.readers._check import reader_check


@reader_check()
def close_may_be_called_twice_and_without_initialize(bench: ReaderBench) -> None:
    for starts in (False, True):
        reader = bench.plugin()
        if starts:
            reader.initialize(make_config(bench.plugin, bench.config), None, None)
        for _ in range(2):
            try:
                reader.close()
            except Exception as error:
                when = "after `initialize`" if starts else "without `initialize`"
                raise AssertionError(f"expected `close` to work twice {when}, found {type(error).__name__}: {error}") from error


@reader_check()
def a_reader_that_is_closed_in_the_midst_leaves_nothing(bench: ReaderBench) -> None:
    expected = rows_of(bench.whole)
    with bench.opened(bench.selection()) as reader:
        reader.read_batch(1)
        reader.get_incremental_state()
    same_rows(rows_of(bench.read()), expected, "a read after one that was broken off", ordered=bench.case.is_stable)


@reader_check()
def readers_share_nothing(bench: ReaderBench) -> None:
    expected = rows_of(bench.whole)
    with bench.opened(bench.selection()) as one, bench.opened(bench.selection()) as other:
        first = list(steps(one, bench.case.max_rows))
        second = list(steps(other, bench.case.max_rows))
    for read, name in ((first, "the first"), (second, "the second")):
        same_rows(rows_of(read), expected, f"{name} of two readers at a time", ordered=bench.case.is_stable)


@reader_check()
def a_schema_may_be_asked_for_before_the_first_batch(bench: ReaderBench) -> None:
    expected = rows_of(bench.whole)
    with bench.opened(bench.selection()) as reader:
        names = {stream.id for stream in reader.get_schema().streams}
        read = list(steps(reader, ALL_ROWS))
    same(sorted(map(str, {step.stream for step in read} - names)), [], "streams that were read, and not offered")
    same_rows(rows_of(read), expected, "a read after `get_schema`", ordered=bench.case.is_stable)
