"""Signals end a run in order: at once where it waits, after the commit where it commits."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

__all__ = ["Interruption"]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """Holds SIGINT, SIGTERM and SIGHUP back while inside `with`, except inside `with interruption.allowed`.

    There, and there only, they do what they did before: raise `KeyboardInterrupt` (SIGINT), or call the handler that was
    installed; a signal whose action was the system's raises `KeyboardInterrupt` too. One that came before is made up for on
    the way in. A second signal is never held back. A signal that was ignored stays ignored. Outside the main thread, where
    Python delivers no signals, all of this does nothing.

    Args:
        held: Called from the signal handler when it holds a signal back.
    """

    def __init__(self, held: Callable[[], None] | None = None) -> None:
        self._held = held
        self._before: dict[int, Any] = {}
        self._pending: tuple[int, FrameType | None] | None = None
        self._open = False
        self.allowed = _Allowed(self)

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            actions = {number: signal.getsignal(number) for number in SIGNALS}
            # None is a handler that was not installed from Python: it is left alone.
            self._before = {number: action for number, action in actions.items() if action not in (signal.SIG_IGN, None)}
            for number in self._before:
                signal.signal(number, self._handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        for number, action in self._before.items():
            # A handler that was called may have put another one in its own place.
            if signal.getsignal(number) == self._handle:
                signal.signal(number, action)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._open or self._pending is not None:
            self._act(number, frame)
        else:
            self._pending = (number, frame)
            if self._held is not None:
                self._held()

    def _act(self, number: int, frame: FrameType | None) -> None:
        action = self._before[number]
        if callable(action):
            action(number, frame)
        raise KeyboardInterrupt(signal.Signals(number).name)


class _Allowed:
    def __init__(self, interruption: Interruption) -> None:
        self._interruption = interruption

    def __enter__(self) -> None:
        interruption = self._interruption
        interruption._open = True
        if interruption._pending is not None:
            pending, interruption._pending = interruption._pending, None
            interruption._open = False
            interruption._act(*pending)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._interruption._open = False
