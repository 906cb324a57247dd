"""SIGINT and SIGTERM end a command in order; the second one ends it at once."""

from __future__ import annotations

import errno
import os
import select
import signal
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Interrupted", "commit_goes_on", "end_when_nobody_reads", "interruptible", "reader_left", "spoken_through"]

LOOKS_SECONDS = 0.2


class Interrupted(KeyboardInterrupt):
    """A signal asked for the end.

    Attributes:
        signal: Its name, for example `SIGTERM`.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.signal = name


def _write(line: str) -> None:
    # A newline first: the terminal has echoed `^C`.
    os.write(2, f"\n{line}\n".encode())


_say: Callable[[str], None] = _write
_left = False
_quiet = False


def reader_left() -> None:
    """Notes that a `BrokenPipeError` of stdout is on its way up: a second one would cut the closing of the connector short."""
    global _left
    _left = True


@contextmanager
def spoken_through(say: Callable[[str], None]) -> Iterator[None]:
    """Lets the word on an interruption go through what owns the terminal just now."""
    global _say
    _say = say
    try:
        yield
    finally:
        _say = _write


def commit_goes_on() -> None:
    """Says that a signal has come, but waits for a commit; for a signal handler."""
    if not _quiet:
        _say("committing, then stopping; a second signal stops at once, without the commit")


@contextmanager
def interruptible(*, quiet: bool) -> Iterator[None]:
    """Raises `Interrupted` in the main thread at the first SIGINT, SIGTERM or SIGHUP; a second one kills the process at once.

    A signal that the parent set to be ignored (`nohup`, a shell's background job) stays ignored.

    Args:
        quiet: Say nothing on stderr when the signal comes.
    """
    global _left, _quiet
    _left, _quiet = False, quiet
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    handled = [number for number, action in before.items() if action is not signal.SIG_IGN]

    def interrupt(number: int, frame: FrameType | None) -> None:
        if _nobody_reads():
            if _left:
                return
            reader_left()
            raise BrokenPipeError(errno.EPIPE, "nobody reads standard output")
        for each in handled:
            signal.signal(each, signal.SIG_DFL)
        if not quiet:
            _say("interrupted: stopping in order; a second signal stops at once")
        raise Interrupted(signal.Signals(number).name)

    for number in handled:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, before[number])


@contextmanager
def end_when_nobody_reads() -> Iterator[None]:
    """Raises `BrokenPipeError` in the main thread soon after the reader of stdout's pipe is gone, even while nothing is written.

    Inside `interruptible` only.
    """
    if not _is_pipe():
        yield
        return
    ended = threading.Event()
    main = threading.main_thread().ident

    def watch() -> None:
        while not ended.wait(LOOKS_SECONDS):
            if _nobody_reads() and main is not None:
                signal.pthread_kill(main, signal.SIGTERM)
                return

    thread = threading.Thread(target=watch, name="reader of stdout", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _is_pipe() -> bool:
    mode = os.fstat(1).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _nobody_reads() -> bool:
    if not _is_pipe():
        return False
    poll = select.poll()
    poll.register(1, 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))
