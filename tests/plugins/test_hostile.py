"""A hostile plugin gets nowhere; the run's error says what it ran into. One attack, one test; the list is `hostile.py`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dativo_engines import SandboxFile, SandboxOptions
from dativo_engines.plugins import Means
from dativo_engines.plugins._levels import SCOPED
from dativo_engines.plugins._process import LOG_BYTES

from tests.plugins.host import Service
from tests.plugins.hostile import ATTACKS
from tests.plugins.plugin import HOSTILE, Answer, Plugin

MIB = 1 << 20
SMALL: dict[str, Any] = {
    "memory_bytes": 192 * MIB,
    "processes": 32,
    "open_files": 128,
    "file_bytes": 8 * MIB,
    "tmp_bytes": 16 * MIB,
    "output_bytes": 32 * MIB,
    "cpu_seconds": 3.0,
    "seconds": 40.0,
}
# What the error says of attacks that a limit ends from outside.
ENDED = {
    "fill_memory": "out of memory: its limit is 192 MiB",
    "flood_stdout": "more output than its limit of 32 MiB",
    "write_an_endless_line": "more output than its limit of 32 MiB",
    "use_processors_without_end": "more processor time than its limit of 3 seconds",
    "never_end": "it ran longer than its limit of 2 seconds",
}
# Those that do no harm where nothing stops them: they show that what is looked for can be found.
HARMLESS = (
    "read_another_tenants_files",
    "read_state",
    "read_secrets_of_the_run",
    "read_homes",
    "escape_by_proc",
    "use_services_of_the_host",
    "use_unix_sockets",
    "see_processes",
    "signal_and_trace",
    "open_files_without_end",
    "read_its_environment",
    "use_risky_calls",
)
Attacked = tuple[dict[str, Any], Service]
pytestmark = pytest.mark.usefixtures("strict")


@pytest.fixture
def attack(tmp_path: Path, attacked: Attacked) -> Callable[..., Answer]:
    """Lets the plugin try, with small limits and a folder that it may write to."""
    config, _ = attacked

    def run(name: str, **sandbox: Any) -> Answer:
        files = (SandboxFile(Path(config["writable"]), writable=True),)
        return Plugin(HOSTILE, tmp_path, SandboxOptions(**{**SMALL, "files": files, **sandbox})).attack(name, config)

    return run


@pytest.mark.parametrize("name", [name for name in ATTACKS if name not in ENDED and name != "reach_past_a_declared_host"])
def test_it_is_refused(name: str, attack: Callable[..., Answer], attacked: Attacked) -> None:
    # It reads all that there is, which is more on some machines.
    answer = attack(name, **({"cpu_seconds": 30.0} if name == "search_for_secrets" else {}))
    if name == "outlive_its_parent":
        assert answer.got == "left"
        alive = Path(attacked[0]["writable"], "alive")
        before = alive.stat().st_size
        time.sleep(0.4)
        assert (before > 0, alive.stat().st_size) == (True, before)
    else:
        assert answer.exit.code == 1, (answer.stdout[:2000], answer.failure)
        assert answer.failure.message.startswith("`plugin` failed: cannot "), answer.failure
        assert answer.failure.exit_code == 10
    assert attacked[1].arrived == []


@pytest.mark.parametrize("name", ENDED)
def test_it_is_ended_and_the_error_says_why(name: str, attack: Callable[..., Answer]) -> None:
    began = time.monotonic()
    answer = attack(name, **({"seconds": 2.0} if name == "never_end" else {}))
    assert ENDED[name] in answer.failure.message
    assert (answer.failure.exit_code, time.monotonic() - began < 35) == (10, True)
    assert "raise `sandbox: {" in (answer.failure.hint or "")
    assert len(answer.stdout) <= 32 * MIB


def test_a_declared_host_is_no_way_to_others(attack: Callable[..., Answer], attacked: Attacked) -> None:
    config, service = attacked
    other = Service()
    config.update(declared="localhost", declared_port=service.port, other_port=other.port)
    answer = attack("reach_past_a_declared_host", network=(f"localhost:{service.port}",))
    assert "cannot connect to" in answer.failure.message
    assert (service.arrived, other.arrived) == ([], [])


@pytest.mark.parametrize("name", ["escape_by_descriptor", "run_setuid_programs", "make_namespaces", "change_the_kernel"])
def test_a_declared_host_gives_it_nothing_else(name: str, attack: Callable[..., Answer]) -> None:
    """For it, the entrance has a descriptor and privileges."""
    assert "cannot " in attack(name, network=("localhost:1", "192.0.2.7:5432")).failure.message


def test_the_machines_network_brings_no_sockets_of_the_machine(attack: Callable[..., Answer], strict: Means) -> None:
    if strict.landlock < SCOPED:
        pytest.skip("this kernel's Landlock does not know abstract sockets")
    assert "cannot connect to" in attack("use_unix_sockets", network="all").failure.message


def test_a_flood_of_logs_is_not_kept(tmp_path: Path, strict: Means) -> None:
    flooding = Plugin(HOSTILE, tmp_path)
    answer = flooding.attack("flood_stderr", {})
    assert answer.failure.message == "`plugin` failed: cannot do more than write (exit code 1)"
    assert sum(len(line) for _, line in flooding.log) <= LOG_BYTES + 1000
    assert flooding.log[-1] == ("warning", "it has logged more than 16 MiB: the rest is not kept")


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user is stopped by the host's own rights")
@pytest.mark.parametrize("name", HARMLESS)
def test_it_succeeds_where_nothing_stops_it(name: str, attacked: Attacked, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(attacked[0]))
    command = [sys.executable, str(HOSTILE), name, str(tmp_path / "config.json")]
    ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "TMPDIR": str(tmp_path), "SECRET": "x"})
    assert ended.returncode == 0, ended.stderr
    assert '"got"' in ended.stdout
