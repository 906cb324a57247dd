"""A hostile image gets nowhere in a sandbox, and the run's error says what it ran into."""

from __future__ import annotations

import os
import socket
import tempfile

import pytest
from dativo_engines import ContainerOptions

from tests.images.confinement import SMALL, Confinement, Make


@pytest.fixture
def own_variables() -> set[str]:
    """What Dativo and `bwrap` set."""
    return {"DATIVO_PROCESS", "PWD"}


class TestSandbox(Confinement):
    """What is the same in Docker."""


def test_it_cannot_reach_this_machine_by_its_loopback_addresses(source: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        error = source("hostile", container=SMALL).attempt("network", host="127.0.0.1", port=server.getsockname()[1]).error
    assert error == "cannot reach 127.0.0.1: [Errno 111] Connection refused"


def test_the_network_is_the_machines_where_the_job_gives_one(source: Make) -> None:
    given = source("hostile", container=ContainerOptions(network="bridge"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert given.attempt("network", host="127.0.0.1", port=server.getsockname()[1]).got == "connected"
    assert ("info", "the sandbox shares this machine's network; `container: {network: none}` gives it none") in given.log


@pytest.mark.parametrize("name", ["hostile", "hostile-root"])
def test_it_cannot_read_this_machines_files(source: Make, name: str) -> None:
    with tempfile.NamedTemporaryFile(dir="/var/tmp", prefix="dativo-test-") as file:
        file.write(b"half-another-run")
        file.flush()
        os.chmod(file.name, 0o644)
        assert "cannot find another run's secret" in source(name, container=SMALL).attempt("other_run", half="half").error


def test_a_limit_of_processes_that_was_reached_is_named(source: Make, control_groups: None) -> None:
    ended = source("hostile", container=SMALL).attempt("fork")
    assert ended.exit.hint == "it reached its limit of 64 processes and threads: raise `container: {pids: …}`"
