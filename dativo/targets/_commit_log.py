"""The commit log of a file target: numbered records in `_dativo/commits/`, the only truth about which files exist.

Readers need no lock: they list the directory and read. Writers put one record at a time under the next number, which only one of
them can take. `docs/files.md` gives the protocol and why it survives a kill at any instant.
"""

from __future__ import annotations

import copy
import errno
import hashlib
import re
import secrets
import time
from collections.abc import Callable
from contextlib import ExitStack

from dativo_protocols.errors import TargetError
from dativo_sdk import JobKey

from dativo._faults import fault_point
from dativo.targets._commit_record import Picture, Record, decode, encode
from dativo.targets._disk import refused
from dativo.targets._store import Store

FULL_EVERY = 100
"""Each record whose number is a multiple of this carries the whole picture, so that nobody has to read what is before it."""

COMMITS = "_dativo/commits"
_RECORD = re.compile(r"(\d{20})\.json")


def job_hash(job: JobKey) -> str:
    """What the names of a job's files begin with: 8 hex digits."""
    return hashlib.sha256(f"{job.tenant}\0{job.job}".encode()).hexdigest()[:8]


def read_picture(store: Store, known: Picture | None = None) -> Picture:
    """What is committed in a dataset; an empty picture when nothing is.

    Args:
        known: An earlier picture of the same dataset; brought up to date in place where possible.

    Raises:
        TargetError: A record is missing or damaged.
    """
    for attempt in range(10):
        try:
            return _read(store, known)
        except FileNotFoundError:
            # A writer removed old records after they were listed; a newer full picture is there by now.
            time.sleep(0.01 * attempt)
        except OSError as error:
            raise refused(error, "read the commits of", store.location) from error
    raise TargetError(
        f"the commit log of `{store.location}` has gaps",
        hint="restore `_dativo/commits` from a backup",
        facts={"path": store.location},
    )


def _read(store: Store, known: Picture | None) -> Picture:
    numbers = _numbers(store, known.number if known is not None else 0)
    if not numbers:
        if known is not None and known.number:
            raise FileNotFoundError(errno.ENOENT, "the commits are gone", store.location)
        return Picture()
    first = known.number + 1 if known is not None else max((n for n in numbers if n % FULL_EVERY == 0), default=1)
    if known is not None and first < numbers[0]:
        return _read(store, None)
    picture = Picture() if known is None else known
    wanted = range(first, numbers[-1] + 1)
    for number, payload in zip(wanted, store.read([_path(number) for number in wanted]), strict=True):
        try:
            record, full = decode(payload)
        except ValueError as error:
            path = store.locate(_path(number))
            raise TargetError(f"cannot understand the commit record `{path}`: {error}", facts={"path": path}) from error
        if full is not None and known is None and number == first:
            picture = full
        else:
            picture.apply(record)
    return picture


def _path(number: int) -> str:
    return f"{COMMITS}/{number:020}.json"


def _numbers(store: Store, least: int = 0) -> list[int]:
    """Numbers of records, from `least` on."""
    names = store.names(COMMITS, f"{least - 1:020}.json" if least else "")
    return [int(match[1]) for name in names if (match := _RECORD.fullmatch(name))]


class CommitLog:
    """The log as one run of one job sees it.

    Attributes:
        picture: What is committed as far as this run knows: all of its own commits.
        generation: On a fenced store the number of the record that opened this run; else None.
    """

    def __init__(self, store: Store, job: JobKey, run: str) -> None:
        """Opens the log for writing, and makes it when it is not there.

        Raises:
            TargetError: Another run of the job is at work, or the log cannot be read or written.
        """
        self._store = store
        self._job = job
        self._open = ExitStack()
        self.generation: int | None = None
        try:
            store.prepare()
            self._open.enter_context(store.hold(job, job_hash(job)))
            self.picture = read_picture(store)
            if store.fenced:
                token = secrets.token_hex(8)
                opening = self.append(
                    lambda picture, number: Record(number, int(time.time()), job, run, None, False, number, token)
                )
                self.generation = opening.number
        except OSError as error:
            self.close()
            raise refused(error, "open", store.location) from error
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
                that number, which happens only where there are no locks.

        Raises:
            TargetError: Nothing was committed; or the store failed at the very end, and the next `CommitLog` will tell.
        """
        try:
            with self._store.exclusive():
                while True:
                    self.picture = read_picture(self._store, self.picture)
                    self._check_generation()
                    record = build(self.picture, self.picture.number + 1)
                    if self._put(record):
                        self.picture.apply(record)
                        return record
        except OSError as error:
            raise refused(error, "commit to", self._store.location) from error

    def _check_generation(self) -> None:
        if self.generation is not None and self.picture.generations.get(self._job) != self.generation:
            raise TargetError(
                f"another run of job `{self._job}` has begun to write to `{self._store.location}` since this one began",
                hint="let one run at a time write; the newest one goes on",
                retryable=True,
                facts={"path": self._store.location, "job": str(self._job)},
            )

    def _put(self, record: Record) -> bool:
        after = None
        if record.number % FULL_EVERY == 0:
            after = copy.deepcopy(self.picture)
            after.apply(record)
            there = self._store.existing(after.removed)
            after.removed = {path: at for path, at in after.removed.items() if path in there}
        if not self._store.create(_path(record.number), encode(record, after)):
            return False
        fault_point("files.committed")
        if after is not None:
            # The last two full pictures make these needless; whoever listed them in between lists again.
            self._store.delete([_path(number) for number in _numbers(self._store) if number < record.number - FULL_EVERY])
        return True

    def close(self) -> None:
        """Frees the job's lock. May be called twice."""
        self._open.close()
