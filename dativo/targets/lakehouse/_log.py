"""A job's log: numbered records, each put once. It fences older runs, holds the state, and is the commit point of all tables at
once.

A record is either `open`, a run has begun, or `commit`, the intent: what is to be applied to which table, and the state. Numbers
have no gaps, and a record can only be put under the number after the last one that its writer knows. So whoever opens the log
takes the next number away from every run that had it open before; nobody has to agree on a clock or a lease. Only the last record
can be a commit that is not applied in every table: the next record is put after that alone.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import field
from typing import Any, Literal

from dativo_protocols import frozen
from dativo_protocols.errors import TargetError
from dativo_sdk import JobKey

from dativo.targets._commit_record import pack_state, unpack_state
from dativo.targets.lakehouse._change import TableChange, pack_change, unpack_change
from dativo.targets.lakehouse._storage import Storage

__all__ = ["JobLog", "Record", "job_app", "last_record"]

VERSION = 1
KEPT = 200
"""So many records stay; beyond them, what an older run left behind is not told from what it committed, and stays as well."""
_NAME = re.compile(r"(\d{20})\.json")


@frozen
class Record:
    """One record.

    Attributes:
        number: From 1.
        generation: Number of the `open` record of the run that put it.
        at: The moment of the commit, in microseconds since 1970 UTC: what rows get that are ended or deleted by it.
        final: Whether the run has put a final commit by then: files held for it are no longer unfinished.
        state: The job's, after this record.
        changes: What is to be applied.
    """

    number: int
    generation: int
    kind: Literal["open", "commit"]
    run_id: str
    at: int
    state: bytes | None
    final: bool = False
    changes: tuple[TableChange, ...] = field(default=())


def job_app(job: JobKey) -> str:
    """The job in names of files and in marks: 16 hexadecimal digits."""
    return hashlib.sha256(f"{job.tenant}\0{job.job}".encode()).hexdigest()[:16]


def last_record(storage: Storage, job: JobKey) -> Record | None:
    """The job's last record, without touching anything."""
    folder = _folder(job)
    numbers = _numbers(storage.names(folder))
    return _read(storage, folder, numbers[-1]) if numbers else None


