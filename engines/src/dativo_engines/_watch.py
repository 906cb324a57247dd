"""What watches over a process while this one waits for its answer."""

from __future__ import annotations

import threading
import time

from dativo_engines._running import Running


class Watch:
    """Ends a process that says nothing for too long while somebody waits for it: used as a context around each wait.

    Args:
        process: What it says on stderr counts.
        seconds: How long it may say nothing; 0 waits for ever.

    Attributes:
        stalled: Whether it was ended.
    """

    def __init__(self, process: Running, seconds: float) -> None:
        self.stalled = False
        self._process = process
        self._seconds = seconds
        self._since: float | None = None
        self._closed = threading.Event()
        if seconds:
            threading.Thread(target=self._watch, name="dativo-stall", daemon=True).start()

    def __enter__(self) -> None:
        self._since = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._since = None

    def close(self) -> None:
        """Nobody waits any more."""
        self._closed.set()

    def _watch(self) -> None:
        while not self._closed.wait(min(self._seconds / 4, 5.0)):
            since = self._since
            if since is None or self._process.exit is not None:
                continue
            if min(time.monotonic() - since, self._process.idle_seconds) > self._seconds:
                self.stalled = True
                self._process.stop()
                return
