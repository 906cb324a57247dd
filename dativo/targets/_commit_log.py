"""The commit log of a file target: numbered records in `_dativo/commits/`, the only truth about which files exist.

Readers need no lock: they list the directory and read. Writers append one at a time, under a lock of the operating system that
ends with its process. `docs/files.md` gives the protocol and why it survives a kill at any instant.
"""

from __future__ import annotations

import copy
import errno
import fcntl
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dativo_protocols.errors import TargetError
from dativo_sdk import JobKey

from dativo.targets._commit_record import Picture, Record, decode, encode
from dativo.targets._disk import make_directory, refused, sync

FULL_EVERY = 100
"""Each record whose number is a multiple of this carries the whole picture, so that nobody has to read what is before it."""

LOCK_SECONDS = 60.0
_RECORD = re.compile(r"(\d{20})\.json")


def job_hash(job: JobKey) -> str:
    """What the names of a job's files begin with: 8 hex digits."""
    return hashlib.sha256(f"{job.tenant}\0{job.job}".encode()).hexdigest()[:8]


def read_picture(root: Path, known: Picture | None = None) -> Picture:
    """What is committed below a dataset's root; an empty picture when nothing is.

    Args:
        known: An earlier picture of the same root; brought up to date in place where possible.

    Raises:
        TargetError: A record is missing or damaged.
    """
    for attempt in range(10):
        try:
            return _read(root / "_dativo" / "commits", known)
        except FileNotFoundError:  # noqa: PERF203
            # A writer removed old records after they were listed; a newer full picture is there by now.
            time.sleep(0.01 * attempt)
        except OSError as error:
            raise refused(error, "read the commits of", root) from error
    raise TargetError(
        f"the commit log of `{root}` has gaps", hint="restore `_dativo/commits` from a backup", facts={"path": str(root)}
    )


def _read(directory: Path, known: Picture | None) -> Picture:
    numbers = _numbers(directory)
    if not numbers:
        if known is not None and known.number:
            raise FileNotFoundError(errno.ENOENT, "the commits are gone", str(directory))
        return Picture()
    first = known.number + 1 if known is not None else max((n for n in numbers if n % FULL_EVERY == 0), default=1)
    if known is not None and first < numbers[0]:
        return _read(directory, None)
    picture = Picture() if known is None else known
    for number in range(first, numbers[-1] + 1):
        path = directory / f"{number:020}.json"
        try:
            record, full = decode(path.read_bytes())
        except ValueError as error:
            raise TargetError(f"cannot understand the commit record `{path}`: {error}", facts={"path": str(path)}) from error
        if full is not None and known is None and number == first:
            picture = full
        else:
            picture.apply(record)
    return picture


def _numbers(directory: Path) -> list[int]:
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    return sorted(int(match[1]) for name in names if (match := _RECORD.fullmatch(name)))


class CommitLog:
    """A writer's side of the log: one job's, from `__init__` until `close`.

    While it is open no other run of the same job can open it, here or in another process on this machine.

    Attributes:
        picture: What is committed, as of the last call.
    """

    def __init__(self, root: Path, job: JobKey) -> None:
        """Makes the directories that lack, and takes the job's lock.

        Raises:
            TargetError: The directory cannot be made or written, or another run of the job has it open (`retryable`).
        """
        self.root = root
        self.commits = root / "_dativo" / "commits"
        self._job = job
        self._job_lock: int | None = None
        try:
            make_directory(self.commits)
            make_directory(root / "_dativo" / "jobs")
            self._job_lock = _locked(root / "_dativo" / "jobs" / f"{job_hash(job)}.lock", 0.0)
        except OSError as error:
            raise refused(error, "open", root) from error
        if self._job_lock is None:
            raise TargetError(
                f"another run of job `{job}` is writing to `{root}`",
                hint="wait until it ends",
                retryable=True,
                facts={"path": str(root), "job": str(job)},
            )
        try:
            self.picture = read_picture(root)
        except BaseException:
            self.close()
            raise

    @property
    def state(self) -> bytes | None:
        """The job's committed state, exactly as it was given."""
        return self.picture.states.get(self._job)

    def append(self, build: Callable[[Picture, int], Record]) -> Record:
        """Puts one record; durable on return.

        Args:
            build: Gives the record for the picture as it is, under the number it is to get; called again when another writer took
                that number, which happens only where locks do not work.

        Raises:
            TargetError: Nothing was committed; or the disk failed at the very end, and the next `CommitLog` will tell.
        """
        try:
            with self._exclusive():
                while True:
                    self.picture = read_picture(self.root, self.picture)
                    record = build(self.picture, self.picture.number + 1)
                    if self._put(record):
                        self.picture.apply(record)
                        return record
        except OSError as error:
            raise refused(error, "commit to", self.root) from error

    def _put(self, record: Record) -> bool:
        after = None
        if record.number % FULL_EVERY == 0:
            after = copy.deepcopy(self.picture)
            after.apply(record)
            after.removed = {path: at for path, at in after.removed.items() if (self.root / path).exists()}
        staged = self.commits / ".next"
        # Never opened in place: after a kill it can be a second name of a committed record.
        staged.unlink(missing_ok=True)
        descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with os.fdopen(descriptor, "wb") as file:
            file.write(encode(record, after))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(staged, self.commits / f"{record.number:020}.json")
        except FileExistsError:
            return False
        sync(self.commits)
        staged.unlink()
        if after is not None:
            self._forget(record.number - FULL_EVERY)
        return True

    def _forget(self, before: int) -> None:
        """Removes records that the last two full pictures make needless; whoever listed them in between lists again."""
        for number in _numbers(self.commits):
            if number < before:
                (self.commits / f"{number:020}.json").unlink(missing_ok=True)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        descriptor = _locked(self.root / "_dativo" / "lock", LOCK_SECONDS)
        if descriptor is None:
            raise TargetError(
                f"another writer has held the commit log of `{self.root}` for {LOCK_SECONDS:.0f} seconds",
                hint="is a writer stopped, or the disk stuck?",
                retryable=True,
                facts={"path": str(self.root)},
            )
        try:
            yield
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Frees the job's lock. May be called twice."""
        if self._job_lock is not None:
            os.close(self._job_lock)
            self._job_lock = None


def _locked(path: Path, seconds: float) -> int | None:
    """An open descriptor that holds the lock; None when somebody else kept it for so long."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    deadline = time.monotonic() + seconds
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return descriptor
            except BlockingIOError:  # noqa: PERF203
                if time.monotonic() >= deadline:
                    os.close(descriptor)
                    return None
                time.sleep(0.005)
    except BaseException:
        os.close(descriptor)
        raise