class JobLog:
    """The log of one job as one run has it open.

    Attributes:
        generation: Number of this run's `open` record.
        next: The number that the next commit will get.
        state: The job's committed state.
        at: The moment of the job's last commit: later ones are after it, also when the clock has been set back.
        fenced: Whether a commit was refused, because another run has opened the log since.
        tidy: Whether the run before this one came to its end, or there was none: it has left nothing among the data files.
    """

    def __init__(self, storage: Storage, job: JobKey, run_id: str, uri: str) -> None:
        self._storage = storage
        self._folder = _folder(job)
        self._job = job
        self._run_id = run_id
        self._uri = uri
        self.generation = 0
        self.next = 0
        self.at = 0
        self.state: bytes | None = None
        self.tidy = self.fenced = False
        self._final = False

    def open(self, now: int, apply: Callable[[Record], None]) -> None:
        """Takes the log over from every earlier run, after it has brought a commit to its end that one of them left half applied.

        Args:
            apply: Applies a commit to its tables; what is applied already is left alone.

        Raises:
            TargetError: The log cannot be read or written; or other runs of the job take it over all the time (`retryable`).
        """
        for _ in range(20):
            names = self._storage.names(self._folder)
            numbers = _numbers(names)
            last = _read(self._storage, self._folder, numbers[-1]) if numbers else None
            if last is not None and last.kind == "commit" and f"{last.number:020}.applied" not in names:
                apply(last)
                self.applied(last)
            number = 1 if last is None else last.number + 1
            state = None if last is None else last.state
            self.at = max(now, 0 if last is None else last.at)
            if self._put(Record(number, number, "open", self._run_id, self.at, state)):
                self.tidy = last is None or (last.kind == "commit" and last.final)
                self.generation, self.next, self.state = number, number + 1, state
                self._forget(names, number - KEPT)
                return
        raise self._taken()

    def commit(self, now: int, state: bytes | None, changes: tuple[TableChange, ...], *, final: bool) -> Record:
        """Puts the intent: from here on the commit has happened, and has to be applied.

        Args:
            state: None keeps the one before.

        Raises:
            TargetError: Another run of the job has opened the log since: nothing was committed.
        """
        state = self.state if state is None else state
        self._final |= final
        record = Record(self.next, self.generation, "commit", self._run_id, now, state, self._final, changes)
        if not self._put(record):
            self.fenced = True
            raise self._taken()
        self.state, self.at = state, now
        self.next += 1
        return record

    def overtaken(self) -> TargetError | None:
        """The error of this run, where another run of the job has opened the log since: it may have deleted this one's files."""
        numbers = _numbers(self._storage.names(self._folder))
        return self._taken() if numbers and numbers[-1] >= self.next else None

    def applied(self, record: Record) -> None:
        """Notes that the commit is in all its tables, so that nobody looks again."""
        self._storage.put_new(f"{self._folder}/{record.number:020}.applied", b"{}")

    def unfinished(self) -> Callable[[int, int, bool], bool]:
        """Tells of files whether they were left behind by runs that did not commit them.

        Returns:
            A function of the run's generation, the number of the commit the file was for, and whether it was held for the end of
            the run (`overwrite`).
        """
        names = self._storage.names(self._folder)
        numbers = _numbers(names)
        # The last record of each run: those before an `open` record.
        records = {number: _read(self._storage, self._folder, number) for number in _ends(self._storage, self._folder, numbers)}
        opened = {record.generation for record in records.values()} | {self.generation}
        finals = {record.generation for record in records.values() if record.final}
        last = {record.generation: record.number for record in records.values()}

        def check(generation: int, number: int, held: bool) -> bool:
            if generation == self.generation or generation not in opened:
                return False
            return generation not in finals if held else number > last[generation]

        return check

    def _put(self, record: Record) -> bool:
        return self._storage.put_new(f"{self._folder}/{record.number:020}.json", _encode(record, self._job))

    def _forget(self, names: list[str], before: int) -> None:
        """Drops old records; the last one has all that is needed."""
        old = [name for name in names if name[:20].isdigit() and int(name[:20]) < before]
        self._storage.delete([f"{self._folder}/{name}" for name in old])

    def _taken(self) -> TargetError:
        return TargetError(
            f"another run of job `{self._job}` has begun to write to `{self._uri}`: this one has committed nothing more",
            hint="run again when the other one has ended",
            retryable=True,
            facts={"path": self._uri, "job": str(self._job)},
        )


def _folder(job: JobKey) -> str:
    return f"_dativo/jobs/{job_app(job)}"


def _numbers(names: list[str]) -> list[int]:
    return sorted(int(match[1]) for name in names if (match := _NAME.fullmatch(name)))


def _ends(storage: Storage, folder: str, numbers: list[int]) -> list[int]:
    """Numbers of the last record of each earlier run, found backwards from the newest: a record names its run's first."""
    ends = []
    there = set(numbers)
    number = numbers[-1] if numbers else 0
    while number in there:
        ends.append(number)
        number = _read(storage, folder, number).generation - 1
    return ends


def _read(storage: Storage, folder: str, number: int) -> Record:
    path = f"{folder}/{number:020}.json"
    payload = storage.get(path)
    try:
        if payload is None:
            raise ValueError("it is gone")
        return _decode(payload)
    except (ValueError, KeyError, TypeError) as error:
        raise TargetError(
            f"cannot understand the commit record `{path}`: {error}", hint="restore `_dativo` from a backup", facts={"path": path}
        ) from error


def _encode(record: Record, job: JobKey) -> bytes:
    data: dict[str, Any] = {
        "version": VERSION,
        "number": record.number,
        "generation": record.generation,
        "kind": record.kind,
        "tenant": job.tenant,
        "job": job.job,
        "run": record.run_id,
        "at": record.at,
        "final": record.final,
        "state": pack_state(record.state),
        "tables": [pack_change(change) for change in record.changes],
    }
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _decode(payload: bytes) -> Record:
    data = json.loads(payload.decode("utf-8", "surrogatepass"))
    if data["version"] != VERSION:
        raise ValueError(f"version {data['version']} is of a newer Dativo")
    return Record(
        int(data["number"]),
        int(data["generation"]),
        data["kind"],
        data["run"],
        int(data["at"]),
        unpack_state(data["state"]),
        bool(data["final"]),
        tuple(unpack_change(change) for change in data["tables"]),
    )
