"""What a plugin logs."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from dativo_sdk._program.airbyte import AirbyteVoice
from dativo_sdk._program.output import NobodyListens

_LEVELS = {"DEBUG": "DEBUG", "INFO": "INFO", "WARNING": "WARN", "ERROR": "ERROR", "CRITICAL": "FATAL"}


class _Handler(logging.Handler):
    def __init__(self, voice: AirbyteVoice) -> None:
        super().__init__()
        self._voice = voice

    def emit(self, record: logging.LogRecord) -> None:
        # The next batch ends the program; a thread of the plugin's is not to be ended by its own log.
        with suppress(NobodyListens):
            self._voice.log(_LEVELS.get(record.levelname, "INFO"), self.format(record))


@contextmanager
def spoken(voice: AirbyteVoice | None, *, debug: bool) -> Iterator[None]:
    """Sends what is logged meanwhile as LOG messages; without a voice to stderr."""
    handler = logging.StreamHandler(sys.stderr) if voice is None else _Handler(voice)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s" if voice is None else "%(message)s"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
