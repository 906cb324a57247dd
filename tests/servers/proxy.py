"""A TCP proxy on loopback before a server: its connections can be cut, as a network does it."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable


class Proxy:
    """Passes bytes on to a server until `cut`, or until `sees` says so of bytes that a client sends.

    While the server is away, clients are turned away too.

    Attributes:
        sees: Called with what the client sends, before it is passed on; says `before` or `after` to cut the line there.
    """

    def __init__(self, port: int, sees: Callable[[bytes], str | None] = lambda _: None) -> None:
        self._server = port
        self._sees = sees
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lines: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            # Closing alone does not wake the thread that waits in `accept`.
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        self.cut()

    def cut(self) -> None:
        """Ends all connections at once, without a word to either side."""
        with self._lock:
            for line in self._lines:
                with contextlib.suppress(OSError):
                    line.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._server))
            except OSError:
                client.close()
                continue
            threading.Thread(target=self._pump, args=(client, server), daemon=True).start()

    def _pump(self, client: socket.socket, server: socket.socket) -> None:
        with client, server:
            with self._lock:
                self._lines |= {client, server}
            try:
                with contextlib.suppress(OSError):
                    self._pass(client, server)
            finally:
                with self._lock:
                    self._lines -= {client, server}

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        while True:
            for line in select.select([client, server], [], [])[0]:
                data = line.recv(1 << 16)
                if not data:
                    return
                wanted = self._sees(data) if line is client else None
                if wanted == "before":
                    return
                (server if line is client else client).sendall(data)
                if wanted == "after":
                    # The server gets to work; its answer never arrives.
                    server.recv(1 << 16)
                    return
