"""A source's new configuration is handed on at once, and what goes wrong with it is told."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from dativo_protocols import StateError

from .airbyte_sources import catalog, control, engine, log, read, record, status
from .readings import rows, says

DONE = status("t", "COMPLETE")


def test_it_does_not_wait_for_the_rows_before_it(script: Any, tmp_path: Path) -> None:
    """The source has said it and works on; nobody iterates."""
    given, handed_on = list[Any](), threading.Event()

    def keep(config: Mapping[str, Any]) -> None:
        given.append(config)
        handed_on.set()

    said = [*(record("t", number) for number in range(1000)), control(token="second"), DONE]
    source = engine(script(says(*said, then="time.sleep(0.5)")), tmp_path, on_config=keep)
    with source.read({"token": "first"}, catalog("t"), None) as reading:
        assert handed_on.wait(20)
        assert given == [{"token": "second"}]
        assert len(rows(list(reading))) == 1000
    assert given == [{"token": "second"}]


def test_it_is_handed_on_before_the_reading_ends(script: Any, tmp_path: Path) -> None:
    given: list[Any] = []
    read(script(says(DONE, *(control(token=str(number)) for number in range(20)))), tmp_path, on_config=given.append)
    assert given[-1] == {"token": "19"}


def test_it_stands_also_when_the_source_fails(script: Any, tmp_path: Path) -> None:
    given: list[Any] = []
    source = engine(script(says(control(token="second"), then="sys.exit(3)")), tmp_path, on_config=given.append)
    with pytest.raises(Exception, match="exit code 3"), source.read({}, catalog("t"), None) as reading:
        list(reading)
    assert given == [{"token": "second"}]


def refuse(config: Mapping[str, Any]) -> None:
    raise StateError("the disk is full")


def test_one_that_cannot_be_kept_fails_the_reading_at_its_end(script: Any, tmp_path: Path) -> None:
    source = engine(script(says(control(token="second"), record("t", 1), DONE)), tmp_path, on_config=refuse)
    seen: list[Any] = []
    with pytest.raises(StateError, match="the disk is full"), source.read({}, catalog("t"), None) as reading:
        seen.extend(reading)
    assert len(rows(seen)) == 1


def test_one_that_cannot_be_kept_is_logged_where_nobody_reads_to_the_end(script: Any, tmp_path: Path) -> None:
    lines: list[str] = []
    said = says(control(token="second"), log("INFO", "said"), then="time.sleep(60)")
    source = engine(
        script(said), tmp_path, on_config=refuse, stop_timeout_seconds=1.0, log=lambda level, line: lines.append(line)
    )
    with source.read({}, catalog("t"), None) as reading:
        for _ in reading.decoder:
            break
    assert "the source's new configuration is lost: the disk is full" in lines
