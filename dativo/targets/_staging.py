"""Rows on their way to finished files: bounded buffers per table, encoded on threads, in order within a table.

One thread calls it. An error of an encoding thread comes out of the next call, and of each one after.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import pyarrow as pa
from dativo_protocols import frozen
from dativo_protocols.errors import DativoError, TargetError

from dativo._faults import fault_point
from dativo.targets._commit_record import DataFile
from dativo.targets._disk import refused
from dativo.targets._encryption_spill import SpillCipher
from dativo.targets._spill import Spill
from dativo.targets._store import Sink, Store

GROUP_BYTES = 16 << 20
GROUP_ROWS = 1 << 20
"""A group, which is what is encoded at a time, has so many Arrow bytes or rows; the last one of a file has fewer."""

SMALL_GROUP_BYTES = 4 << 20
"""When memory is short, groups from this size on are encoded early, and smaller ones are parked on disk."""

BUFFERED_BYTES = 32 << 20
"""What may wait in memory, of all tables together, for groups to fill."""

IN_FLIGHT_BYTES = 16 << 20
"""While more than this waits for an encoding thread or is in its hands, `add` blocks."""

COLUMN_BYTES = 512
"""What a column of a batch takes in memory beside its data, about; it counts when batches are tiny."""

THREADS = 2


class OpenFile(Protocol):
    """A data file while it is written; the format's part of the work. Any method may raise `OSError` or pyarrow's errors."""

    def write(self, batches: list[pa.RecordBatch]) -> None:
        """Encodes the batches behind those before them."""
        ...

    def finish(self) -> None:
        """Writes what the format puts at the end; the stream stays open."""
        ...

    def abandon(self) -> None:
        """Writes nothing more, ever."""
        ...


class Opener(Protocol):
    """Begins a file on a new, empty stream; the first batches come along, as a sample of what is to be written."""

    def __call__(self, stream: pa.NativeFile, schema: pa.Schema, batches: list[pa.RecordBatch]) -> OpenFile: ...


@frozen
class FilePlan:
    """What the files are like.

    Attributes:
        prefix: What every file name begins with; must be the run's own.
        suffix: What it ends with, for example `.parquet`.
        file_bytes: A file that has reached this size is finished, and the next one begun.
        reading: See `DataFile`.
        cipher: For rows that wait on a disk; without it they lie there as they are.
    """

    prefix: str
    suffix: str
    file_bytes: int
    opener: Opener
    reading: dict[str, Any] = field(default_factory=dict)
    cipher: SpillCipher | None = None


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
    _spill: Spill | None = None
    _tasks: deque[tuple[Callable[[], None], int]] = field(default_factory=deque)
    _running: bool = False
    _file: OpenFile | None = None
    _sink: Sink | None = None
    _file_rows: int = 0
    _file_schema: str = ""
    _sinks: list[Sink] = field(default_factory=list)
    _syncs: list[Future[None]] = field(default_factory=list)

    def take(self) -> list[DataFile]:
        """The finished files; from now on they are no concern of the staging."""
        files, self.finished = self.finished, []
        self._sinks.clear()
        return files

    def _empty(self) -> tuple[list[pa.RecordBatch], int]:
        batches, nbytes = self._buffer, self._buffered
        self._buffer, self._buffered, self._rows = [], 0, 0
        return batches, nbytes

    def _is_full(self, group_bytes: int) -> bool:
        nbytes, rows = (0, 0) if self._spill is None else (self._spill.nbytes, self._spill.rows)
        return self._buffered + nbytes >= group_bytes or self._rows + rows >= GROUP_ROWS


class Staging:
    """Writes the files of one run into a store; nothing here makes them visible to readers."""

    def __init__(self, store: Store, plan: FilePlan) -> None:
        self._store = store
        self._plan = plan
        # Small files have small groups: a file ends with the group that reaches its size.
        self._group_bytes = min(GROUP_BYTES, max(plan.file_bytes, 1 << 20))
        self._encoders = ThreadPoolExecutor(THREADS, thread_name_prefix="dativo-encode")
        # Separate threads: a slow disk must not keep the encoders waiting.
        self._syncers = ThreadPoolExecutor(8, thread_name_prefix="dativo-sync")
        self._lanes: dict[Lane, None] = {}
        self._open: dict[Lane, None] = {}
        self._buffered = 0
        self._in_flight = 0
        self._changed = threading.Condition()
        self._error: DativoError | None = None
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
        nbytes += COLUMN_BYTES * batch.num_columns
        lane._buffer.append(batch)
        lane._buffered += nbytes
        lane._rows += batch.num_rows
        self._buffered += nbytes
        if lane._is_full(self._group_bytes):
            self._flush(lane)
        while self._buffered > BUFFERED_BYTES:
            largest = max(self._lanes, key=_buffered)
            if largest._spill is None and largest._buffered >= SMALL_GROUP_BYTES:
                self._flush(largest)
            else:
                self._park(largest)

    def change_schema(self, lane: Lane, schema: pa.Schema, schema_id: str) -> None:
        """Later batches have another schema, and so go to another file."""
        self._flush(lane)
        self._end_file(lane)
        lane.schema, lane.schema_id = schema, schema_id

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
        fault_point("files.staged")
        wait([future for lane in lanes for future in lane._syncs])
        try:
            self._store.settle({lane.table for lane in lanes if lane._syncs})
            for lane in lanes:
                for future in lane._syncs:
                    future.result()
                lane._syncs.clear()
        except (OSError, DativoError) as error:
            raise self._fail(_as_target_error(error, self._store.location)) from error
        fault_point("files.synced")

    def close(self) -> None:
        """Stops the threads and deletes every file that is unfinished or still in a lane's `finished`. May be called twice."""
        if self._closed:
            return
        self._closed = True
        self._fail(TargetError("the target is closed"))
        self._encoders.shutdown(wait=True)
        self._syncers.shutdown(wait=True)
        for lane in self._lanes:
            if lane._file is not None:
                lane._file.abandon()
            if lane._spill is not None:
                lane._spill.drop()
            for sink in (*lane._sinks, *([lane._sink] if lane._sink is not None else [])):
                sink.discard()
            lane._buffer.clear()

    def _park(self, lane: Lane) -> None:
        """Moves the lane's buffer to disk."""
        batches, nbytes = lane._empty()
        self._buffered -= nbytes
        try:
            if lane._spill is None:
                name = f"{self._plan.prefix}{self._next():06}.arrow"
                lane._spill = Spill(self._store.scratch() / name, lane.schema, self._plan.cipher)
            lane._spill.park(batches)
        except OSError as error:
            raise self._fail(refused(error, "park rows for", self._store.location)) from error

    def _flush(self, lane: Lane) -> None:
        """Hands the lane's rows to an encoder, in their turn."""
        if not lane._buffer and lane._spill is None:
            return
        with self._changed:
            while self._in_flight > IN_FLIGHT_BYTES and self._error is None:
                self._changed.wait()
        self._raise()
        spill, lane._spill = lane._spill, None
        batches, nbytes = lane._empty()
        self._buffered -= nbytes
        self._open.pop(lane, None)
        self._open[lane] = None
        if len(self._open) > self._store.open_files:
            self._end_file(next(iter(self._open)))
        task = partial(self._encode, lane, spill, batches, lane.schema, lane.schema_id)
        self._submit(lane, task, nbytes + (spill.nbytes if spill is not None else 0))

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
                self._fail(_as_target_error(error, self._store.locate(lane.table)))
            finally:
                del task
                with self._changed:
                    self._in_flight -= nbytes
                    self._changed.notify_all()

    def _encode(self, lane: Lane, spill: Spill | None, batches: list[pa.RecordBatch], schema: pa.Schema, schema_id: str) -> None:
        if spill is not None:
            batches[:0] = spill.fetch()
        if lane._sink is None or lane._file is None:
            lane._sink = self._store.open_new(lane.table, lambda: f"{self._plan.prefix}{self._next():06}{self._plan.suffix}")
            lane._file = self._plan.opener(lane._sink.stream, schema, batches)
            lane._file_rows, lane._file_schema = 0, schema_id
        lane._file.write(batches)
        lane._file_rows += sum(batch.num_rows for batch in batches)
        batches.clear()
        if lane._sink.stream.tell() >= self._plan.file_bytes:
            self._finish_file(lane)

    def _finish_file(self, lane: Lane) -> None:
        if lane._file is None or lane._sink is None:
            return
        lane._file.finish()
        sink = lane._sink
        nbytes = sink.close()
        lane.finished.append(DataFile(sink.path, lane._file_rows, nbytes, lane._file_schema, self._plan.reading))
        lane._sinks.append(sink)
        lane._file = lane._sink = None
        lane._syncs.append(self._syncers.submit(sink.settle))

    def _next(self) -> int:
        with self._changed:
            self._counter += 1
            return self._counter

    def _fail(self, error: DativoError) -> DativoError:
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()
        return error

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error


def _buffered(lane: Lane) -> int:
    return lane._buffered


def _as_target_error(error: BaseException, path: str) -> DativoError:
    if isinstance(error, DativoError):
        return error
    if isinstance(error, OSError):
        wrapped = refused(error, "write to", path)
    else:
        wrapped = TargetError(f"cannot encode rows for `{path}`: {error}", facts={"path": path})
    wrapped.__cause__ = error
    return wrapped
