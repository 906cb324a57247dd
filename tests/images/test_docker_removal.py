"""However a run ends, nothing of it is left in the engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dativo_engines import ContainerOptions
from dativo_engines.containers import _ownership
from dativo_engines.containers._container import Container
from dativo_protocols import ConfigError

from tests.images.sources import Source

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("docker")]
Make = Callable[..., Source]

# Kills itself in the middle of a read; told to, it kills its watcher first.
VICTIM = """
import os, signal, sys
from pathlib import Path
from tests.images.sources import Source
with Source(sys.argv[1], Path(sys.argv[2])).running(config={"attempt": "wait"}) as running:
    os.read(running.stdout, 1)
    if sys.argv[3] == "alone":
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                parent = int(folder.joinpath("stat").read_text().rpartition(")")[2].split()[1])
                if parent == os.getpid() and b"_watcher.py" in folder.joinpath("cmdline").read_bytes():
                    os.kill(int(folder.name), signal.SIGKILL)
            except OSError:
                pass
    print("killing", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def left(engine: Any, pid: int | None = None) -> list[str]:
    """Containers and volumes of a process; of this one if none is named."""
    mine = {"label": f"{_ownership.PID}={pid or os.getpid()}"}
    containers = [container["Names"][0] for container in engine.containers(all=True, filters=mine)]
    return containers + [volume["Name"] for volume in engine.volumes(filters=mine)["Volumes"] or ()]


@pytest.fixture(autouse=True)
def nothing_left(engine: Any) -> Iterator[None]:
    yield
    assert left(engine) == []


def victim(source: Source, tmp_path: Path, how: str) -> int:
    """The pid of a process that died in the middle of a read."""
    command = [sys.executable, "-c", VICTIM, source.image, str(tmp_path / "victim"), how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        stdout, stderr = process.communicate(timeout=120)
    assert (process.returncode, stdout) == (-signal.SIGKILL, "killing\n"), stderr
    return process.pid


def test_a_run_that_ends_well_leaves_nothing(source: Make, engine: Any) -> None:
    assert source("hostile").attempt("long_line", bytes=1).exit.code == 0
    assert left(engine) == []


def interrupted(running: Container) -> None:
    os.read(running.stdout, 1)
    raise KeyboardInterrupt


def test_an_interruption_in_the_middle_leaves_nothing(source: Make, engine: Any) -> None:
    with pytest.raises(KeyboardInterrupt), source("hostile").running(config={"attempt": "flood"}) as running:
        interrupted(running)
    assert left(engine) == []


def test_a_source_that_cannot_be_started_leaves_nothing(source: Make, engine: Any) -> None:
    broken = source("hostile", container=ContainerOptions(network="dativo-no-such-network"))
    with broken.prepared() as runtime:
        with pytest.raises(ConfigError):
            runtime.start(["check"], {"config.json": b"{}"})
        assert left(engine) == []


def test_after_sigkill_in_the_middle_of_a_read_the_watcher_removes_everything(source: Make, engine: Any, tmp_path: Path) -> None:
    pid = victim(source("hostile"), tmp_path, "watched")
    deadline = time.monotonic() + 30
    while left(engine, pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left(engine, pid) == []


def test_after_sigkill_of_the_watcher_as_well_the_next_start_removes_everything(
    source: Make, engine: Any, tmp_path: Path
) -> None:
    other = source("hostile")
    pid = victim(other, tmp_path, "alone")
    assert len(left(engine, pid)) == 2
    with other.prepared():
        assert left(engine, pid) == []
    assert any("removing container `dativo-" in line for _, line in other.log)


def test_the_next_start_leaves_living_runs_alone(source: Make) -> None:
    with source("hostile").running(config={"attempt": "wait"}) as running:
        os.read(running.stdout, 1)
        assert source("hostile").attempt("identity").exit.code == 0
        assert running.wait(0) is None


def test_what_a_process_of_another_machine_started_stays(source: Make, engine: Any) -> None:
    labels = {**_ownership.labels("0" * 32), _ownership.HOST: "elsewhere"}
    container = engine.create_container(source("hostile").image, labels=labels)["Id"]
    try:
        with source("hostile").prepared():
            assert engine.inspect_container(container)["State"]["Status"] == "created"
    finally:
        engine.remove_container(container)


def test_what_was_started_before_this_machines_last_start_goes(source: Make, engine: Any) -> None:
    labels = {**_ownership.labels("0" * 32), _ownership.BOOT: "an earlier one"}
    engine.create_container(source("hostile").image, labels=labels)
    with source("hostile").prepared():
        assert left(engine) == []
