"""New configurations of a source are handed on when they are read, and not when the rows before them have been written."""

from __future__ import annotations

import threading
from collections.abc import Callable

from dativo_protocols import AirbyteDecoder, Control


class Reconfiguring:
    """A thread that waits for them.

    Args:
        decoder: Of the source's output.
        hand_on: Called with each, from the thread.
    """

    def __init__(self, decoder: AirbyteDecoder, hand_on: Callable[[Control], None]) -> None:
        self._decoder = decoder
        self._hand_on = hand_on
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="dativo-reconfiguring", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Waits until the last one is handed on; the decoder has come to its end, or was closed.

        Raises:
            Exception: What `hand_on` raised first; once.
        """
        self._thread.join()
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _run(self) -> None:
        while self._one():
            pass

    def _one(self) -> bool:
        """Whether there may be another one after it."""
        try:
            control = self._decoder.next_control()
            if control is not None:
                self._hand_on(control)
        except Exception as error:
            self._error = self._error or error
            return True
        return control is not None
