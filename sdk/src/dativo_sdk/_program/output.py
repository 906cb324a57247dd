"""A program's stdout, which belongs to its messages alone."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

from dativo_protocols import Batch, write_arrow_frame

from dativo_sdk._reader import Piece


class NobodyListens(BaseException):
    """Whoever read the output has closed it. No error that a plugin could catch: there is nothing left to do for it."""


class Output:
    """Takes stdout for messages: whatever the plugin or its libraries print goes to stderr from then on.

    A message is written whole, whichever thread has it. One that was cut short, by a signal or by an error, is the last.
    """

    def __init__(self) -> None:
        self._intact = True
        self._lock = threading.Lock()
        _flush()
        self._fd = os.dup(1)
        os.dup2(2, 1)

    def line(self, data: bytes) -> None:
        """Writes a message, or several, each with its line feed.

        Raises:
            NobodyListens: The output was closed.
        """
        with self._message() as whole:
            left = memoryview(data if whole else b"")
            while left:
                try:
                    left = left[os.write(self._fd, left) :]
                except BlockingIOError:
                    select.select((), (self._fd,), ())

    def frame(self, piece: Piece, emitted_at: int) -> None:
        """Writes a BATCH or REJECTS message, Arrow data and all.

        Raises:
            NobodyListens: The output was closed.
            TypeError: Arrow IPC cannot carry the data; nothing was written.
        """
        kind: Literal["batch", "rejects"] = "batch" if isinstance(piece, Batch) else "rejects"
        with self._message() as whole:
            if whole:
                write_arrow_frame(self._fd, piece.stream, piece.data, kind=kind, emitted_at=emitted_at)

    def close(self) -> None:
        """Gives stdout back."""
        _flush()
        os.dup2(self._fd, 1)
        os.close(self._fd)

    @contextmanager
    def _message(self) -> Iterator[bool]:
        with self._lock:
            whole, self._intact = self._intact, False
            try:
                yield whole
            except BrokenPipeError:
                raise NobodyListens from None
            except (TypeError, ValueError):
                self._intact = whole
                raise
            self._intact = whole


def _flush() -> None:
    if sys.stdout is not None:
        with suppress(ValueError, OSError):
            sys.stdout.flush()
