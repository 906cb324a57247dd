"""One use of a reader, on a thread that belongs to it: the contract says that it is always called from the same one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from dativo_protocols import Batch, Estimate, Rejects, State, frozen
from dativo_sdk import Estimating, ReadCatalog, Reader, SavedState

from dativo_engines.native._logs import thread_logs
from dativo_engines.native._queue import ByteQueue, QueueClosedError
from dativo_engines.native._shaping import Shaping

MAX_ROWS = 65_536
# What a rejected row weighs beside its record.
REJECT_BYTES = 64


@frozen
class Read:
    """What came of a reader at once.

    Attributes:
        piece: Rows, rows that could not be read, or an estimate; None where only a state is said, which covers all before it.
        state: Behind the piece.
        nbytes: What it weighs in a queue.
        bad: The rows of the piece with a value that would be changed, by their places in it.
    """

    piece: Batch | Rejects | Estimate | None
    state: State | None = None
    nbytes: int = 0
    bad: Rejects | None = None


@contextmanager
def opened(make: Callable[[], Reader], config: Any, catalog: ReadCatalog | None, state: SavedState | None) -> Iterator[Reader]:
    """A new reader, initialized, and closed in the end; what closing raises after another error is dropped."""
    reader = make()
    try:
        reader.initialize(config, catalog, state)
        yield reader
    except BaseException:
        with suppress(Exception):
            reader.close()
        raise
    reader.close()


def read_all(reader: Reader, shaping: Shaping, queue: ByteQueue[Read], *, states: bool = True) -> None:
    """Puts everything that an opened reader gives.

    Args:
        states: Whether it is asked for states; the readers of parts are not.

    Raises:
        QueueClosedError: Nobody listens any more.
    """
    while not queue.is_closed:
        piece = reader.read_batch(MAX_ROWS)
        if piece is None:
            return
        if isinstance(piece, Rejects):
            rejects = shaping.rejects(piece)
            read = Read(rejects, _state(reader, states=states), weight(rejects))
        else:
            batch, bad = shaping.batch(piece)
            read = Read(batch, _state(reader, states=states), batch.nbytes + (weight(bad) if bad is not None else 0), bad)
        queue.put(read, read.nbytes)
    raise QueueClosedError


def estimates_of(reader: Reader) -> Iterator[Estimate]:
    """What it thinks that it will read."""
    if isinstance(reader, Estimating):
        yield from reader.estimates()


def _state(reader: Reader, *, states: bool) -> State | None:
    return reader.get_incremental_state() if states else None


def weight(rejects: Rejects) -> int:
    """About how much memory they take, in bytes."""
    return rejects.rows * REJECT_BYTES + int(getattr(rejects.data, "nbytes", 0))


class ReaderThread:
    """Runs something with a reader, and hands on what it logs.

    Args:
        run: What it does; its errors end the queue.
        queue: Closed by who ends the thread early.
        log: For what the reader logs, with level and line; counts as a sign of life.
    """

    def __init__(self, run: Callable[[], None], queue: ByteQueue[Any], log: Callable[[str, str], None]) -> None:
        self._run = run
        self._queue = queue
        self._log = log
        self._thread = threading.Thread(target=self._main, name="dativo-reader", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self, seconds: float) -> bool:
        """Asks it to end, and waits for that; returns whether it has. A reader that does not come back cannot be ended."""
        self._queue.close()
        if self._thread.ident is not None:
            self._thread.join(seconds)
        return not self._thread.is_alive()

    def _main(self) -> None:
        try:
            with thread_logs(self._hear):
                self._run()
        except QueueClosedError:
            self._queue.end()
        except BaseException as error:
            self._queue.end(error)
        else:
            self._queue.end()

    def _hear(self, level: str, line: str) -> None:
        self._queue.heard()
        self._log(level, line)
