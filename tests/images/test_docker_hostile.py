"""A hostile image gets nowhere, and the run's error says what it ran into."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dativo_engines import ContainerOptions

from tests.images.sources import Source

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("docker")]
Make = Callable[..., Source]
SMALL = ContainerOptions(network="none", memory_bytes=256 << 20, pids=64, tmp_bytes=16 << 20)


@pytest.fixture(params=["hostile", "hostile-root"])
def hostile(request: pytest.FixtureRequest, source: Make) -> Source:
    """The same program as an ordinary user, and as root."""
    return source(request.param, container=SMALL)


def test_it_cannot_write_to_its_root(hostile: Source) -> None:
    error = hostile.attempt("write_root").error
    assert error.startswith("cannot write / (Read-only file system), /usr/bin (Read-only file system)")
    assert error.endswith("/dativo (Read-only file system)")


def test_it_can_only_write_where_there_is_a_limit(hostile: Source) -> None:
    assert hostile.attempt("write_disk").error == "cannot find a writable place without a limit"


def test_it_cannot_change_its_own_configuration(hostile: Source) -> None:
    assert "cannot write its own configuration" in hostile.attempt("own_file").error


def test_it_cannot_reach_a_network_it_was_not_given(hostile: Source) -> None:
    error = hostile.attempt("network", host="192.0.2.1", port=80).error
    assert error == "cannot reach 192.0.2.1: [Errno 101] Network is unreachable"


def test_the_network_that_the_job_chose_is_reached(source: Make, gateway: str) -> None:
    with socket.create_server((gateway, 0)) as server:
        given = source("hostile", container=ContainerOptions(network="bridge"))
        assert given.attempt("network", host=gateway, port=server.getsockname()[1]).got == "connected"


def test_a_setuid_program_gives_it_no_privileges(hostile: Source) -> None:
    error = hostile.attempt("setuid").error
    assert re.fullmatch(r"cannot gain privileges: setuid root ran with uid \d+ and capabilities 0{16}", error)


def test_it_has_no_capabilities(hostile: Source) -> None:
    error = hostile.attempt("capabilities").error
    assert error.startswith("cannot do mount (Operation not permitted), unshare (Operation not permitted)")
    assert error.endswith(f"CapEff {0:016}, CapBnd {0:016}, CapPrm {0:016}, NoNewPrivs 1, Seccomp 2")


def test_it_cannot_read_another_runs_files(hostile: Source, source: Make) -> None:
    other = source("hostile", container=SMALL)
    with other.running(config={"attempt": "wait", "password": "half-another-run"}) as victim:
        os.read(victim.stdout, 1)
        assert "cannot find another run's secret" in hostile.attempt("other_run", half="half").error


def test_it_is_given_the_means_to_find_its_own_secret(source: Make) -> None:
    """What makes the test before this one worth something: the search does find what can be read."""
    looking = source("hostile", container=SMALL, environment={"SECRET": "half-another-run"})
    assert "/environ" in looking.attempt("other_run", half="half").got


def test_it_cannot_fork_without_end(hostile: Source) -> None:
    assert re.search(r"cannot fork after \d\d? processes: Resource temporarily unavailable", hostile.attempt("fork").error)


def test_memory_beyond_its_limit_ends_it_and_the_error_names_the_limit(hostile: Source) -> None:
    error = hostile.attempt("memory").error
    assert "SIGKILL: out of memory: its limit is 256 MiB (exit code 137)" in error
    assert "raise `memory`" in error


def test_temporary_files_beyond_their_limit_are_refused(hostile: Source) -> None:
    assert re.search(r"cannot write /tmp after 1\d MiB: .*No space left", hostile.attempt("fill_tmp").error)


def test_temporary_files_count_as_memory(source: Make) -> None:
    greedy = source("hostile", container=ContainerOptions(network="none", memory_bytes=64 << 20))
    assert "out of memory: its limit is 64 MiB" in greedy.attempt("fill_tmp").error


def test_its_files_are_its_own_and_its_home_is_writable(source: Make) -> None:
    got = source("hostile").attempt("identity").got
    assert got["uid"] == 1000
    assert got["files"] == {"/dativo/config.json": "0o400", "/dativo/catalog.json": "0o400"}
    assert (got["home"], got["directory"]) == ("/home/airbyte", "/airbyte/integration_code")


def test_it_gets_nothing_of_this_environment(source: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the host")
    got = source("hostile", environment={"WORKER_JOB_ID": "7"}).attempt("identity").got
    assert set(got["environment"]) == {"PATH", "LANG", "HOME", "HOSTNAME", "AIRBYTE_ENTRYPOINT", "WORKER_JOB_ID"}


def test_nobody_on_the_engines_machine_can_read_its_files(source: Make, engine: Any) -> None:
    with source("hostile").running(config={"attempt": "wait"}) as running:
        os.read(running.stdout, 1)
        (volume,) = engine.volumes(filters={"label": "dativo.run"})["Volumes"]
        folder = Path(volume["Mountpoint"])
        if not folder.exists():
            pytest.skip("the engine's disk is not this machine's, or only root can look")
        assert not any(parent.stat().st_mode & 0o001 for parent in folder.parents if parent.name == "docker")
        assert [(path.stat().st_uid, path.stat().st_mode & 0o777) for path in folder.iterdir()] == [(1000, 0o400)]
