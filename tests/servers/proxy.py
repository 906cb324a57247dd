"""A TCP proxy on loopback that fails as networks do: connections break, are refused, or lose an answer."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

CHUNK = 1 << 16


class Proxy:
    """Passes bytes on to a server, until it is told otherwise.

    Attributes:
        port: Where it listens.
        cut: While it is true, connections are closed as soon as they are made.
        lose_answer_to: The answer to the next request that begins so is not passed on: the connection is closed instead.
        lost: How many answers were lost.
        refused: How many connections were closed because of `cut`.
    """

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.cut = False
        self.lose_answer_to: bytes | None = None
        self.lost = 0
        self.refused = 0
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def break_connections(self) -> None:
        """Ends all that are open."""
        with self._lock:
            for each in self._open:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()
        self.break_connections()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.cut:
                self.refused += 1
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self._upstream))
            with self._lock:
                self._open |= {client, server}
            doomed = threading.Event()
            threading.Thread(target=self._requests, args=(client, server, doomed), daemon=True).start()
            threading.Thread(target=self._answers, args=(server, client, doomed), daemon=True).start()

    def _requests(self, client: socket.socket, server: socket.socket, doomed: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(CHUNK):
                if self.lose_answer_to is not None and data.startswith(self.lose_answer_to):
                    self.lose_answer_to = None
                    doomed.set()
                server.sendall(data)
        self._end(client, server)

    def _answers(self, server: socket.socket, client: socket.socket, doomed: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(CHUNK):
                if doomed.is_set():
                    self.lost += 1
                    break
                client.sendall(data)
        self._end(client, server)

    def _end(self, *sockets: socket.socket) -> None:
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        with self._lock:
            self._open.difference_update(sockets)


@contextlib.contextmanager
def proxy(upstream: int) -> Iterator[Proxy]:
    """One to a port of this machine."""
    made = Proxy(upstream)
    try:
        yield made
    finally:
        made.close()
