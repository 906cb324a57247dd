"""A reader behind a Flight server in another process: asked, read, killed in the midst and read on."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dativo_engines import Connector, EngineOptions, ReadCatalog, Selection, parse_reference
from dativo_engines.flight import FlightEngine
from dativo_protocols import Batch, ConfigError, ConnectorError, State

from .native_readers import NUMBERS
from .readings import read_with, rows

FILE = Path(__file__).with_name("native_readers.py")


class Server:
    """A server's process, on a socket in the folder."""

    def __init__(
        self, folder: Path, reader: str = "Numbers", *more: str, location: str | None = None, **environment: str
    ) -> None:
        self.location = location or f"grpc+unix://{folder}/flight.sock"
        self._command = [sys.executable, "-m", "dativo_sdk.flight", f"{FILE}:{reader}", self.location, *more]
        self._environment = {**os.environ, **environment}
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, env=self._environment)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def engine(self, folder: Path, log: Callable[[str, str], None] | None = None, **environment: str) -> FlightEngine:
        connector = Connector(f"flight:{self.location}", reader=self.location, environment=environment)
        engine = FlightEngine(connector, EngineOptions(folder, log=log))
        for _ in range(150):
            try:
                engine.health()
            except ConnectorError:
                time.sleep(0.1)
            except ConfigError:
                break
            else:
                break
        return engine


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    with contextlib.ExitStack() as stack:

        def start(*arguments: str, **options: Any) -> Server:
            server = Server(tmp_path, *arguments, **options)
            stack.callback(server.kill)
            return server

        yield start


def catalog(engine: FlightEngine) -> ReadCatalog:
    return ReadCatalog(engine.discover({}), {NUMBERS: Selection()})


def test_a_server_is_asked_and_read(serve: Any, tmp_path: Path) -> None:
    engine = serve().engine(tmp_path)
    assert "rows" in engine.spec().config_schema["properties"]
    assert engine.check({"rows": 1}).succeeded
    assert not engine.check({"rows": "many"}).succeeded
    messages, reading = read_with(engine, {"rows": 5}, catalog(engine), None)
    assert ([row["id"] for row in rows(messages)], reading.rows_in) == (list(range(5)), {NUMBERS: 5})
    last = [message.data for message in messages if isinstance(message, State)][-1]
    assert [row["id"] for row in rows(read_with(engine, {"rows": 7}, catalog(engine), last)[0])] == [5, 6]


def test_an_error_of_the_reader_is_raised_here(serve: Any, tmp_path: Path) -> None:
    engine = serve().engine(tmp_path)
    with pytest.raises(ConnectorError, match=r"no row 2, \*\*\*"):
        read_with(engine, {"fail_at": 2, "password": "s3cr3t-value"}, catalog(engine), None)
    with pytest.raises(ConfigError, match="`rows`"):
        engine.discover({"rows": "many"})


def test_a_server_that_is_killed_and_started_anew_is_read_on(serve: Any, tmp_path: Path) -> None:
    server, logged = serve(), []
    engine = server.engine(tmp_path, lambda level, line: logged.append(line))
    seen = []
    with engine.read({"rows": 4000}, catalog(engine), None) as reading:
        for message in reading:
            if isinstance(message, Batch):
                seen += rows([message])
                if len(seen) == 100:
                    server.kill()
                    server.start()
    assert [row["id"] for row in seen] == list(range(4000))
    assert any("trying again from the last state" in line for line in logged)


def test_without_a_server_it_says_so_and_may_be_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, connector = parse_reference("flight:grpc://127.0.0.1:9")
    engine = FlightEngine(connector, EngineOptions(tmp_path))
    with pytest.raises(ConnectorError, match="cannot be reached") as caught:
        engine.spec()
    assert caught.value.exit_code == 75


def test_only_who_knows_the_token_is_let_in(serve: Any, tmp_path: Path) -> None:
    server = serve(DATIVO_FLIGHT_TOKEN="t0ken-value")
    engine = server.engine(tmp_path, DATIVO_FLIGHT_TOKEN="t0ken-value")
    assert engine.check({}).succeeded
    with pytest.raises(ConfigError, match="refuses the token"):
        server.engine(tmp_path, DATIVO_FLIGHT_TOKEN="other").spec()


def test_sigterm_ends_a_server(serve: Any, tmp_path: Path) -> None:
    server = serve()
    server.engine(tmp_path)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(10) == 0


def test_a_socket_that_a_dead_server_left_is_taken(serve: Any, tmp_path: Path) -> None:
    server = serve()
    server.engine(tmp_path)
    server.kill()
    assert (tmp_path / "flight.sock").exists()
    server.start()
    assert server.engine(tmp_path).check({}).succeeded
