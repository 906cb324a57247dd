"""What a container says comes through: every byte, no faster than it is read, with how it ended."""

from __future__ import annotations

import os
import re
import select
import time
from collections.abc import Callable
from typing import Any

import pytest
from dativo_engines import ContainerOptions
from dativo_engines._failure import connector_failure
from dativo_engines.containers._container import Container
from dativo_protocols import ConnectorError

from tests.images.sources import Source

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("docker")]
Make = Callable[..., Source]
MIB = 1 << 20


def test_a_line_of_100_megabytes_comes_through(source: Make) -> None:
    answer = source("hostile").attempt("long_line", bytes=100_000_000)
    assert answer.got == "x" * 100_000_000


def test_output_of_any_length_comes_through_whole(source: Make) -> None:
    answer = source("hostile").attempt("flood", bytes=50_000_000)
    records = [line for line in answer.stdout.splitlines() if b'"text"' in line]
    assert len(answer.stdout) > 50_000_000
    assert set(map(len, records[:-1])) == {len(records[0])}


def written(running: Container) -> int:
    """How far the source says it came, once it has come no further for a second."""
    last, since = -1, time.monotonic()
    while time.monotonic() - since < 1:
        found = [int(line.split()[1]) for line in running.stderr_tail if line.startswith("written")]
        if found and found[-1] != last:
            last, since = found[-1], time.monotonic()
        time.sleep(0.05)
    return last


def test_who_reads_slowly_holds_the_source_back(source: Make) -> None:
    with source("hostile").running(config={"attempt": "flood", "tell": 65536}) as running:
        assert written(running) < 16 * MIB
        taken = sum(len(os.read(running.stdout, MIB)) for _ in range(40))
        assert written(running) < taken + 16 * MIB


def test_stderr_is_logged_line_by_line_and_masked(source: Make) -> None:
    talking = source("hostile", secrets=["s3cret-word"])
    answer = talking.attempt("leave", words="WARNING password s3cret-word\nlast words", code=0)
    assert answer.stderr == ["WARNING password ***", "last words"]
    assert ("warning", "WARNING password ***") in talking.log


def test_the_exit_code_and_the_last_words_are_in_the_error(source: Make) -> None:
    answer = source("hostile").attempt("leave", words="ERROR no such table", code=5)
    assert answer.exit.code == 5
    assert answer.error == "`source` failed: no such table (exit code 5)"


@pytest.mark.parametrize(("number", "name"), [(15, "SIGTERM"), (11, "SIGSEGV")])
def test_a_signal_is_named(source: Make, number: int, name: str) -> None:
    answer = source("hostile").attempt("leave", signal=number)
    assert answer.exit.code == 128 + number
    assert f"was ended by {name}" in answer.error


def test_a_kill_from_outside_is_told_from_memory_that_ran_out(source: Make) -> None:
    answer = source("hostile", container=ContainerOptions(network="none", memory_bytes=96 * MIB)).attempt("leave", signal=9)
    assert answer.exit.cause is None
    assert "as for memory, its limit is 96 MiB" in answer.error


def test_stopping_asks_first(source: Make) -> None:
    with source("hostile").running(config={"attempt": "wait"}) as running:
        os.read(running.stdout, 1)
        running.stop()
        ended = running.wait(4)
        assert ended is not None
        assert "SIGTERM" in str(connector_failure("source", ended, []))


def test_stopping_a_source_that_is_deaf_kills_it_after_the_timeout(source: Make) -> None:
    with source("hostile", stop_timeout_seconds=1.0).running(config={"attempt": "wait", "deaf": True}) as running:
        os.read(running.stdout, 1)
        running.stop()
        assert running.wait(0.2) is None
        ended = running.wait(20)
        assert ended is not None
        assert ended.code == 137


def test_stopping_ends_a_source_that_waits_to_be_read(source: Make) -> None:
    with source("hostile").running(config={"attempt": "flood"}) as running:
        assert select.select([running.stdout], [], [], 20)[0]
        running.stop()
        while os.read(running.stdout, MIB):
            pass
        assert running.wait(10) is not None


def test_leaving_ends_a_source_that_nobody_reads(source: Make) -> None:
    with source("hostile").running(config={"attempt": "flood"}) as running:
        assert select.select([running.stdout], [], [], 20)[0]
    assert running.wait(0) is not None


def test_a_source_whose_reader_leaves_is_ended(source: Make) -> None:
    with source("hostile").running(config={"attempt": "flood"}) as running:
        os.read(running.stdout, 1)
        os.close(running.stdout)
        running.stdout = -1
        assert running.wait(20) is not None


def test_time_since_it_was_heard_is_known(source: Make) -> None:
    with source("hostile").running(config={"attempt": "wait"}) as running:
        os.read(running.stdout, 1)
        time.sleep(0.2)
        assert 0.1 < running.idle_seconds < 60


def test_several_commands_run_one_after_the_other(source: Make) -> None:
    with source("hostile").prepared() as runtime:
        for command, kind in [("spec", b'"SPEC"'), ("check", b'"CONNECTION_STATUS"'), ("discover", b'"CATALOG"')]:
            with runtime.start([command], {}) as running:
                assert kind in os.read(running.stdout, MIB)
                ended = running.wait(20)
                assert ended is not None
                assert ended.code == 0


def test_a_container_removed_by_somebody_else_is_told(source: Make, engine: Any) -> None:
    with source("hostile").running(config={"attempt": "wait"}) as running:
        os.read(running.stdout, 1)
        engine.remove_container(running._container, force=True)
        with pytest.raises(ConnectorError, match=re.escape("container is gone: it was removed by somebody else")) as caught:
            running.wait(20)
        assert caught.value.retryable
