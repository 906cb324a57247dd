"""What a reader's thread hands over, bounded in bytes: a slow target holds the reader back."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class QueueClosedError(Exception):
    """Nobody listens any more: whoever reads is to end."""


class ByteQueue(Generic[T]):
    """One thread puts, another one gets. A piece that is larger than the limit goes through alone.

    Args:
        limit_bytes: More than that waits.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._items: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._ended = False
        self._closed = False
        self._error: BaseException | None = None
        self._heard_at = time.monotonic()

    def put(self, item: T, nbytes: int) -> None:
        """Waits for room.

        Raises:
            QueueClosedError: It was closed, before or meanwhile.
        """
        with self._changed:
            while self._items and self._bytes + nbytes > self._limit and not self._closed:
                self._changed.wait()
            if self._closed:
                raise QueueClosedError
            self._items.append((item, nbytes))
            self._bytes += nbytes
            self._heard_at = time.monotonic()
            self._changed.notify_all()

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more comes; after what is there already, `get` raises this error, or gives None."""
        with self._changed:
            self._ended = True
            self._error = error
            self._changed.notify_all()

    def heard(self) -> None:
        """The reader has said something that is no piece, so it is not stalled."""
        self._heard_at = time.monotonic()

    def get(self, stall_seconds: float = 0.0) -> T | None:
        """The next piece, or None at the end.

        Args:
            stall_seconds: How long the reader may say nothing while somebody waits here; 0 waits for ever.

        Raises:
            TimeoutError: It has said nothing for so long.
            BaseException: What the reader ended with.
        """
        waits_from = time.monotonic()
        with self._changed:
            while not self._items and not self._ended:
                left = None
                if stall_seconds:
                    left = stall_seconds - (time.monotonic() - max(waits_from, self._heard_at))
                    if left <= 0:
                        raise TimeoutError
                self._changed.wait(left)
            if self._items:
                item, nbytes = self._items.popleft()
                self._bytes -= nbytes
                self._changed.notify_all()
                return item
            if self._error is not None:
                raise self._error
            return None

    def close(self) -> None:
        """Drops what is there; whoever puts is told to end."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._bytes = 0
            self._changed.notify_all()

    @property
    def is_closed(self) -> bool:
        """Whether anybody still listens."""
        return self._closed
