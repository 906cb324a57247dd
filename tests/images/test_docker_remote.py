"""An engine that is reached through a network gets and gives the same as the one on this machine."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from dativo_engines.containers import _client, _ownership
from dativo_protocols import ConnectorError

from tests.images.sources import Source

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("docker")]
Make = Callable[..., Source]


def copy(source: socket.socket, target: socket.socket) -> None:
    """Until one side ends."""
    with contextlib.suppress(OSError):
        while part := source.recv(1 << 16):
            target.sendall(part)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


class Proxy:
    """The engine's socket, as a port of this machine."""

    def __init__(self, path: str) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.open: list[socket.socket] = []
        self._path = path
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listening.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(self._path)
                self.open += [near, far]
                for ends in ((near, far), (far, near)):
                    self._threads.append(threading.Thread(target=copy, args=ends))
                    self._threads[-1].start()

    def close(self) -> None:
        """As when the network is lost."""
        with contextlib.suppress(OSError):
            self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        for end in self.open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for end in self.open:
            end.close()


@pytest.fixture
def proxy(engine: Any, source: Make, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    path = _client.socket_path()
    if path is None:
        pytest.skip("the engine is not on this machine")
    source("hostile")
    proxy = Proxy(path)
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{proxy.port}")
    yield proxy
    proxy.close()


def test_files_go_there_and_output_comes_back(proxy: Proxy, tmp_path: Any) -> None:
    remote = Source("dativo-test/hostile:1", tmp_path)
    assert set(remote.attempt("identity").got["files"].values()) == {"0o400"}
    assert len(remote.attempt("flood", bytes=5_000_000).stdout) > 5_000_000


def test_a_network_that_is_lost_in_the_middle_is_told_and_the_next_start_removes_what_it_left(
    proxy: Proxy, engine: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = Source("dativo-test/hostile:1", tmp_path, stop_timeout_seconds=1.0)
    with remote.running(config={"attempt": "wait"}) as running:
        os.read(running.stdout, 1)
        proxy.close()
        with pytest.raises(ConnectorError, match=r"container is gone: the Docker Engine at `tcp://.*` cannot be reached") as lost:
            running.wait(30)
        assert lost.value.retryable
    assert any("the next run tries again" in line for _, line in remote.log)
    mine = {"label": f"{_ownership.PID}={os.getpid()}"}
    assert len(engine.containers(filters=mine)) == 1
    monkeypatch.delenv("DOCKER_HOST")
    with remote.prepared():
        assert engine.containers(all=True, filters=mine) == []
        assert not engine.volumes(filters=mine)["Volumes"]
