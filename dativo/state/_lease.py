"""A lease: who may run a job, for how long, and by which number later writers tell that he may no more."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import asdict, field, fields
from typing import Any

from dativo_protocols import frozen
from dativo_protocols.errors import StateError
from dativo_sdk import JobKey

from dativo._process import is_alive, process_start

__all__ = ["Holder", "Lease", "LeaseLostError"]


class LeaseLostError(StateError):
    """Another run has taken the job over while this one was silent: it must not write any more (exit code 75)."""

    def __init__(self, job: JobKey) -> None:
        super().__init__(
            f"another run of job `{job}` has taken over: this one had been silent for longer than its lease lasts",
            hint="what it committed stands; was the machine asleep, or the state store out of reach?",
            retryable=True,
            again=False,
            facts={"job": str(job)},
        )


def _process_names() -> str:
    """Processes of two containers may have one number and one host name."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


@frozen
class Holder:
    """The run that has a lease: which it is, and which process.

    Attributes:
        started: Seconds since 1970 by its machine's clock, for people.
    """

    run_id: str
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    pid_start: str = field(default_factory=lambda: process_start(os.getpid()))
    pid_names: str = field(default_factory=_process_names)
    started: float = field(default_factory=time.time)

    def to_dict(self) -> dict[str, Any]:
        """For backends; `from_dict` turns it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Holder:
        return cls(**{each.name: data[each.name] for each in fields(cls)})

    def has_ended(self) -> bool:
        """Whether it was a process of this machine, and is gone."""
        if self.host != socket.gethostname() or self.pid_names != _process_names():
            return False
        return not is_alive(self.host, self.pid, self.pid_start)


@frozen
class Lease:
    """A lease as it was when it was read.

    Attributes:
        token: Fencing number: each one that is given is greater than those before.
        beat: Counts the signs of life.
        ttl: Seconds after the last sign of life that it lasts.
        age: Seconds since then, by the store's clock; negative when that was set back.
    """

    token: int
    holder: Holder
    beat: int
    ttl: float
    age: float

    def has_expired(self) -> bool:
        """Whether anybody may take it now. Store clocks may count whole seconds, hence the second on top."""
        return self.age > self.ttl + 1.0 or self.holder.has_ended()
