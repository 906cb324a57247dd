"""The interface of state backends."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from dativo_sdk import JobKey

from dativo.state._entries import Keep, KeptState, Origin, RunEntry
from dativo.state._lease import Holder, Lease

__all__ = ["Leasing", "StateBackend"]


class StateBackend(Protocol):
    """States and runs of one project. `dativo._store.Store` calls it, and nobody else: what a history means is its business.

    An object serves one thread; any number of objects, processes and, for backends that are `Leasing`, machines may work on the
    same store at once. Each method that writes is atomic and durable as a whole: after a kill at any instant it has happened or
    it has not, and the store is readable. Concurrent writers of one job are put one after the other.

    `token` is what `Leasing.take_lease` gave the run that writes, or None where a person writes or the backend does not lease.
    A write with a token that is not the job's newest raises `LeaseLostError` and changes nothing: check and write are one.

    Errors of every method: `ConfigError` when the store refuses this user (credentials, rights, no such database or bucket), and
    `StateError` for everything else; `retryable` when the same call may succeed later (server down, disk full, lock held too
    long). No message holds a credential.

    Attributes:
        name: Where the store is, for people: without user information and options.
    """

    name: str

    def exists(self) -> bool:
        """Whether anything was ever written here. Makes nothing, like all methods that read."""
        ...

    def jobs(self) -> list[JobKey]:
        """Jobs that have a state or a run, sorted."""
        ...

    def history(self, job: JobKey, limit: int) -> list[KeptState]:
        """The newest entries, newest first; a consistent picture of one instant."""
        ...

    def append(
        self, job: JobKey, state: bytes | None, origin: Origin, run_id: str | None, *, keep: Keep, token: int | None
    ) -> KeptState:
        """Adds an entry under the next number, and removes those that `keep` no longer covers."""
        ...

    def mark_applied(self, job: JobKey, seq: int, *, token: int | None) -> None:
        """Notes that the target holds the entry; one that is not there any more is no error."""
        ...

    def begin_run(self, run: RunEntry, *, token: int | None) -> None:
        """Adds a run with status `running`; its `seq_before` is what the history's newest number is now.

        Other runs of the job that are still `running` become `crashed`, ended when this one started: the caller has the lock.
        """
        ...

    def finish_run(self, run: RunEntry) -> None:
        """Replaces what changes while a run goes on: everything from `ended` to `attempts`, and `seq_after`, which is now's."""
        ...

    def runs(self, job: JobKey | None, limit: int) -> list[RunEntry]:
        """Newest first by `started`; of one job, or of all."""
        ...

    def find_runs(self, prefix: str, limit: int) -> list[RunEntry]:
        """Runs whose id begins with `prefix`, at most so many of them."""
        ...

    def close(self) -> None:
        """Frees everything. May be called twice; what was written is durable before."""
        ...


@runtime_checkable
class Leasing(Protocol):
    """Several machines can reach the store, so it also holds the jobs' locks. Without it a lock of this machine is used.

    A lease ends when its holder releases it, or has not renewed it for its `ttl`. Time is the store's own: clocks of the machines
    play no part. `dativo.state._lease_lock.LeaseLock` decides when a lease has ended; the backend only compares and swaps.
    """

    def read_lease(self, job: JobKey) -> Lease | None:
        """The job's lease, or None when it is free or was never taken."""
        ...

    def take_lease(self, job: JobKey, seen: Lease | None, holder: Holder, ttl: float) -> int | None:
        """Takes the lease if it is as it was `seen` (None: free), counted by its token and beat.

        Returns:
            The new token, greater than any before it; or None when somebody was quicker.
        """
        ...

    def renew_lease(self, job: JobKey, token: int) -> None:
        """Notes a sign of life.

        Raises:
            LeaseLostError: Somebody else has taken the lease, or it was released.
        """
        ...

    def release_lease(self, job: JobKey, token: int) -> None:
        """Frees the lease if it is still the token's; not an error otherwise."""
        ...
