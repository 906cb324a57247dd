"""A hostile image gets nowhere in a sandbox, and the run's error says what it ran into."""

from __future__ import annotations

import os
import re
import socket
import tempfile
from collections.abc import Callable

import pytest
from dativo_engines import ContainerOptions

from tests.sandbox.sources import SandboxSource

Make = Callable[..., SandboxSource]
SMALL = ContainerOptions(network="none", memory_bytes=256 << 20, pids=64, tmp_bytes=16 << 20)


@pytest.fixture(params=["hostile", "hostile-root"])
def hostile(request: pytest.FixtureRequest, source: Make) -> SandboxSource:
    """The same program as an ordinary user, and as root."""
    return source(request.param, container=SMALL)


def test_it_cannot_write_to_its_root(hostile: SandboxSource) -> None:
    error = hostile.attempt("write_root").error
    assert error.startswith("cannot write / (Read-only file system), /usr/bin (Read-only file system)")
    assert error.endswith("/dativo (Read-only file system)")


def test_it_can_only_write_where_there_is_a_limit(hostile: SandboxSource) -> None:
    assert hostile.attempt("write_disk").error == "cannot find a writable place without a limit"


def test_it_cannot_change_its_own_configuration(hostile: SandboxSource) -> None:
    assert "cannot write its own configuration" in hostile.attempt("own_file").error


def test_it_cannot_reach_a_network_it_was_not_given(hostile: SandboxSource) -> None:
    assert hostile.attempt("network", host="192.0.2.1", port=80).error.endswith("[Errno 101] Network is unreachable")
    with socket.create_server(("127.0.0.1", 0)) as server:
        error = hostile.attempt("network", host="127.0.0.1", port=server.getsockname()[1]).error
    assert error == "cannot reach 127.0.0.1: [Errno 111] Connection refused"


def test_the_network_is_the_machines_where_the_job_gives_one(source: Make) -> None:
    given = source("hostile", container=ContainerOptions(network="bridge"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert given.attempt("network", host="127.0.0.1", port=server.getsockname()[1]).got == "connected"
    assert ("info", "the sandbox shares this machine's network; `container: {network: none}` gives it none") in given.log


def test_a_setuid_program_gives_it_no_privileges(hostile: SandboxSource) -> None:
    error = hostile.attempt("setuid").error
    assert re.fullmatch(r"cannot gain privileges: setuid root ran with uid \d+ and capabilities 0{16}", error)


def test_it_has_no_capabilities(hostile: SandboxSource) -> None:
    error = hostile.attempt("capabilities").error
    assert error.startswith("cannot do mount (Operation not permitted), unshare (Operation not permitted)")
    assert error.endswith(f"CapEff {0:016}, CapBnd {0:016}, CapPrm {0:016}, NoNewPrivs 1, Seccomp 2")


def test_it_cannot_read_another_runs_files(hostile: SandboxSource, source: Make) -> None:
    other = source("hostile", container=SMALL)
    with other.running(config={"attempt": "wait", "password": "half-another-run"}) as victim:
        os.read(victim.stdout, 1)
        assert "cannot find another run's secret" in hostile.attempt("other_run", half="half").error


def test_it_cannot_read_this_machines_files(hostile: SandboxSource) -> None:
    with tempfile.NamedTemporaryFile(dir="/var/tmp", prefix="dativo-test-") as file:
        file.write(b"half-another-run")
        file.flush()
        os.chmod(file.name, 0o644)
        assert "cannot find another run's secret" in hostile.attempt("other_run", half="half").error


def test_it_is_given_the_means_to_find_its_own_secret(source: Make) -> None:
    """What makes the tests before this one worth something: the search does find what can be read."""
    looking = source("hostile", container=SMALL, environment={"SECRET": "half-another-run"})
    assert "/environ" in looking.attempt("other_run", half="half").got


def test_it_cannot_fork_without_end(hostile: SandboxSource, control_groups: None) -> None:
    ended = hostile.attempt("fork")
    assert re.search(r"cannot fork after \d\d? processes: Resource temporarily unavailable", ended.error)
    assert ended.exit.hint == "it reached its limit of 64 processes and threads: raise `container: {pids: …}`"


def test_memory_beyond_its_limit_ends_it_and_the_error_names_the_limit(hostile: SandboxSource, control_groups: None) -> None:
    error = hostile.attempt("memory").error
    assert "SIGKILL: out of memory: its limit is 256 MiB (exit code 137)" in error
    assert "raise `container: {memory: …}` above 256 MiB" in error


def test_temporary_files_beyond_their_limit_are_refused(hostile: SandboxSource) -> None:
    assert re.search(r"cannot write /tmp after 1\d MiB: .*No space left", hostile.attempt("fill_tmp").error)


def test_temporary_files_count_as_memory(source: Make, control_groups: None) -> None:
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
    of_dativo, of_bwrap = "DATIVO_PROCESS", "PWD"
    assert set(got["environment"]) == {"PATH", "LANG", "HOME", "AIRBYTE_ENTRYPOINT", "WORKER_JOB_ID", of_dativo, of_bwrap}
