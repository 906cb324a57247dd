"""What a hostile image may not do, wherever it runs: a test module of each runtime takes these over, with its own `source`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

import pytest
from dativo_engines import ContainerOptions

from tests.images.sources import Source

Make = Callable[..., Source]
SMALL = ContainerOptions(network="none", memory_bytes=256 << 20, pids=64, tmp_bytes=16 << 20)


class Confinement:
    """Tests. What succeeds gives what it got; what is refused gives an error that says why."""

    @pytest.fixture(params=["hostile", "hostile-root"])
    def hostile(self, request: pytest.FixtureRequest, source: Make) -> Source:
        """The same program as an ordinary user, and as root."""
        return source(request.param, container=SMALL)

    def test_it_cannot_write_to_its_root(self, hostile: Source) -> None:
        error = hostile.attempt("write_root").error
        assert error.startswith("cannot write / (Read-only file system), /usr/bin (Read-only file system)")
        assert error.endswith("/dativo (Read-only file system)")

    def test_it_can_only_write_where_there_is_a_limit(self, hostile: Source) -> None:
        assert hostile.attempt("write_disk").error == "cannot find a writable place without a limit"

    def test_it_cannot_change_its_own_configuration(self, hostile: Source) -> None:
        assert "cannot write its own configuration" in hostile.attempt("own_file").error

    def test_it_cannot_reach_a_network_it_was_not_given(self, hostile: Source) -> None:
        error = hostile.attempt("network", host="192.0.2.1", port=80).error
        assert error == "cannot reach 192.0.2.1: [Errno 101] Network is unreachable"

    def test_a_setuid_program_gives_it_no_privileges(self, hostile: Source) -> None:
        error = hostile.attempt("setuid").error
        assert re.fullmatch(r"cannot gain privileges: setuid root ran with uid \d+ and capabilities 0{16}", error)

    def test_it_has_no_capabilities(self, hostile: Source) -> None:
        error = hostile.attempt("capabilities").error
        assert error.startswith("cannot do mount (Operation not permitted), unshare (Operation not permitted)")
        assert error.endswith(f"CapEff {0:016}, CapBnd {0:016}, CapPrm {0:016}, NoNewPrivs 1, Seccomp 2")

    def test_it_cannot_read_another_runs_files(self, hostile: Source, source: Make) -> None:
        other = source("hostile", container=SMALL)
        with other.running(config={"attempt": "wait", "password": "half-another-run"}) as victim:
            os.read(victim.stdout, 1)
            assert "cannot find another run's secret" in hostile.attempt("other_run", half="half").error

    def test_it_is_given_the_means_to_find_its_own_secret(self, source: Make) -> None:
        """What makes the search for another run's worth something: it does find what can be read."""
        looking = source("hostile", container=SMALL, environment={"SECRET": "half-another-run"})
        assert "/environ" in looking.attempt("other_run", half="half").got

    def test_it_cannot_fork_without_end(self, hostile: Source, together: None) -> None:
        assert re.search(r"cannot fork after \d\d? processes: Resource temporarily unavailable", hostile.attempt("fork").error)

    def test_memory_beyond_its_limit_ends_it_and_the_error_names_the_limit(self, hostile: Source, together: None) -> None:
        error = hostile.attempt("memory").error
        assert "SIGKILL: out of memory: its limit is 256 MiB (exit code 137)" in error
        assert re.search("raise .*memory", error)

    def test_temporary_files_beyond_their_limit_are_refused(self, hostile: Source) -> None:
        assert re.search(r"cannot write /tmp after 1\d MiB: .*No space left", hostile.attempt("fill_tmp").error)

    def test_temporary_files_count_as_memory(self, source: Make, together: None) -> None:
        greedy = source("hostile", container=ContainerOptions(network="none", memory_bytes=64 << 20))
        assert "out of memory: its limit is 64 MiB" in greedy.attempt("fill_tmp").error

    def test_its_files_are_its_own_and_its_home_is_writable(self, source: Make) -> None:
        got = source("hostile").attempt("identity").got
        assert got["uid"] == 1000
        assert got["files"] == {"/dativo/config.json": "0o400", "/dativo/catalog.json": "0o400"}
        assert (got["home"], got["directory"]) == ("/home/airbyte", "/airbyte/integration_code")

    def test_it_gets_nothing_of_this_environment(
        self, source: Make, own_variables: set[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the host")
        got = source("hostile", environment={"WORKER_JOB_ID": "7"}).attempt("identity").got
        assert set(got["environment"]) == {"PATH", "LANG", "HOME", "AIRBYTE_ENTRYPOINT", "WORKER_JOB_ID"} | own_variables
