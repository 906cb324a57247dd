"""A reader in a process of its own says what it says in this one; parts are read by processes too."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from dativo_engines import Connector, EngineOptions
from dativo_engines.native import NativeEngine
from dativo_engines.program import ProgramEngine
from dativo_protocols import ConnectorError, Message, Schema, State

from . import native_readers
from .airbyte_sources import catalog as airbyte_catalog
from .airbyte_sources import record, status
from .readings import read_with, rows, says
from .test_native_reading import catalog


def engine(reader: str, tmp_path: Path, isolation: Any = "process", **options: Any) -> NativeEngine:
    connector = Connector(f"native:{reader}", reader=f"{native_readers.__file__}:{reader}", isolation=isolation)
    return NativeEngine(connector, EngineOptions(tmp_path, tmp_dir=tmp_path / "private", **options))


def read(reader: str, tmp_path: Path, config: dict[str, Any], isolation: Any = "process", **options: Any) -> list[Message]:
    made = engine(reader, tmp_path, isolation, **options)
    return read_with(made, config, catalog(made), None)[0]


def states(messages: list[Message]) -> list[Any]:
    return [json.loads(message.data) for message in messages if isinstance(message, State)]


def test_rows_schemas_and_states_are_those_of_a_reader_in_this_process(tmp_path: Path) -> None:
    here, there = (read("Numbers", tmp_path, {"rows": 5}, isolation) for isolation in ("in_process", "process"))
    assert rows(there) == rows(here)
    # The decoder may leave out states that a later one covers.
    assert states(there)[-1] == states(here)[-1]
    keys = [(message.stream, message.primary_key, message.cursor) for message in there if isinstance(message, Schema)]
    assert keys == [(message.stream, message.primary_key, message.cursor) for message in here if isinstance(message, Schema)]


def test_it_is_described_in_the_same_way(tmp_path: Path) -> None:
    here, there = (engine("Numbers", tmp_path, isolation) for isolation in ("in_process", "process"))
    assert there.spec() == here.spec()
    assert [stream.raw for stream in there.discover({}).streams] == [stream.raw for stream in here.discover({}).streams]
    assert (there.check({"rows": 1}).succeeded, there.check({"rows": "many"}).succeeded) == (True, False)


def test_what_it_raises_is_an_error_of_the_connector_without_secrets(tmp_path: Path) -> None:
    config = {"rows": 9, "fail_at": 4, "password": "s3cr3t-value"}
    with pytest.raises(ConnectorError, match=r"`native_readers.py:Numbers` failed: ValueError: no row 4, \*\*\*"):
        read("Numbers", tmp_path, config)


@pytest.mark.parametrize("reader", ["Parts", "HoldingParts"])
def test_parts_are_read_by_processes_in_their_order(reader: str, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    messages = read(reader, tmp_path, {"rows": 5, "marks": str(marks)}, parallel=2)
    assert [row["id"] for row in rows(messages)] == list(range(5))
    assert [state[0]["stream"]["stream_state"]["next"] for state in states(messages)] == [2, 4, 5]
    # One that knows the parts and stays to the end, and two that read them, each part with a reader of its own.
    said = [line.split() for line in marks.read_text().splitlines()]
    assert (len({pid for _, pid in said}), said[-1]) == (3, ["close", said[0][1]])
    assert [what for what, _ in said].count("initialize") == [what for what, _ in said].count("close") == 4


def test_a_process_between_two_parts_has_not_stalled(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    made = engine("Parts", tmp_path, parallel=2, stall_timeout_seconds=3.0)
    with made.read({"rows": 20, "marks": str(marks)}, catalog(engine("Parts", tmp_path)), None) as reading:
        messages = iter(reading)
        seen = [next(messages)]
        # Four parts may wait; then the processes do.
        time.sleep(4.5)
        seen += messages
    assert [row["id"] for row in rows(seen)] == list(range(20))
    assert len({line.split()[1] for line in marks.read_text().splitlines()}) == 3


def test_a_process_that_stalls_within_a_part_is_ended(tmp_path: Path) -> None:
    with pytest.raises(ConnectorError, match="said nothing for 3 s"):
        read("StallingParts", tmp_path, {"rows": 9}, parallel=2, stall_timeout_seconds=3.0)


def test_a_process_that_ends_between_two_parts_fails_the_run(tmp_path: Path) -> None:
    with pytest.raises(ConnectorError, match=r"ended before it had read a part|exit code 3"):
        read("LeavingParts", tmp_path, {"rows": 40}, parallel=2)


def test_a_part_that_fails_fails_the_run(tmp_path: Path) -> None:
    with pytest.raises(ConnectorError, match="no row 2"):
        read("Parts", tmp_path, {"rows": 9, "fail_at": 2}, parallel=2)


@pytest.mark.parametrize("reader", ["NoParts", "Numbers"])
def test_what_has_no_parts_is_read_whole(reader: str, tmp_path: Path) -> None:
    messages = read(reader, tmp_path, {"rows": 5}, parallel=2)
    assert ([row["id"] for row in rows(messages)], states(messages)[-1][0]["stream"]["stream_state"]) == (
        list(range(5)),
        {"next": 5},
    )


def test_who_stops_early_ends_all_processes(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    made = engine("Parts", tmp_path, parallel=2)
    with made.read({"rows": 400, "marks": str(marks)}, catalog(made), None) as reading:
        for _, message in zip(range(5), reading, strict=False):
            assert message
    pids = {line.split()[1] for line in marks.read_text().splitlines()}
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_a_program_that_knows_no_arrow_is_read_by_its_lines(script: Any, tmp_path: Path) -> None:
    lines = (status("t", "STARTED"), record("t", 1), record("t", 2), status("t", "COMPLETE"))
    program = script("import os\nassert os.environ['DATIVO_FORMAT'] == 'arrow'\n" + says(*lines))
    made = ProgramEngine(Connector(f"program:{program}", program), EngineOptions(tmp_path, tmp_dir=tmp_path / "private"))
    messages, reading = read_with(made, {}, airbyte_catalog("t"), None)
    assert ([row["id"] for row in rows(messages)], sum(reading.rows_in.values())) == ([1, 2], 2)
