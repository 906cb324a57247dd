"""How far a run is, for whoever watches it from another thread."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

__all__ = ["Phase", "Progress", "ProgressSnapshot", "StreamProgress"]

Phase: TypeAlias = Literal[
    "waiting", "installing", "discovering", "starting", "reading", "committing", "done", "failed", "interrupted"
]


@dataclass(frozen=True, slots=True)
class StreamProgress:
    """One stream so far.

    Attributes:
        rows: Rows handed to the target, committed or not.
        bytes: Their size as Arrow data.
        rejects: Rows handed to quarantine.
        committed: Rows and rejects that are durable.
    """

    rows: int = 0
    bytes: int = 0
    rejects: int = 0
    committed: int = 0


@dataclass(frozen=True, slots=True)
class ProgressSnapshot:
    """A consistent view at one moment.

    Attributes:
        run_id: Empty until the run has its lock.
        streams: In the order in which they were announced, by the stream's name as text.
        bytes_in: Bytes that came out of the connector.
        commits: Checkpoints committed so far.
        last_commit: `time.time()` of the last one, or None.
        elapsed: Seconds since the run was asked for.
    """

    phase: Phase = "waiting"
    run_id: str = ""
    streams: dict[str, StreamProgress] = field(default_factory=dict)
    bytes_in: int = 0
    commits: int = 0
    last_commit: float | None = None
    elapsed: float = 0.0

    @property
    def rows(self) -> int:
        return sum(stream.rows for stream in self.streams.values())

    @property
    def rejects(self) -> int:
        return sum(stream.rejects for stream in self.streams.values())


class Progress:
    """Written by the run, read by any thread through `snapshot`; updates are per batch, never per row."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._now = ProgressSnapshot()

    def snapshot(self) -> ProgressSnapshot:
        with self._lock:
            return replace(self._now, streams=dict(self._now.streams), elapsed=time.monotonic() - self._started)

    def phase(self, phase: Phase) -> None:
        with self._lock:
            self._now = replace(self._now, phase=phase)

    def run(self, run_id: str) -> None:
        with self._lock:
            self._now = replace(self._now, run_id=run_id)

    def add(self, stream: str, *, rows: int = 0, nbytes: int = 0, rejects: int = 0, bytes_in: int | None = None) -> None:
        """Adds to a stream's counts; a stream is announced by adding nothing."""
        with self._lock:
            old = self._now.streams.get(stream, StreamProgress())
            self._now.streams[stream] = replace(
                old, rows=old.rows + rows, bytes=old.bytes + nbytes, rejects=old.rejects + rejects
            )
            if bytes_in is not None:
                self._now = replace(self._now, bytes_in=bytes_in)

    def committed(self) -> None:
        """All that was added until now is durable."""
        with self._lock:
            streams = {name: replace(s, committed=s.rows + s.rejects) for name, s in self._now.streams.items()}
            self._now = replace(self._now, streams=streams, commits=self._now.commits + 1, last_commit=time.time())
