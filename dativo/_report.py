"""What a run did, for the terminal, for `--json`, and for the run history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from dativo_protocols import frozen
from dativo_protocols.errors import DativoError

__all__ = ["AttemptReport", "ChangeReport", "Report", "RunStatus", "StreamReport"]

RunStatus: TypeAlias = Literal["running", "succeeded", "failed", "interrupted", "crashed"]


@frozen
class ChangeReport:
    """A schema change that this run committed; `kind` is `table` (created), `column` (added) or `type` (widened)."""

    kind: str
    column: str | None
    before: str | None
    after: str | None


@dataclass(slots=True)
class StreamReport:
    """One stream of a run.

    Attributes:
        stream: Its name as text, `namespace.name` where there is a namespace.
        write: How it was written.
        rows_in: Records that the connector sent: in an attempt all of them, in a run those not `repeated`.
        written: Rows committed to the stream's table.
        quarantined: Rows committed to its quarantine table.
        staged: Records that were taken in but not committed, because the run failed.
        repeated: Records of failed attempts that were not committed, before the last attempt, which read them again.
        bytes: Size of its batches as Arrow data.
        changes: Schema changes committed.
        status: The last that the connector said of it: `STARTED`, `RUNNING`, `COMPLETE` or `INCOMPLETE`; None when it says none.
    """

    stream: str
    write: str = ""
    rows_in: int = 0
    written: int = 0
    quarantined: int = 0
    staged: int = 0
    repeated: int = 0
    bytes: int = 0
    changes: list[ChangeReport] = field(default_factory=list)
    status: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "stream": self.stream,
            "write": self.write,
            "rows_in": self.rows_in,
            "written": self.written,
            "quarantined": self.quarantined,
            "staged": self.staged,
            "repeated": self.repeated,
            "bytes": self.bytes,
            "schema_changes": [{"kind": c.kind, "column": c.column, "before": c.before, "after": c.after} for c in self.changes],
            "status": self.status,
        }


class _Sums:
    """Over all streams."""

    __slots__ = ()
    streams: list[StreamReport]

    @property
    def rows_in(self) -> int:
        return sum(stream.rows_in for stream in self.streams)

    @property
    def written(self) -> int:
        return sum(stream.written for stream in self.streams)

    @property
    def quarantined(self) -> int:
        return sum(stream.quarantined for stream in self.streams)

    @property
    def staged(self) -> int:
        return sum(stream.staged for stream in self.streams)


@dataclass(slots=True)
class AttemptReport(_Sums):
    """One attempt of a run; everything is counted from zero.

    Attributes:
        number: From 1.
        waited: Seconds before it started, after the one before it failed.
        seconds: How long it took.
        bytes_in: Bytes that came out of the connector.
        commits: Checkpoints committed, the final one included.
        state_after: The newest state that it committed, or the one it started from.
        error: Why it failed, or None.
    """

    number: int = 1
    waited: float = 0.0
    seconds: float = 0.0
    bytes_in: int = 0
    commits: int = 0
    state_after: bytes | None = None
    streams: list[StreamReport] = field(default_factory=list)
    error: DativoError | None = None

    def to_dict(self) -> dict[str, Any]:
        """Everything but states and single streams."""
        return {
            "number": self.number,
            "waited": self.waited,
            "seconds": self.seconds,
            "rows_in": self.rows_in,
            "written": self.written,
            "quarantined": self.quarantined,
            "staged": self.staged,
            "bytes_in": self.bytes_in,
            "commits": self.commits,
            "error": None if self.error is None else error_to_dict(self.error),
        }


@dataclass(slots=True)
class Report(_Sums):
    """One run of one job: what all its attempts committed, in one sum.

    Attributes:
        started, ended: Seconds since 1970.
        seconds: Wall time of the run, waiting for the lock and building environments included.
        bytes_in: Bytes that came out of the connector.
        commits: Checkpoints committed, the final one included.
        state_before: The state the run started from, exactly as stored; None for a first run.
        state_after: The committed state at the end.
        attempts: One after the other; only the last may have succeeded.
        warnings: What the user should look at although the run went on.
        error: Why the run did not succeed, or None: the last attempt's error.
    """

    run_id: str
    tenant: str
    job: str
    status: RunStatus = "running"
    exit_code: int = 0
    error: DativoError | None = None
    started: float = 0.0
    ended: float = 0.0
    seconds: float = 0.0
    bytes_in: int = 0
    commits: int = 0
    state_before: bytes | None = None
    state_after: bytes | None = None
    streams: list[StreamReport] = field(default_factory=list)
    attempts: list[AttemptReport] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def sum_up(self) -> None:
        """Fills in what the run did from what its attempts did."""
        self.bytes_in = sum(attempt.bytes_in for attempt in self.attempts)
        self.commits = sum(attempt.commits for attempt in self.attempts)
        streams: dict[str, StreamReport] = {}
        for attempt in self.attempts:
            self.state_after = attempt.state_after
            for one in attempt.streams:
                all_of_it = streams.setdefault(one.stream, StreamReport(one.stream))
                all_of_it.write, all_of_it.status = one.write, one.status
                all_of_it.written += one.written
                all_of_it.quarantined += one.quarantined
                all_of_it.bytes += one.bytes
                all_of_it.changes += one.changes
                if attempt is self.attempts[-1]:
                    all_of_it.rows_in += one.rows_in
                    all_of_it.staged = one.staged
                else:
                    all_of_it.rows_in += one.rows_in - one.staged
                    all_of_it.repeated += one.staged
        self.streams = list(streams.values())

    def raise_for_error(self) -> None:
        """Raises what ended the run: its `DativoError`, or `KeyboardInterrupt` when it was interrupted.

        Raises:
            DativoError: The run failed.
            KeyboardInterrupt: SIGINT or SIGTERM ended it.
        """
        if self.status == "interrupted":
            raise KeyboardInterrupt(f"run {self.run_id} was interrupted")
        if self.error is not None:
            raise self.error

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON types; states as text."""
        return {
            "run_id": self.run_id,
            "tenant": self.tenant,
            "job": self.job,
            "status": self.status,
            "exit_code": self.exit_code,
            "error": None if self.error is None else error_to_dict(self.error),
            "started": self.started,
            "ended": self.ended,
            "seconds": self.seconds,
            "rows_in": self.rows_in,
            "written": self.written,
            "quarantined": self.quarantined,
            "bytes_in": self.bytes_in,
            "commits": self.commits,
            "state_before": _text(self.state_before),
            "state_after": _text(self.state_after),
            "streams": [stream.to_dict() for stream in self.streams],
            "attempts": [attempt.to_dict() for attempt in self.attempts],
            "warnings": list(self.warnings),
        }


def error_to_dict(error: DativoError) -> dict[str, Any]:
    """An error as JSON types."""
    return {
        "type": type(error).__name__,
        "message": error.message,
        "hint": error.hint,
        "retryable": error.retryable,
        "facts": _facts(error.facts),
    }


def _facts(facts: Mapping[str, object]) -> dict[str, Any]:
    return {key: _plain(value) for key, value in facts.items()}


def _plain(value: object) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _text(state: bytes | None) -> str | None:
    return None if state is None else state.decode("utf-8", "replace")
