"""Rows on their way to finished files: bounded buffers per table, encoded on threads, in order within a table.

One thread calls it. An error of an encoding thread comes out of the next call, and of each one after.
"""

from __future__ import annotations

import os
import resource
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

import pyarrow as pa
from dativo_protocols.errors import DativoError, TargetError

from dativo.targets._commit_record import DataFile
from dativo.targets._disk import make_directory, refused, sync

GROUP_ROWS = 1 << 20
"""A group is encoded at the latest at so many rows, however few bytes they have."""

BUFFERED_BYTES = 40 << 20
"""Rows of all tables that wait for their group to fill. Beyond it the largest group goes, full or not."""

IN_FLIGHT_BYTES = 16 << 20
"""While more than this waits for an encoding thread or is in its hands, `add` blocks."""

OPEN_FILES = 1600
SPARE_FILES = 200
THREADS = 2


class OpenFile(Protocol):
    """A data file while it is written; the format's part of the work. Any method may raise `OSError` or pyarrow's errors."""

    def write(self, batches: list[pa.RecordBatch]) -> None:
        """Encodes the batches behind those before them."""
        ...

    def size(self) -> int:
        """Bytes written so far."""
        ...

    def finish(self) -> None:
        """Writes what the format puts at the end, and closes the file."""
        ...

    def abandon(self) -> None:
        """Closes the file as it is."""
        ...


class Opener(Protocol):
    """Opens a new, empty file that exists already; the first batches come along, as a sample of what is to be written."""

    def __call__(self, path: Path, schema: pa.Schema, batches: list[pa.RecordBatch]) -> OpenFile: ...


@dataclass(frozen=True, slots=True)
class FilePlan:
    """What the files are like.

    Attributes:
        prefix: What every file name begins with; must be the run's own.
        suffix: What it ends with, for example `.parquet`.
        file_bytes: A file that has reached this size is finished, and the next one begun.
        group_bytes: Arrow bytes encoded at a time.
    """

    prefix: str
    suffix: str
    file_bytes: int
    group_bytes: int
    opener: Opener


@dataclass(slots=True, eq=False)
class Lane:
    """The files of one table, or of one quarantine: written one after the other.

    Attributes:
        table: Names the directory.
        schema_id: Id of `schema` in the commit log.
        finished: Files that are complete and not committed yet.
    """

    table: str
    schema: pa.Schema
    schema_id: str
    finished: list[DataFile] = field(default_factory=list)
    _buffer: list[pa.RecordBatch] = field(default_factory=list)
    _buffered: int = 0
    _rows: int = 0
    _tasks: deque[tuple[Callable[[], None], int]] = field(default_factory=deque)
    _running: bool = False
    _file: OpenFile | None = None
    _path: Path | None = None
    _file_rows: int = 0
    _file_schema: str = ""
    _syncs: list[Future[None]] = field(default_factory=list)

    def take(self) -> list[DataFile]:
        """The finished files; from now on they are no concern of the staging."""
        files, self.finished = self.finished, []
        return files


