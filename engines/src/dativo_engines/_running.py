"""A connector that was started: what can be asked of it, what it says on stderr, how it ended."""

from __future__ import annotations

import contextlib
import re
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, TypeVar

from dativo_protocols import frozen

from dativo_engines._redaction import Redactor

LINE_BYTES = 64 * 1024
TAIL_LINES = 400
TAIL_LINE_CHARACTERS = 4000

_LEVELS = "DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|FATAL"
_LEVEL = re.compile(
    rf"""^(?:\W*\d[\d:.,+TZ/ -]*)?\W*({_LEVELS})\b|\blevel=({_LEVELS})\b|"level(?:name)?":\s*"({_LEVELS})\b""", re.IGNORECASE
)


@frozen
class Exit:
    """How a process ended.

    Attributes:
        code: Exit code, or None after a signal.
        signal: Number of the signal that ended it, or None.
        max_rss_bytes: Peak resident memory of its largest process.
        cpu_seconds: User and system time, with that of children it waited for.
        cause: What is known of why it was ended, beyond code and signal: `out of memory: its limit is 512 MiB`.
        hint: What the user can do about that.
    """

    code: int | None
    signal: int | None
    max_rss_bytes: int
    cpu_seconds: float
    cause: str | None = None
    hint: str | None = None


def level_of(line: str) -> str:
    """`debug`, `info`, `warning` or `error`, as far as a log line says."""
    found = _LEVEL.search(line)
    name = (found[1] or found[2] or found[3]).lower() if found else ""
    if name in ("error", "critical", "fatal"):
        return "error"
    if name.startswith("warn"):
        return "warning"
    return "debug" if name == "debug" else "info"


class StderrLines:
    """Cuts stderr into lines, masks them, keeps the last ones and hands each on.

    Attributes:
        tail: The last lines, masked.
        heard_at: When it was last fed, or made; of the monotonic clock.
    """

    def __init__(self, redactor: Redactor, log: Callable[[str, str], None] | None) -> None:
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._redactor = redactor
        self._log = log
        self._rest = bytearray()
        self._dropped = 0
        self.heard_at = time.monotonic()

    def feed(self, data: bytes) -> None:
        self.heard_at = time.monotonic()
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._extend(line)
            self._flush()
        self._extend(rest)

    def end(self) -> None:
        if self._rest:
            self._flush()

    def _extend(self, data: bytes) -> None:
        # A secret that starts before the cut is masked whole, so its end must be here too.
        room = max(0, LINE_BYTES + 4 * self._redactor.longest - len(self._rest))
        self._rest += data[:room]
        self._dropped += max(0, len(data) - room)

    def _flush(self) -> None:
        line = self._redactor(self._rest.decode("utf-8", "replace").rstrip("\r"))
        if len(line) > LINE_BYTES or self._dropped:
            line = f"{line[:LINE_BYTES]}… ({max(0, len(line) - LINE_BYTES) + self._dropped} more)"
        self._rest.clear()
        self._dropped = 0
        if not line.strip():
            return
        self.tail.append(line[:TAIL_LINE_CHARACTERS])
        if self._log is not None:
            # A broken log must not stop the connector.
            with contextlib.suppress(Exception):
                self._log(level_of(line), line)


class Running(Protocol):
    """A connector that was started. Leaving its `with` block ends it and everything it started.

    `Started` is what all of them share; `dativo_engines.supervisor.Process` is one.
    """

    @property
    def stdout(self) -> int:
        """File descriptor to read from, for a poll as well; the runtime closes it. End of file is the end of its output.

        Whoever reads slowly holds the connector back: nothing between the two keeps more than a pipe's worth of bytes.
        """
        ...

    @property
    def exit(self) -> Exit | None:
        """How it ended; None while it runs."""
        ...

    @property
    def stderr_tail(self) -> list[str]:
        """The last lines of stderr, masked."""
        ...

    @property
    def idle_seconds(self) -> float:
        """Since it last wrote to stderr, or started."""
        ...

    def wait(self, timeout: float | None = None) -> Exit | None:
        """How it ended, with its stderr complete; None when it is still running after `timeout` seconds.

        Raises:
            ConnectorError: It is gone, and nobody knows how it ended (retryable).
        """
        ...

    def stop(self) -> None:
        """Asks it to end, and kills it after the stop timeout. Does not wait; may be called from another thread."""
        ...

    def close(self) -> None:
        """Ends it and waits for that. May be called twice."""
        ...

    def __enter__(self) -> Running: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


StartedT = TypeVar("StartedT", bound="Started")


class Started:
    """The part of a `Running` that is the same wherever it runs.

    Args:
        stderr: Where its stderr goes.
    """

    def __init__(self, stderr: StderrLines) -> None:
        self._stderr = stderr

    @property
    def stderr_tail(self) -> list[str]:
        """The last lines of stderr, masked."""
        return list(self._stderr.tail)

    @property
    def idle_seconds(self) -> float:
        """Since it last wrote to stderr, or started."""
        return time.monotonic() - self._stderr.heard_at

    def close(self) -> None:
        """Ends it and waits for that. May be called twice."""
        raise NotImplementedError

    def __enter__(self: StartedT) -> StartedT:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()
