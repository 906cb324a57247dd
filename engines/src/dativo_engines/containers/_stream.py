"""Takes a container's stdout and stderr apart: the engine sends both on one connection, in frames.

A frame is one byte for the stream (1 stdout, 2 stderr), three of nothing, the length in four bytes, big-endian, and so many
bytes ([Engine API, attach](https://docs.docker.com/reference/api/engine/version/v1.41/#operation/ContainerAttach)).
"""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Callable
from typing import Any

BUFFER_BYTES = 1 << 20
HEADER_BYTES = 8
STDOUT = 1
# The kernel takes no more parts in one call (IOV_MAX).
PARTS = 1000


def own_connection(connection: Any) -> Any:
    """A socket that waits as long as it takes and that nobody else closes, from what the SDK gives as the one of a container."""
    if isinstance(connection, io.RawIOBase):
        own = socket.socket(fileno=os.dup(connection.fileno()))
        # The SDK's timeout made it non-blocking; a source may be silent for hours.
        own.settimeout(None)
        connection._response.close()  # type: ignore[attr-defined]
        return own
    connection.settimeout(None)
    return connection


def receiver(connection: Any) -> Callable[[memoryview], int]:
    """How to read into a buffer: it gives the number of bytes, 0 at the end."""
    if hasattr(connection, "recv_into"):
        return lambda view: int(connection.recv_into(view))

    # That of SSH.
    def receive(view: memoryview) -> int:
        data = connection.recv(len(view))
        view[: len(data)] = data
        return len(data)

    return receive


def demultiplex(
    receive: Callable[[memoryview], int], stdout: Callable[[list[memoryview]], None], stderr: Callable[[bytes], None]
) -> None:
    """Hands on what comes until the end of the connection.

    Frames of any length pass through a buffer of fixed size: their parts are handed on as they arrive, without another copy.

    Args:
        receive: See `receiver`.
        stdout: Called with parts of stdout; the parts are valid during the call.
        stderr: Called with a part of stderr.

    Raises:
        ConnectionError: The connection ended within a frame.
    """
    buffer = bytearray(BUFFER_BYTES)
    view = memoryview(buffer)
    kept = 0
    kind, left = 0, 0
    while count := receive(view[kept:]):
        at, end = 0, kept + count
        parts: list[memoryview] = []
        while True:
            if left:
                part = view[at : min(at + left, end)]
                at += len(part)
                left -= len(part)
                if kind == STDOUT:
                    parts.append(part)
                else:
                    stderr(bytes(part))
            if left or end - at < HEADER_BYTES:
                break
            kind = buffer[at]
            left = int.from_bytes(view[at + 4 : at + HEADER_BYTES], "big")
            at += HEADER_BYTES
        if parts:
            stdout(parts)
        kept = end - at
        view[:kept] = bytes(view[at:end])
    if kept or left:
        raise ConnectionError("the connection to the Docker Engine ended in the middle of the output")


def write_all(fd: int, parts: list[memoryview]) -> None:
    """Writes all parts to a pipe, waiting while it is full."""
    start = 0
    while start < len(parts):
        written = os.writev(fd, parts[start : start + PARTS])
        while start < len(parts) and written >= len(parts[start]):
            written -= len(parts[start])
            start += 1
        if written:
            parts[start] = parts[start][written:]
