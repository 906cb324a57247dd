"""Readers that are read in parts, by threads: order, states, failures, ends."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from dativo_engines import DecodeOptions
from dativo_protocols import ConnectorError, State

from .readings import read_with, rows
from .test_native_reading import catalog, engine


def read(tmp_path: Path, config: dict[str, Any], parallel: int = 3, reader: str = "Parts", **options: Any) -> list[Any]:
    made = engine(reader, tmp_path, parallel=parallel, **options)
    return read_with(made, config, catalog(made), None)[0]


def test_rows_come_in_the_order_of_the_parts_with_the_state_behind_each(tmp_path: Path) -> None:
    messages = read(tmp_path, {"rows": 9})
    assert [row["id"] for row in rows(messages)] == list(range(9))
    said = [json.loads(message.data)[0]["stream"]["stream_state"]["next"] for message in messages if isinstance(message, State)]
    assert said == [2, 4, 6, 8, 9]


def test_each_part_has_a_reader_of_its_own_and_all_are_closed(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    read(tmp_path, {"rows": 9, "marks": str(marks)})
    said = [line.split()[0] for line in marks.read_text().splitlines()]
    # One that knows the parts, which stays open, and five that read them.
    assert (said.count("initialize"), said.count("close"), said[0], said[-1]) == (6, 6, "initialize", "close")


def test_workers_share_the_work(tmp_path: Path) -> None:
    began = time.monotonic()
    read(tmp_path, {"rows": 8}, parallel=4, reader="SlowParts")
    assert time.monotonic() - began < 4 * 0.3


def test_what_waits_for_its_turn_is_bounded(tmp_path: Path) -> None:
    made = engine("Parts", tmp_path, parallel=2, decode=DecodeOptions(memory_budget_bytes=4))
    with made.read({"rows": 200}, catalog(made), None) as reading:
        next(iter(reading))
        time.sleep(0.3)
        begun = [queue for queue in reading._parts._queues if queue._items]  # type: ignore[attr-defined]
        assert 0 < len(begun) <= 4
        assert all(len(queue._items) == 1 for queue in begun)


def test_a_part_that_fails_fails_the_run_and_ends_the_others(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    with pytest.raises(ConnectorError, match="no row 4") as caught:
        read(tmp_path, {"rows": 400, "fail_at": 4, "marks": str(marks)})
    assert [row["id"] for row in rows(caught.value.facts["seen"])] == [0, 1, 2, 3]  # type: ignore[arg-type]
    said = [line.split()[0] for line in marks.read_text().splitlines()]
    assert said.count("initialize") == said.count("close") < 20


@pytest.mark.parametrize("seen", [1, 5])
def test_who_stops_early_ends_all_of_them(seen: int, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    # A reader that another test gave up, as it said nothing, may still sleep.
    before = set(threading.enumerate())
    made = engine("Parts", tmp_path, parallel=3, decode=DecodeOptions(memory_budget_bytes=4))
    with made.read({"rows": 400, "marks": str(marks)}, catalog(made), None) as reading:
        for _, message in zip(range(seen), reading, strict=False):
            assert message
    said = [line.split()[0] for line in marks.read_text().splitlines()]
    assert said.count("initialize") == said.count("close")
    assert not set(threading.enumerate()) - before


def test_a_reader_that_has_no_parts_is_read_whole(tmp_path: Path) -> None:
    messages = read(tmp_path, {"rows": 5}, reader="NoParts")
    assert [row["id"] for row in rows(messages)] == list(range(5))
    assert len([message for message in messages if isinstance(message, State)]) == 3


def test_one_at_a_time_is_read_whole(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    read(tmp_path, {"rows": 9, "marks": str(marks)}, parallel=1)
    assert len(marks.read_text().splitlines()) == 2


def test_readers_that_hold_the_gil_read_in_processes(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    messages = read(tmp_path, {"rows": 5, "marks": str(marks)}, parallel=2, reader="HoldingParts")
    assert [row["id"] for row in rows(messages)] == list(range(5))
    # This one knows the parts, two others read them.
    pids = {line.split()[1] for line in marks.read_text().splitlines()}
    assert len(pids) == 3


def test_a_process_that_fails_fails_the_run(tmp_path: Path) -> None:
    with pytest.raises(ConnectorError, match="no row 2"):
        read(tmp_path, {"rows": 9, "fail_at": 2}, parallel=2, reader="HoldingParts")
