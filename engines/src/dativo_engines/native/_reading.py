"""The messages of a reader that runs in this process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from dativo_protocols import (
    Batch,
    ConnectorError,
    Estimate,
    Message,
    Rejects,
    State,
    StreamId,
    StreamStatus,
)
from dativo_sdk import Partition, Partitionable, Reader, SavedState

from dativo_engines._engine import EngineOptions, ReadCatalog, Selection
from dativo_engines._redaction import Redactor
from dativo_engines.native._failure import reader_failure
from dativo_engines.native._parallel import PartReader, Parts, parts_at_once
from dativo_engines.native._queue import ByteQueue, QueueClosedError
from dativo_engines.native._shaping import Shaping
from dativo_engines.native._states import Coverage
from dativo_engines.native._thread import Read, ReaderThread, estimates_of, opened, read_all

if TYPE_CHECKING:
    import pyarrow as pa


class NativeReading:
    """Reads with one reader on a thread of its own; see `dativo_engines.Reading`.

    Batches wait in a queue that is bounded in bytes: a slow target holds the reader back. Of the order of messages, of states and
    of schemas the same holds as for a connector that is a program.

    Args:
        name: What the user calls the reader.
        make: Makes a reader, one for each use.
        config: For `initialize`.
        catalog: What to read; None reads everything.
        state: As a run committed it.
        redactor: Masks errors.
        part: Reads a part in another process, for readers whose work threads cannot share; None reads parts here.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], Reader],
        options: EngineOptions,
        *,
        config: Any,
        catalog: ReadCatalog | None,
        state: bytes | None,
        redactor: Redactor,
        part: PartReader | None = None,
    ) -> None:
        self._name = name
        self._make = make
        self._options = options
        self._config = config
        self._catalog = catalog
        self._saved = None if state is None else SavedState.parse(state)
        self._redactor = redactor
        self._part = part
        self._parts: Parts | None = None
        budget = options.decode.memory_budget_bytes
        # Nothing is decoded here, so that half of a decoder's share keeps a target busy. With several readers, nearly everything
        # that waits does so in their queues.
        self._queue: ByteQueue[Read] = ByteQueue(budget // (2 if options.parallel == 1 else 4))
        self._budget = budget - budget // 4
        self._thread = ReaderThread(self._read, self._queue, self.log)
        self._coverage = Coverage(self._saved)
        self._schemas: dict[StreamId, pa.Schema] = {}
        self._rows: Counter[StreamId] = Counter()
        self._bytes = 0
        self._shaping: Shaping | None = None
        self._stalled = False

    @property
    def rows_in(self) -> Mapping[StreamId, int]:
        """Rows received per stream, rejected ones too."""
        return dict(self._rows)

    @property
    def bytes_in(self) -> int:
        """Bytes received, as Arrow data."""
        return self._bytes

    def log(self, level: str, line: str) -> None:
        """Passes a line on, masked."""
        if self._options.log is not None:
            # A broken log must not stop the reader.
            with suppress(Exception):
                self._options.log(level, self._redactor(line))

    def __enter__(self) -> NativeReading:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends the reader. May be called twice."""
        self._queue.close()
        if self._part is not None:
            self._part.close()
        if self._parts is not None:
            self._parts.close(0.0)
        if not self._thread.close(0.0 if self._stalled else self._options.stop_timeout_seconds) and not self._stalled:
            self._stalled = True
            self.log("warning", f"`{self._name}` still does something, and cannot be ended before it comes back: {HINT}")

    def __iter__(self) -> Iterator[Message]:
        try:
            yield from self._messages()
        except QueueClosedError:
            raise ConnectorError(f"the reading of `{self._name}` is closed") from None
        except GeneratorExit:
            raise
        except Exception as error:
            failure = reader_failure(self._name, error, self._redactor, self.log, again=True)
            if failure is error:
                raise
            raise failure from error

    def _messages(self) -> Iterator[Message]:
        while (read := self._next()) is not None:
            piece = read.piece
            if piece is None:
                yield from self._covered(read.state, covers_all=True)
                continue
            if isinstance(piece, Estimate):
                yield piece
                continue
            yield from self._announced(piece)
            bad = read.bad
            if bad is not None:
                yield _numbered(bad, self._rows[piece.stream])
                self._rows[piece.stream] += bad.rows
            self._rows[piece.stream] += piece.rows
            if isinstance(piece, Batch):
                self._bytes += piece.nbytes
            self._coverage.rows(piece.stream)
            if bad is None or piece.rows:
                yield piece
            yield from self._covered(read.state)
        yield from self._finished()

    def _covered(self, said: State | None, *, covers_all: bool = False) -> Iterator[State]:
        state = None if said is None else self._coverage.state(said, covers_all=covers_all)
        if state is not None:
            yield state

    def _next(self) -> Read | None:
        try:
            return self._queue.get(self._options.stall_timeout_seconds)
        except TimeoutError:
            self._stalled = True
            seconds = self._options.stall_timeout_seconds
            raise ConnectorError(
                f"`{self._name}` said nothing for {seconds:g} s, and cannot be ended before it comes back",
                hint=f"raise the stall timeout if the source may be silent for longer; {HINT}",
                retryable=True,
                facts={"stall_timeout_seconds": seconds},
            ) from None

    def _announced(self, piece: Batch | Rejects) -> Iterator[Message]:
        """What comes before a piece: that its stream has begun, and its schema where it is new."""
        import pyarrow as pa

        stream, shaping = piece.stream, self._shaped()
        known = self._schemas.get(stream)
        if isinstance(piece, Rejects):
            schema = known if known is not None else shaping.empty(stream)
        else:
            schema = pa.record_batch(piece.data).schema
            if CHANGES in schema.names:
                # Only batches that need it have it.
                schema = schema.remove(schema.get_field_index(CHANGES))
        if known is None:
            yield StreamStatus(stream, "STARTED")
        if known is None or not schema.equals(known, check_metadata=True):
            self._schemas[stream] = schema
            yield shaping.announced(stream, schema)

    def _finished(self) -> Iterator[Message]:
        """What comes at the end: streams without rows, a state that covers all, and that all are complete."""
        shaping = self._shaped()
        for stream in shaping.streams:
            if stream not in self._schemas:
                yield shaping.announced(stream, shaping.empty(stream))
        state: State | None = self._coverage.final()
        if state is not None:
            yield state
        for stream in shaping.streams:
            yield StreamStatus(stream, "COMPLETE")

    def _shaped(self) -> Shaping:
        if self._shaping is None:
            raise RuntimeError("nothing was read yet")
        return self._shaping

    def _read(self) -> None:
        """On the reader's thread: everything, from its first call to its last."""
        with opened(self._make, self._config, self._catalog, self._saved) as reader:
            offered = reader.get_schema() if self._catalog is None else self._catalog.catalog
            self._shaping = Shaping({stream.id: stream for stream in offered.streams}, self._catalog, self._options.decode)
            for estimate in estimates_of(reader):
                self._queue.put(Read(estimate), 0)
            workers = self._options.parallel
            if workers == 1 or not isinstance(reader, Partitionable):
                read_all(reader, self._shaping, self._queue)
                return
            catalog = self._catalog or ReadCatalog(offered, {stream.id: Selection() for stream in offered.streams})
            parts = reader.partitions(workers, self._budget // parts_at_once(workers))
            if parts:
                self._read_parts(parts, catalog)
                return
        # What is not to be read in parts is read whole, by a reader that was not asked for parts.
        with opened(self._make, self._config, self._catalog, self._saved) as reader:
            read_all(reader, self._shaped(), self._queue)

    def _read_parts(self, partitions: Sequence[Partition], catalog: ReadCatalog) -> None:
        read = partial(self._read_part, catalog) if self._part is None else self._part.read
        parts = Parts(partitions, read, workers=self._options.parallel, budget_bytes=self._budget, log=self._hear)
        self._parts = parts
        try:
            if not self._queue.is_closed:
                parts.pass_on(self._queue)
        finally:
            if not parts.close(self._options.stop_timeout_seconds):
                self.log("warning", f"readers of parts of `{self._name}` have not ended: {HINT}")

    def _read_part(self, catalog: ReadCatalog, token: bytes, queue: ByteQueue[Read]) -> None:
        with opened(self._make, self._config, replace(catalog, partition=token), self._saved) as reader:
            read_all(reader, self._shaped(), queue, states=False)

    def _hear(self, level: str, line: str) -> None:
        self._queue.heard()
        self.log(level, line)


def _numbered(bad: Rejects, before: int) -> Rejects:
    """With the numbers of the stream's rows, from 1 on, in the place of the piece's."""
    import pyarrow as pa
    import pyarrow.compute as pc

    data = pa.record_batch(bad.data)
    lines = pc.add(data.column("line"), pa.scalar(before + 1, pa.int64()))
    return Rejects(bad.stream, data.set_column(0, data.schema.field(0), lines), bad.rows)


CHANGES = "_dativo_changes"
HINT = "with `isolation: process` it would run where Dativo can end it"
