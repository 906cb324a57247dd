"""What a state backend keeps: states with their history, and runs."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Literal, NamedTuple, TypeAlias

from dativo_protocols import frozen

from dativo._report import RunStatus

__all__ = ["Keep", "KeptState", "Origin", "RunEntry", "StateEntry"]

Origin: TypeAlias = Literal["commit", "set", "rollback", "clear"]


class Keep(NamedTuple):
    """How much history of a job stays: its newest `states` entries, and the newest entry of each of its last `runs` runs."""

    states: int
    runs: int


@frozen
class KeptState:
    """One entry of a job's history as a backend keeps it.

    Attributes:
        seq: Counts up from 1 within the job; no number is given twice.
        time: Seconds since 1970, by the clock of the machine that wrote it; for people only, the order is that of `seq`.
        run_id: The run that committed it; None for what a person did.
        state: Exactly the bytes that were stored; None after `clear`.
        applied: Whether `mark_applied` was called for it.
    """

    seq: int
    time: float
    run_id: str | None
    origin: Origin
    state: bytes | None
    applied: bool = False


@frozen
class StateEntry:
    """One state of a job's history.

    Attributes:
        seq: Counts up from 1 within the job.
        time: Seconds since 1970.
        run_id: The run that committed it; None for what a person did.
        origin: `commit`, `set`, `rollback` or `clear`.
        state: Exactly the bytes that were stored; None after `clear`.
        pending: A person's entry that no run has applied yet.
    """

    seq: int
    time: float
    run_id: str | None
    origin: Origin
    state: bytes | None
    pending: bool

    def to_dict(self) -> dict[str, Any]:
        return {
            "seq": self.seq,
            "time": self.time,
            "run_id": self.run_id,
            "origin": self.origin,
            "state": None if self.state is None else self.state.decode("utf-8", "replace"),
            "pending": self.pending,
        }


@frozen
class RunEntry:
    """One run of a job; `status` is `crashed` where its process ended without saying how.

    Attributes:
        error: As in `Report.to_dict`, or None.
        streams, attempts: As in `Report.to_dict`; no attempts for runs of versions that made only one.
        seq_before, seq_after: Newest entry of the state history when the run started and when it ended, 0 for none.
        host, pid, pid_start: Which process it was, see `dativo._process`.
    """

    run_id: str
    tenant: str
    job: str
    started: float
    ended: float | None
    status: RunStatus
    exit_code: int | None
    error: dict[str, Any] | None
    rows_in: int
    written: int
    quarantined: int
    commits: int
    streams: list[dict[str, Any]]
    attempts: list[dict[str, Any]]
    seq_before: int | None
    seq_after: int | None
    pid: int
    host: str = ""
    pid_start: str = ""

    def to_dict(self) -> dict[str, Any]:
        """What people and programs are shown."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "pid_start"}
