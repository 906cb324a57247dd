"""A store of each kind, empty, with what it takes to open it again, elsewhere too."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from dativo_sdk import JobKey

from dativo._store import Store
from dativo.state import Leasing, StateBackend
from dativo.state._location import Location
from dativo.state._open import open_backend
from tests.servers.seaweedfs import S3Server, seaweedfs
from tests.taps.servers import Server
from tests.taps.servers import postgres as new_postgres

KINDS = ("sqlite", "file", "s3", "postgresql")
SHARED = KINDS[1:]


@dataclass
class Place:
    """Where one store is.

    Attributes:
        uri: As `DATIVO_STATE` has it.
    """

    kind: str
    uri: str
    opened: list[StateBackend] = field(default_factory=list)
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def backend(self) -> StateBackend:
        self.opened.append(open_backend(Location.parse(self.uri)))
        return self.opened[-1]

    def leasing(self) -> Leasing:
        backend = self.backend()
        assert isinstance(backend, Leasing)
        return backend

    def store(self) -> Store:
        return Store(self.backend)

    def start(self, code: str) -> subprocess.Popen[str]:
        """Another process, with `open_store` in scope."""
        environment = os.environ | {"DATIVO_STATE": self.uri}
        command = [sys.executable, "-c", f"from dativo.state._open import open_store\n{code}"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

        self.started.append(process)
        return process

    def pause(self, pid: int, job: JobKey) -> None:
        """Stops the process that has the job's lease right after it renewed it: within a write it would block others."""
        backend = self.leasing()
        before = backend.read_lease(job)
        while (lease := backend.read_lease(job)) == before or lease is None or before is None or lease.beat == before.beat:
            time.sleep(0.01)
        time.sleep(lease.ttl / 16)
        os.kill(pid, signal.SIGSTOP)

    def close(self) -> None:
        """Closes all that were opened here, and ends all that were started, stopped ones too."""
        for backend in self.opened:
            backend.close()
        for process in self.started:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    with seaweedfs() as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    with new_postgres() as server:
        yield server


@pytest.fixture
def new_place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], Place]]:
    """Makes an empty place of a kind, closed at the end."""
    places: list[Place] = []

    def made(kind: str) -> Place:
        places.append(at(kind))
        return places[-1]

    def at(kind: str) -> Place:
        if kind == "sqlite":
            return Place(kind, f"sqlite://{tmp_path / 'state.sqlite'}")
        if kind == "file":
            return Place(kind, f"file://{tmp_path / 'state'}")
        if kind == "s3":
            server = request.getfixturevalue("s3")
            keys = f"access_key_id={server.access_key}&secret_access_key={server.secret_key.replace(' ', '%20')}"
            prefix = f"s3://{server.bucket}/{secrets.token_hex(6)}"
            return Place(kind, f"{prefix}?endpoint={server.endpoint}&region={server.region}&{keys}")
        server = request.getfixturevalue("postgres")
        return Place(kind, f"postgresql://{server.user}@127.0.0.1:{server.port}/postgres?schema=s{secrets.token_hex(6)}")

    yield made
    for place in places:
        place.close()


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, new_place: Callable[[str], Place]) -> Place:
    """An empty place of each kind."""
    return new_place(request.param)


@pytest.fixture(params=SHARED)
def shared(request: pytest.FixtureRequest, new_place: Callable[[str], Place]) -> Place:
    """An empty place of each kind that several machines can reach."""
    return new_place(request.param)
