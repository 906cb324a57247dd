"""Several readers share the work: parts read at the same time, and given in their order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from dativo_sdk import Partition

from dativo_engines.native._queue import ByteQueue, QueueClosedError
from dativo_engines.native._thread import Read, ReaderThread

ReadPart: TypeAlias = Callable[[bytes, ByteQueue[Read]], None]
"""Reads the part of this token into the queue; does not end it."""

Log: TypeAlias = Callable[[str, str], None]


class PartReader(Protocol):
    """Reads parts somewhere else than in this process; used by several threads at a time."""

    def read(self, token: bytes, queue: ByteQueue[Read]) -> None:
        """As `ReadPart`."""
        ...

    def close(self) -> None:
        """Ends all that are being read. From any thread; may be called twice."""
        ...


def parts_at_once(workers: int) -> int:
    """How many parts may be there at the same time: those that are read, and as many that wait for their turn."""
    return 2 * workers


class Parts:
    """Workers that take one part after the other.

    The parts come out in their order, and each one's rows in theirs. A part that waits for its turn is kept in memory as far as
    its share of the budget goes; then its worker waits. Parts are begun in their order, so the one whose turn it is always has a
    worker.

    Args:
        partitions: In the order in which their rows are to come.
        read: Reads one; called by several threads at a time.
        workers: How many.
        budget_bytes: For everything that waits.
        log: For what readers log; from any thread.
    """

    def __init__(self, partitions: Sequence[Partition], read: ReadPart, *, workers: int, budget_bytes: int, log: Log) -> None:
        self._partitions = partitions
        self._read = read
        self._window = parts_at_once(workers)
        share = max(1, budget_bytes // self._window)
        self._queues: list[ByteQueue[Read]] = [ByteQueue(share) for _ in partitions]
        self._next = 0
        self._done = 0
        self._closed = False
        self._changed = threading.Condition()
        # A worker's own queue is only told that it has ended.
        self._threads = [ReaderThread(self._work, ByteQueue(1), log) for _ in range(min(workers, len(partitions)))]

    def pass_on(self, queue: ByteQueue[Read]) -> None:
        """Starts the workers, and puts everything into the queue: each part's pieces, then the state that covers it.

        Raises:
            QueueClosedError: Nobody listens any more.
            Exception: What the reader of a part raised; those of later parts are ended.
        """
        for thread in self._threads:
            thread.start()
        for partition, part in zip(self._partitions, self._queues, strict=True):
            while (read := part.get()) is not None:
                queue.put(read, read.nbytes)
            if partition.state is not None:
                queue.put(Read(None, partition.state), 0)
            with self._changed:
                self._done += 1
                self._changed.notify_all()

    def close(self, seconds: float) -> bool:
        """Ends the workers; returns whether all have ended after so many seconds. From any thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for part in self._queues:
            part.close()
            part.end(QueueClosedError())
        ended = [thread.close(seconds) for thread in self._threads]
        return all(ended)

    def _work(self) -> None:
        while (number := self._taken()) is not None:
            part = self._queues[number]
            try:
                self._read(self._partitions[number].token, part)
            except BaseException as error:
                part.end(error)
                raise
            part.end()

    def _taken(self) -> int | None:
        """The next part, once there is room for it; None when there is no other."""
        with self._changed:
            number, self._next = self._next, self._next + 1
            if number >= len(self._partitions):
                return None
            while number >= self._done + self._window and not self._closed:
                self._changed.wait()
            return None if self._closed else number
