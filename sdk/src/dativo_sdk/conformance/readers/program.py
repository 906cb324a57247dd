"""The reader as a program: the same streams, rows and states."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from dativo_sdk.conformance._check import CheckSkipped
from dativo_sdk.conformance._expect import same
from dativo_sdk.conformance.readers._bench import ReaderBench, Step, rows_of, same_rows
from dativo_sdk.conformance.readers._check import reader_check
from dativo_sdk.testing import ProgramRun, run_program


@reader_check()
def the_program_gives_the_same_rows_and_states(bench: ReaderBench) -> None:
    bench.needs_rows()
    ended = run_program(
        _program(bench), "read", "--max-rows", str(bench.case.max_rows), config=bench.config, catalog=bench.selection()
    )
    _ended_well(ended)
    found = {stream: table.to_pylist() for stream, table in ended.tables.items() if table.num_rows}
    same_rows(found, rows_of(bench.whole), "the program", ordered=bench.case.is_stable)
    for stream, table in ended.tables.items():
        expected = _types(bench.whole, stream)
        same({each.name: each.type for each in table.schema}, expected, f"columns of `{stream}` from the program")
    if bench.case.is_stable:
        last = bench.whole[-1].saved
        said = {} if ended.state is None else dict(ended.state.streams)
        same({str(key) for key in said}, {str(key) for key in last.streams}, "streams with a state from the program")


@reader_check()
def the_program_describes_the_same_streams(bench: ReaderBench) -> None:
    ended = run_program(_program(bench), "discover", config=bench.config)
    _ended_well(ended)
    (catalog,) = ended.of_type("CATALOG")
    found = [(entry["name"], entry.get("namespace")) for entry in catalog["streams"]]
    same(found, [tuple(stream.id) for stream in bench.catalog.streams], "streams from the program")


def _program(bench: ReaderBench) -> str | Sequence[str]:
    program = bench.case.program()
    if program is None:
        raise CheckSkipped("the case names no program, and the class is none of a module's own")
    return program


def _ended_well(ended: ProgramRun) -> None:
    if ended.code:
        errors = [trace["error"]["message"] for trace in ended.of_type("TRACE") if trace.get("type") == "ERROR"]
        raise AssertionError(f"expected a program that ends with 0, found {ended.code}: {errors or ended.stderr[-500:]}")


def _types(read: Sequence[Step], stream: object) -> dict[str, pa.DataType]:
    tables = [pa.Table.from_batches([step.data]) for step in read if step.stream == stream and not step.is_rejects]
    return {each.name: each.type for each in pa.concat_tables(tables, promote_options="permissive").schema}