class Staging:
    """Writes the files of one run below a root; nothing here makes them visible to readers."""

    def __init__(self, root: Path, plan: FilePlan) -> None:
        self._root = root
        self._plan = plan
        self._encoders = ThreadPoolExecutor(THREADS, thread_name_prefix="dativo-encode")
        # Separate threads: a slow disk must not keep the encoders waiting.
        self._syncers = ThreadPoolExecutor(8, thread_name_prefix="dativo-sync")
        self._lanes: dict[Lane, None] = {}
        self._open: dict[Lane, None] = {}
        self._open_limit = 128
        self._buffered = 0
        self._in_flight = 0
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        self._counter = 0
        self._closed = False

    def lane(self, table: str, schema: pa.Schema, schema_id: str) -> Lane:
        """A new lane for a table's files."""
        lane = Lane(table, schema, schema_id)
        self._lanes[lane] = None
        return lane

    def drop(self, lanes: Iterable[Lane]) -> None:
        """Forgets lanes that are finished and whose files were taken."""
        for lane in lanes:
            del self._lanes[lane]

    def add(self, lane: Lane, batch: pa.RecordBatch, nbytes: int) -> None:
        """Takes a batch of exactly the lane's schema; may block until there is room.

        Raises:
            TargetError: An earlier batch could not be written.
        """
        self._raise()
        lane._buffer.append(batch)
        lane._buffered += nbytes
        lane._rows += batch.num_rows
        self._buffered += nbytes
        if lane._buffered >= self._plan.group_bytes or lane._rows >= GROUP_ROWS:
            self._flush(lane)
        while self._buffered > BUFFERED_BYTES:
            self._flush(max(self._lanes, key=_buffered))

    def finish(self, lanes: Iterable[Lane]) -> None:
        """Returns when everything given to the lanes is in finished files, durable, and listed in `finished`.

        Raises:
            TargetError: Something could not be written.
        """
        lanes = list(lanes)
        for lane in lanes:
            self._flush(lane)
            self._end_file(lane)
        with self._changed:
            while any(lane._running for lane in lanes):
                self._changed.wait()
        self._raise()
        syncs = [future for lane in lanes for future in lane._syncs]
        wait(syncs)
        try:
            for future in syncs:
                future.result()
            for table in {lane.table for lane in lanes if lane._syncs}:
                sync(self._root / table)
        except OSError as error:
            raise self._fail(refused(error, "write to", self._root)) from error
        for lane in lanes:
            lane._syncs.clear()

    def change_schema(self, lane: Lane, schema: pa.Schema, schema_id: str) -> None:
        """Later batches have another schema, and so go to another file."""
        self._flush(lane)
        self._end_file(lane)
        lane.schema, lane.schema_id = schema, schema_id

    def close(self) -> None:
        """Stops the threads and deletes every file that is not finished, or is in a lane's `finished`. May be called twice."""
        if self._closed:
            return
        self._closed = True
        with self._changed:
            self._error = self._error or TargetError("the target is closed")
        self._encoders.shutdown(wait=True)
        self._syncers.shutdown(wait=True)
        for lane in self._lanes:
            if lane._file is not None and lane._path is not None:
                lane._file.abandon()
                lane._path.unlink(missing_ok=True)
            for file in lane.finished:
                (self._root / file.path).unlink(missing_ok=True)
            lane._buffer.clear()

    def _flush(self, lane: Lane) -> None:
        """Hands the lane's buffer to an encoder, in its turn."""
        if not lane._buffer:
            return
        with self._changed:
            while self._in_flight > IN_FLIGHT_BYTES and self._error is None:
                self._changed.wait()
        self._raise()
        batches, nbytes, schema, schema_id = lane._buffer, lane._buffered, lane.schema, lane.schema_id
        lane._buffer, lane._buffered, lane._rows = [], 0, 0
        self._buffered -= nbytes
        self._open.pop(lane, None)
        self._open[lane] = None
        self._submit(lane, partial(self._encode, lane, batches, schema, schema_id), nbytes)
        if len(self._open) > self._open_limit:
            self._open_limit = _room_for_files()
            while len(self._open) > self._open_limit:
                self._end_file(next(iter(self._open)))

    def _end_file(self, lane: Lane) -> None:
        if lane in self._open:
            del self._open[lane]
            self._submit(lane, partial(self._finish_file, lane), 0)

    def _submit(self, lane: Lane, task: Callable[[], None], nbytes: int) -> None:
        with self._changed:
            lane._tasks.append((task, nbytes))
            self._in_flight += nbytes
            if lane._running:
                return
            lane._running = True
        self._encoders.submit(self._work, lane)

    def _work(self, lane: Lane) -> None:
        """Runs the lane's tasks; never two of one lane at a time."""
        while True:
            with self._changed:
                if not lane._tasks:
                    lane._running = False
                    self._changed.notify_all()
                    return
                task, nbytes = lane._tasks.popleft()
                failed = self._error is not None
            try:
                if not failed:
                    task()
            except BaseException as error:
                self._fail(_as_target_error(error, self._root / lane.table))
            finally:
                del task
                with self._changed:
                    self._in_flight -= nbytes
                    self._changed.notify_all()

    def _encode(self, lane: Lane, batches: list[pa.RecordBatch], schema: pa.Schema, schema_id: str) -> None:
        if lane._file is None:
            lane._path = self._create(lane.table)
            lane._file = self._plan.opener(lane._path, schema, batches)
            lane._file_rows, lane._file_schema = 0, schema_id
        lane._file.write(batches)
        lane._file_rows += sum(batch.num_rows for batch in batches)
        batches.clear()
        if lane._file.size() >= self._plan.file_bytes:
            self._finish_file(lane)

    def _create(self, table: str) -> Path:
        """A new, empty file, never one that is there already."""
        directory = self._root / table
        make_directory(directory)
        while True:
            with self._changed:
                number, self._counter = self._counter, self._counter + 1
            path = directory / f"{self._plan.prefix}{number:06}{self._plan.suffix}"
            try:
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
                return path
            except FileExistsError:
                continue

    def _finish_file(self, lane: Lane) -> None:
        if lane._file is None or lane._path is None:
            return
        path = lane._path
        lane._file.finish()
        lane.finished.append(DataFile(f"{lane.table}/{path.name}", lane._file_rows, path.stat().st_size, lane._file_schema))
        lane._file = lane._path = None
        lane._syncs.append(self._syncers.submit(sync, path))

    def _fail(self, error: DativoError) -> DativoError:
        with self._changed:
            if self._error is None:
                self._error = error
            self._changed.notify_all()
        return error

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error


def _buffered(lane: Lane) -> int:
    return lane._buffered


def _as_target_error(error: BaseException, path: Path) -> DativoError:
    if isinstance(error, DativoError):
        return error
    if isinstance(error, OSError):
        wrapped = refused(error, "write to", path)
    else:
        wrapped = TargetError(f"cannot encode rows for `{path}`: {error}", facts={"path": str(path)})
    wrapped.__cause__ = error
    return wrapped


def _room_for_files() -> int:
    """How many files may be open; raises the process's soft limit of open files first, as far as it goes and is useful."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return OPEN_FILES if soft == resource.RLIM_INFINITY else max(16, min(OPEN_FILES, soft - SPARE_FILES))
