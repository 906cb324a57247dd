"""One run of a job at a time: an exclusive `flock` on a file in `.dativo/locks`.

The lock is the kernel's: it is gone with the process that held it, however that ended. What the file says is only for people.
It holds between processes of one machine, and on network file systems that carry `flock` between clients (NFS 4); it does not
hold between machines that have a `.dativo` each, nor where a file system ignores `flock`. For those there are state backends with
leases: `dativo.state._lease_lock`.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from dativo_protocols.errors import DativoError, StateError
from dativo_sdk import JobKey

__all__ = ["JobLock"]

POLL_SECONDS = 0.1


class JobLock:
    """Held inside `with`.

    Args:
        folder: `.dativo/locks`; made when it is not there.
        wait_seconds: How long to wait for another run of the job.

    Attributes:
        token: None; leases, which several machines can see, have one (`dativo.state._lease_lock.LeaseLock`).
    """

    token: int | None = None

    def __init__(self, folder: Path, job: JobKey, run_id: str, wait_seconds: float = 0.0) -> None:
        # `@` is in no tenant's and in no job's name, so no two jobs share a file.
        self.path = folder / f"{job.tenant}@{job.job}.lock"
        self._job = job
        self._run_id = run_id
        self._wait_seconds = wait_seconds
        self._file: int | None = None

    def __enter__(self) -> JobLock:
        """Takes the lock.

        Raises:
            DativoError: Another run holds it (exit code 75); names its run, process and start.
            StateError: The file cannot be made.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            deadline = time.monotonic() + self._wait_seconds
            while not _try(file):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise self._taken(file)
                time.sleep(min(POLL_SECONDS, left))
            text = json.dumps({"pid": os.getpid(), "run_id": self._run_id, "started": time.time()})
            os.ftruncate(file, 0)
            os.pwrite(file, text.encode(), 0)
        except OSError as error:
            os.close(file)
            raise self._unwritable(error) from error
        except BaseException:
            os.close(file)
            raise
        self._file = file
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        # The file stays: removing it would let a third run lock a new one while a second still waits for this.
        if self._file is not None:
            os.ftruncate(self._file, 0)
            os.close(self._file)
            self._file = None

    def check(self) -> None:
        """Returns: the kernel takes a lock from nobody. A lease can be lost, and says so here."""

    def _unwritable(self, error: OSError) -> StateError:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return StateError(
            f"cannot write `{self.path}`: {error.strerror}",
            hint="free some space, then run again" if full else "`--project DIR` works in a directory where this user may write",
            retryable=full,
            facts={"job": str(self._job)},
        )

    def _taken(self, file: int) -> DativoError:
        holder = _read(file)
        facts: dict[str, object] = {"job": str(self._job), **holder}
        who = ""
        if holder:
            began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(holder["started"]))
            who = f": run {holder['run_id']}, process {holder['pid']}, started {began}"
        waited = f" after {self._wait_seconds:g} s" if self._wait_seconds else ""
        return DativoError(
            f"job `{self._job}` is running already{waited}{who}",
            hint="wait for it with `--wait SECONDS`, or give the second job another name",
            retryable=True,
            facts=facts,
        )


def _try(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(file: int) -> dict[str, Any]:
    try:
        found = json.loads(os.pread(file, 4096, 0))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and {"pid", "run_id", "started"} <= found.keys() else {}
