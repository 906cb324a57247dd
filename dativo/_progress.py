"""How far a run is, for whoever watches it from another thread."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import field, replace
from typing import Literal, TypeAlias

from dativo_protocols import frozen

__all__ = ["Phase", "Progress", "ProgressSnapshot", "StreamProgress"]

Phase: TypeAlias = Literal[
    "waiting", "installing", "discovering", "starting", "reading", "committing", "retrying", "done", "failed", "interrupted"
]


@frozen
class StreamProgress:
    """One stream so far.

    Attributes:
        rows: Rows handed to the target, committed or not.
        bytes: Their size as Arrow data.
        rejects: Rows handed to quarantine.
        committed: Rows and rejects that are durable.
        estimate: Rows that the connector expects in all, or None.
        status: What the connector said of it last, or None: `STARTED`, `RUNNING`, `COMPLETE`, `INCOMPLETE`.
        limited_until: `time.time()` at which the connector's source lets it go on, or None; it may be past.
    """

    rows: int = 0
    bytes: int = 0
    rejects: int = 0
    committed: int = 0
    estimate: int | None = None
    status: str | None = None
    limited_until: float | None = None

    @property
    def share(self) -> float | None:
        """How much of it has come, from 0 to 1; None where nobody knows."""
        if self.status == "COMPLETE":
            return 1.0
        # Estimates are no promises: nothing is done before the connector says so.
        return min((self.rows + self.rejects) / self.estimate, 0.99) if self.estimate else None


@frozen
class ProgressSnapshot:
    """A consistent view at one moment.

    Attributes:
        run_id: Empty until the run has its lock.
        streams: In the order in which they were announced, by the stream's name as text.
        bytes_in: Bytes that came out of the connector.
        commits: Checkpoints committed so far.
        last_commit: `time.time()` of the last one, or None.
        elapsed: Seconds since the run was asked for.
        attempt: Which attempt of the run it is, from 1; the streams' counts are those of this attempt.
        retry_at: `time.time()` of the next attempt while the run waits for it, else None.
        reason: Why it waits.
        estimate: Rows of all streams that the connector expects, or None.
    """

    phase: Phase = "waiting"
    run_id: str = ""
    streams: dict[str, StreamProgress] = field(default_factory=dict)
    bytes_in: int = 0
    commits: int = 0
    last_commit: float | None = None
    elapsed: float = 0.0
    attempt: int = 1
    retry_at: float | None = None
    reason: str = ""
    estimate: int | None = None

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

    @property
    def committing(self) -> bool:
        """Takes no lock, for signal handlers."""
        return self._now.phase == "committing"

    def attempt(self, number: int) -> None:
        """Another attempt begins: streams are counted anew, commits go on."""
        with self._lock:
            self._now = replace(self._now, phase="starting", attempt=number, streams={}, retry_at=None, reason="", estimate=None)

    def retrying(self, seconds: float, reason: str) -> None:
        """The attempt has failed, and another one follows."""
        with self._lock:
            self._now = replace(self._now, phase="retrying", retry_at=time.time() + seconds, reason=reason)

    def estimate(self, stream: str | None, rows: int) -> None:
        """What the connector expects of a stream, or of all for None."""
        with self._lock:
            if stream is None:
                self._now = replace(self._now, estimate=rows)
            else:
                self._now.streams[stream] = replace(self._now.streams.get(stream, StreamProgress()), estimate=rows)

    def status(self, stream: str, status: str, limited_until: float | None) -> None:
        """What the connector says of a stream."""
        with self._lock:
            old = self._now.streams.get(stream, StreamProgress())
            self._now.streams[stream] = replace(old, status=status, limited_until=limited_until)

    def limited_for(self) -> float:
        """Seconds until the last of the connector's rate limits ends that has an end; 0 where there is none."""
        now = time.time()
        limits = [stream.limited_until for stream in self.snapshot().streams.values()]
        return max((until - now for until in limits if until is not None and now < until < math.inf), default=0.0)

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
