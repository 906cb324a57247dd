"""What comes in at a writer's stdin: lines of JSON, and Arrow data behind some of them."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import Any

from dativo_protocols import ContractError

from dativo_sdk._writer_wire import MAX_LINE_BYTES, parse

_BUFFER_BYTES = 1 << 20


class HostIsGone(Exception):
    """The input ended without a CLOSE."""


def own_stdin() -> int:
    """A descriptor of this process's stdin; what the plugin reads from stdin from then on is nothing."""
    fd = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return fd


class Requests:
    """Reads requests; takes the descriptor as its own.

    Raises, when it is iterated over:
        HostIsGone: It ended, between messages or within one.
        ContractError: What came is no request.
    """

    def __init__(self, fd: int) -> None:
        self._input = io.BufferedReader(io.FileIO(fd, "rb"), _BUFFER_BYTES)

    @classmethod
    def of_stdin(cls) -> Requests:
        """Of this process; see `own_stdin`."""
        return cls(own_stdin())

    def __iter__(self) -> Iterator[tuple[dict[str, Any], bytes]]:
        while True:
            text = self._input.readline(MAX_LINE_BYTES)
            if not text.endswith(b"\n"):
                if len(text) == MAX_LINE_BYTES:
                    raise ContractError(f"the host sent a request of more than {MAX_LINE_BYTES} bytes")
                raise HostIsGone
            if not text.strip():
                continue
            try:
                said = parse(text)
                size = int(said.get("bytes", 0)) if said["type"] in ("BATCH", "REJECTS") else 0
                if size < 0:
                    raise ValueError("`bytes` is below 0")
            except (ValueError, TypeError) as error:
                raise ContractError(f"the host sent what is no request: {error}") from None
            yield said, self._exactly(size)

    def close(self) -> None:
        """Closes the descriptor."""
        self._input.close()

    def _exactly(self, size: int) -> bytes:
        data = self._input.read(size)
        if len(data) < size:
            raise HostIsGone
        return data
