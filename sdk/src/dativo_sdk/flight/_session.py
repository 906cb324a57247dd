"""One reading on a server: its reader on a thread of its own, and what it gave, waiting to be fetched."""

from __future__ import annotations

import queue
import secrets
import threading
import time
from typing import Any

from dativo_protocols import Rejects, State, frozen

from dativo_sdk._config import make_config
from dativo_sdk._read_catalog import ReadCatalog
from dativo_sdk._reader import Piece
from dativo_sdk._saved_state import SavedState

WAITING = 2
MAX_ROWS = 65_536


@frozen
class Given:
    """A piece, and the state behind it."""

    piece: Piece
    state: State | None

    @property
    def kind(self) -> str:
        """`batch` or `rejects`."""
        return "rejects" if isinstance(self.piece, Rejects) else "batch"


class Session:
    """Reads from its making on; whoever fetches nothing for `idle_seconds` has gone.

    Attributes:
        id: Hard to guess: whoever knows it may fetch.
    """

    def __init__(
        self,
        plugin: type[Any],
        config: dict[str, Any],
        catalog: ReadCatalog | None,
        state: SavedState | None,
        idle_seconds: float,
    ) -> None:
        self.id = secrets.token_hex(16)
        self._plugin = plugin
        self._config = make_config(plugin, config)
        self._catalog = catalog
        self._state = state
        self._idle = idle_seconds
        self._given: queue.Queue[Given | None] = queue.Queue(WAITING)
        self._peeked: list[Given | None] = []
        self._error: BaseException | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"dativo-session-{self.id[:8]}", daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        """Whether its reader has been closed."""
        return not self._thread.is_alive()

    def next(self) -> Given | None:
        """The next piece, or None at the end.

        Raises:
            Exception: What the reader raised.
        """
        found = self._peeked.pop() if self._peeked else self._take()
        if found is None and self._error is not None:
            raise self._error
        return found

    def put_back(self, given: Given | None) -> None:
        """It is the next one again."""
        self._peeked.append(given)

    def close(self) -> None:
        """Ends the reader, once it comes back. May be called twice."""
        self._closed.set()

    def _take(self) -> Given | None:
        while True:
            try:
                return self._given.get(timeout=1.0)
            except queue.Empty:
                if not self._thread.is_alive() and self._given.empty():
                    return None

    def _run(self) -> None:
        reader = self._plugin()
        try:
            reader.initialize(self._config, self._catalog, self._state)
            while not self._closed.is_set() and (piece := reader.read_batch(MAX_ROWS)) is not None:
                if not self._put(Given(piece, reader.get_incremental_state())):
                    return
        except BaseException as error:
            self._error = error
        finally:
            try:
                reader.close()
            except BaseException as error:
                self._error = self._error or error
        self._put(None)

    def _put(self, given: Given | None) -> bool:
        """Whether there is somebody to fetch it."""
        deadline = time.monotonic() + self._idle
        while not self._closed.is_set() and time.monotonic() < deadline:
            try:
                self._given.put(given, timeout=0.2)
                return True
            except queue.Full:
                continue
        return False
