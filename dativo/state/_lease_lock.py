"""One run of a job at a time, over all machines that share a state store: a lease, renewed by a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol

from dativo_protocols.errors import DativoError, StateError
from dativo_sdk import JobKey

from dativo.state._backend import Leasing, StateBackend
from dativo.state._lease import Holder, Lease, LeaseLostError
from dativo.state._location import LEASE_SECONDS

__all__ = ["LeaseLock"]

POLL_SECONDS = 1.0
BEATS = 4
"""Signs of life within one lease."""


class LeasingBackend(StateBackend, Leasing, Protocol):
    """Both."""


def clock() -> float:
    """Seconds that nobody can set, and that go on while the machine sleeps, where the system can tell."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class LeaseLock:
    """Held inside `with`, like `dativo._lock.JobLock`.

    Whoever has the lease renews it four times in its `ttl`. Another run takes it when the store says that the last renewal was
    longer ago than that, when the holder was a process of this machine that is gone, or when it has itself watched the lease for
    so long without seeing a renewal, which counts also where the store's clock was set back.

    Args:
        connect: Opens the backend; called twice, since the thread that renews needs one of its own.
        wait_seconds: How long to wait for another run of the job.

    Attributes:
        token: The fencing number, or None while the lease is not held.
    """

    def __init__(
        self,
        connect: Callable[[], LeasingBackend],
        job: JobKey,
        run_id: str,
        wait_seconds: float = 0.0,
        *,
        ttl: float = LEASE_SECONDS,
    ) -> None:
        self.token: int | None = None
        self._connect = connect
        self._job = job
        self._holder = Holder(run_id)
        self._wait_seconds = wait_seconds
        self._ttl = ttl
        self._backend: LeasingBackend | None = None
        self._renewed = 0.0
        self._lost = False
        self._using = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> LeaseLock:
        """Takes the lease.

        Raises:
            DativoError: Another run holds it (exit code 75); names its run, machine, process and start.
            StateError: The store cannot be used.
        """
        backend = self._backend = self._connect()
        try:
            self.token = self._take(backend)
        except BaseException:
            self._backend = None
            backend.close()
            raise
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        backend, token = self._backend, self.token
        self._backend = self.token = None
        if backend is None:
            return
        try:
            if token is not None and not self._lost:
                backend.release_lease(self._job, token)
        except DativoError:
            # It ends by itself: this process is gone soon, and no longer renews it.
            pass
        finally:
            backend.close()

    def check(self) -> None:
        """Returns when no other run can have taken the job over yet; to be called before each commit to the target.

        Raises:
            LeaseLostError: Another run has the lease (exit code 75).
            StateError: The store has been out of reach for longer than the lease lasts (exit code 75).
        """
        if not self._lost and clock() - self._renewed < self._ttl / 2:
            return
        try:
            self._renew()
        except LeaseLostError:
            raise
        except DativoError as error:
            if clock() - self._renewed >= self._ttl:
                raise StateError(
                    f"cannot tell whether job `{self._job}` is still this run's: {error.message}",
                    hint="nothing more is committed without knowing; run again when the state store can be reached",
                    retryable=True,
                    again=False,
                    facts={"job": str(self._job)},
                ) from error

    def _renew(self) -> None:
        with self._using:
            if self._lost:
                raise LeaseLostError(self._job)
            if self._backend is None or self.token is None:
                return
            began = clock()
            try:
                self._backend.renew_lease(self._job, self.token)
            except LeaseLostError:
                self._lost = True
                raise
            # Counted from before the request: the store counts from a later moment.
            self._renewed = began

    def _keep(self) -> None:
        while not self._over.wait(self._ttl / BEATS):
            try:
                self._renew()
            except LeaseLostError:
                return
            except DativoError:
                # The next beat may succeed; `check` knows how long it is since the last one.
                continue

    def _take(self, backend: LeasingBackend) -> int:
        deadline = clock() + self._wait_seconds
        watched: tuple[int, int] | None = None
        since = 0.0
        lives = False
        while True:
            began = clock()
            seen = backend.read_lease(self._job)
            if seen is not None and (seen.token, seen.beat) != watched:
                lives = watched is not None
                watched, since = (seen.token, seen.beat), began
            if seen is None or seen.has_expired() or began - since > seen.ttl + 1.0:
                token = backend.take_lease(self._job, seen, self._holder, self._ttl)
                if token is not None:
                    self._renewed = began
                    return token
                continue
            # A lease from the future says nothing about its age: it is watched until it is renewed, or for as long as it lasts.
            until = max(deadline, since + seen.ttl + 2.0) if seen.age < -1.0 and not lives else deadline
            if clock() >= until:
                raise self._taken(seen)
            time.sleep(min(POLL_SECONDS, max(until - clock(), 0.01), max(seen.ttl / BEATS, 0.05)))

    def _taken(self, lease: Lease) -> DativoError:
        holder = lease.holder
        began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(holder.started))
        waited = f" after {self._wait_seconds:g} s" if self._wait_seconds else ""
        who = f"run {holder.run_id}, process {holder.pid} on `{holder.host}`, started {began}"
        return DativoError(
            f"job `{self._job}` is running already{waited}: {who}, last heard of {max(lease.age, 0):.0f} s ago",
            hint="wait for it with `--wait SECONDS`, or give the second job another name",
            retryable=True,
            facts={
                "job": str(self._job),
                "run_id": holder.run_id,
                "pid": holder.pid,
                "host": holder.host,
                "started": holder.started,
            },
        )
