"""A run's progress on a terminal: one line a stream, redrawn in place on stderr."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dativo.cli import _terminal
from dativo.cli._figures import count, duration, number, per_second, percent, size

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from dativo._progress import Progress, ProgressSnapshot, StreamProgress

__all__ = ["Speeds", "live_progress", "waits"]

REDRAWS_PER_SECOND = 4
LINES_AROUND = 5


@contextmanager
def live_progress(progress: Progress, title: str) -> Iterator[Callable[[str], None]]:
    """Shows the run until the block ends, then wipes itself away.

    Yields:
        A function that writes a line above the display.
    """
    from rich.live import Live
    from rich.text import Text

    console = _terminal.console(stderr=True)
    speeds = Speeds()

    def draw() -> RenderableType:
        now = progress.snapshot()
        speeds.note(now)
        return _table(now, speeds, title, console)

    with Live(get_renderable=draw, console=console, refresh_per_second=REDRAWS_PER_SECOND, transient=True, redirect_stdout=False):
        yield lambda line: console.print(Text(line))


@dataclass(slots=True)
class _Span:
    """When a stream had its first rows and its latest, in seconds of the run."""

    start: float
    end: float
    rows: int = 0


class Speeds:
    """Rows and bytes a second of each stream, over the time in which it sent rows: a stream that has ended keeps its speed."""

    def __init__(self) -> None:
        self._spans: dict[str, _Span] = {}
        self._last = 0.0

    def note(self, now: ProgressSnapshot) -> None:
        """Takes a snapshot into account; later than all before."""
        for name, stream in now.streams.items():
            span = self._spans.setdefault(name, _Span(self._last, now.elapsed))
            if stream.rows + stream.rejects == 0:
                span.start = now.elapsed
            if stream.rows + stream.rejects != span.rows:
                span.end, span.rows = now.elapsed, stream.rows + stream.rejects
        self._last = now.elapsed

    def seconds(self, name: str) -> float:
        """How long the stream has been sending rows."""
        span = self._spans[name]
        return span.end - span.start

    def latest(self, names: int) -> set[str]:
        """The streams that sent rows last."""
        return set(sorted(self._spans, key=lambda name: self._spans[name].end, reverse=True)[:names])


def _share(now: ProgressSnapshot) -> str:
    """Of what the connector expects of the whole run."""
    return f", {percent(min(now.rows / now.estimate, 0.99))} of {number(now.estimate, 'row')}" if now.estimate else ""


def _table(now: ProgressSnapshot, speeds: Speeds, title: str, console: Console) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    head = Text.assemble(
        (title, "bold"),
        f"  {now.phase}, {duration(now.elapsed)}, {size(now.bytes_in)} read, {number(now.commits, 'commit')}{_share(now)}",
        no_wrap=True,
        overflow="ellipsis",
    )
    lines = [Text(line, style="yellow", no_wrap=True, overflow="ellipsis") for line in waits(now, time.time())]
    if not now.streams:
        return Group(head, *lines)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("stream", no_wrap=True, overflow="ellipsis", header_style="dim")
    estimated = any(stream.share is not None for stream in now.streams.values())
    for column in ("rows", *(("done", "left") if estimated else ()), "rows/s", "MB/s", "rejected", "committed"):
        table.add_column(column, justify="right", no_wrap=True, header_style="dim")
    shown = speeds.latest(max(console.height - LINES_AROUND, 1))
    for name, stream in now.streams.items():
        if name in shown:
            rows, *rest_of_row = _cells(stream, speeds.seconds(name))
            expected = (percent(stream.share), duration(_left(stream, speeds.seconds(name)))) if estimated else ()
            table.add_row(_terminal.printable(name), rows, *expected, *rest_of_row)
    hidden = len(now.streams) - len(shown)
    rest = [Text(f"and {number(hidden, 'more stream')}, {number(now.rows, 'row')} in all", style="dim")] if hidden else []
    return Group(head, *lines, table, *rest)


def _left(stream: StreamProgress, seconds: float) -> float | None:
    """Seconds until the stream is done, at the speed so far; None where nobody knows."""
    if not stream.estimate or not stream.rows or not seconds or stream.status == "COMPLETE":
        return None
    return max(stream.estimate - stream.rows, 0) * seconds / stream.rows


def _whole(seconds: float) -> str:
    """As a clock that counts down."""
    return f"{max(math.ceil(seconds), 0)} s" if seconds < 60 else duration(seconds)


def waits(now: ProgressSnapshot, moment: float) -> list[str]:
    """What the run waits for at a moment in seconds since 1970, a line each."""
    if now.retry_at is not None:
        return [_terminal.printable(f"waiting {_whole(now.retry_at - moment)}, {now.reason}")]
    said = []
    for name, stream in now.streams.items():
        until = stream.limited_until
        if until is not None and until > moment and stream.status != "COMPLETE":
            left = "" if math.isinf(until) else f" {_whole(until - moment)}"
            said.append(_terminal.printable(f"stream `{name}` waits{left}: the source's rate limit is reached"))
    return said


def _cells(stream: StreamProgress, seconds: float) -> tuple[str, ...]:
    rows_per_second = count(round(per_second(stream.rows, seconds))) if seconds else ""
    megabytes_per_second = f"{per_second(stream.bytes, seconds) / 1e6:.1f}" if seconds else ""
    return count(stream.rows), rows_per_second, megabytes_per_second, count(stream.rejects), count(stream.committed)
