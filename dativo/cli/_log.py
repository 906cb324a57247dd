"""Log lines on stderr, for people or for programs, and progress as such lines."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from dativo.cli._figures import count, duration, number, per_second, percent, size
from dativo.cli._terminal import printable

if TYPE_CHECKING:
    from dativo._progress import Progress, ProgressSnapshot

__all__ = ["LEVELS", "LogFormat", "Logger", "log_progress"]

LogFormat = Literal["text", "json"]
LEVELS = ("debug", "info", "warning", "error")


class Logger:
    """Writes lines of at least a level to stderr, or to `sink`; from any thread.

    Args:
        lowest: One of `LEVELS`.
        sink: Takes each line instead of stderr, for example to write above a live display.
    """

    def __init__(self, *, form: LogFormat = "text", lowest: str = "warning", sink: Callable[[str], None] | None = None) -> None:
        self.form = form
        self.sink = sink
        self._lowest = LEVELS.index(lowest)
        self._lock = threading.Lock()

    def __call__(self, level: str, message: str) -> None:
        """What a connector or Dativo logs."""
        if LEVELS.index(level) >= self._lowest:
            self.event(level, message)

    def event(self, level: str, message: str, **facts: Any) -> None:
        """Writes a line whatever its level. Facts only show in JSON."""
        now = datetime.now(UTC)
        if self.form == "json":
            line = json.dumps({"time": now.isoformat(timespec="milliseconds"), "level": level, "message": message, **facts})
        else:
            line = f"{now.astimezone():%H:%M:%S} {level:<7} {printable(message)}"
        if self.sink is not None:
            self.sink(line)
            return
        with self._lock:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()


@contextmanager
def log_progress(progress: Progress, logger: Logger, *, seconds: float) -> Iterator[None]:
    """Logs how far the run is, at most once in so many seconds and only when something changed; 0 logs nothing."""
    ended = threading.Event()

    def watch() -> None:
        before = progress.snapshot()
        while not ended.wait(seconds):
            now = progress.snapshot()
            # What it waits for has a line of its own.
            if now.phase == "retrying":
                continue
            if (now.phase, now.rows, now.rejects, now.commits) != (before.phase, before.rows, before.rejects, before.commits):
                logger.event("info", _progress_line(before, now), **_facts(now))
                before = now

    thread = threading.Thread(target=watch, name="progress", daemon=True)
    if seconds:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        if seconds:
            thread.join()


def _progress_line(before: ProgressSnapshot, now: ProgressSnapshot) -> str:
    seconds = now.elapsed - before.elapsed
    parts: list[str] = [now.phase]
    if now.streams:
        parts.append(f"{number(now.rows, 'row')}, {count(round(per_second(now.rows - before.rows, seconds)))} rows/s")
        parts.append(f"{size(per_second(now.bytes_in - before.bytes_in, seconds))}/s")
        parts += [f"{count(now.rejects)} rejected"] * bool(now.rejects)
        parts.append(number(now.commits, "commit"))
        last, newest = list(now.streams.items())[-1]
        parts.append(f"newest stream `{last}`" + (f", {percent(newest.share)} of it" if newest.share is not None else ""))
    return f"{', '.join(parts)} ({duration(now.elapsed)})"


def _facts(now: ProgressSnapshot) -> dict[str, Any]:
    return {
        "event": "progress",
        "run_id": now.run_id,
        "phase": now.phase,
        "attempt": now.attempt,
        "seconds": round(now.elapsed, 3),
        "bytes_in": now.bytes_in,
        "commits": now.commits,
        "streams": {
            name: {
                "rows": s.rows,
                "bytes": s.bytes,
                "rejected": s.rejects,
                "committed": s.committed,
                "estimate": s.estimate,
                "status": s.status,
            }
            for name, s in now.streams.items()
        },
    }
