"""A hostile image gets nowhere in Docker, and the run's error says what it ran into."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from dativo_engines import ContainerOptions

from tests.images.confinement import Confinement, Make

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("docker")]


@pytest.fixture
def own_variables() -> set[str]:
    """What the runtime itself sets."""
    return {"HOSTNAME"}


class TestDocker(Confinement):
    """What is the same in a sandbox."""


def test_the_network_that_the_job_chose_is_reached(source: Make, gateway: str) -> None:
    with socket.create_server((gateway, 0)) as server:
        given = source("hostile", container=ContainerOptions(network="bridge"))
        assert given.attempt("network", host=gateway, port=server.getsockname()[1]).got == "connected"


def test_nobody_on_the_engines_machine_can_read_its_files(source: Make, engine: Any) -> None:
    with source("hostile").running(config={"attempt": "wait"}) as running:
        os.read(running.stdout, 1)
        (volume,) = engine.volumes(filters={"label": f"dativo.pid={os.getpid()}"})["Volumes"]
        folder = Path(volume["Mountpoint"])
        if not folder.exists():
            pytest.skip("the engine's disk is not this machine's, or only root can look")
        assert not any(parent.stat().st_mode & 0o001 for parent in folder.parents if parent.name == "docker")
        assert [(path.stat().st_uid, path.stat().st_mode & 0o777) for path in folder.iterdir()] == [(1000, 0o400)]
