"""What a reader logs while it runs in this process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def thread_logs(log: Callable[[str, str], None]) -> Iterator[None]:
    """Hands on what this thread logs with `logging`, as `log(level, line)`, until the block is left."""
    handler = _OfOneThread(threading.get_ident(), log)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


class _OfOneThread(logging.Handler):
    def __init__(self, thread: int, log: Callable[[str, str], None]) -> None:
        super().__init__()
        self._thread = thread
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread != self._thread:
            return
        try:
            text = self.format(record)
        except Exception:
            self.handleError(record)
            return
        level = "error" if record.levelno >= logging.ERROR else "warning" if record.levelno >= logging.WARNING else "info"
        self._log("debug" if record.levelno < logging.INFO else level, text)
