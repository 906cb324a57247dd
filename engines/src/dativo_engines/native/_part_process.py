"""Parts of what a reader reads, by processes."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from dativo_protocols import Batch, Message, Rejects

from dativo_engines._engine import Connector, EngineOptions, ReadCatalog
from dativo_engines.airbyte._reading import AirbyteReading
from dativo_engines.native._queue import ByteQueue, QueueClosedError
from dativo_engines.native._thread import Read, weight
from dativo_engines.program import ProgramEngine
from dativo_engines.program._parts import PartsReading

LEAST_BYTES = 1 << 20
"""Of what the decoder of one process holds."""


class PartProcess:
    """Reads parts in processes, as many as ask at the same time; see `PartReader`.

    Args:
        program: The reader as a program.
        config, catalog, state: What it is started with.
        on_stdin: Whether it reads one part after the other, so that it is started once for each worker; else once for each part.
    """

    def __init__(
        self,
        program: Connector,
        options: EngineOptions,
        config: Mapping[str, Any],
        catalog: ReadCatalog,
        state: bytes | None,
        *,
        on_stdin: bool,
    ) -> None:
        # Most of the budget is the queues', where parts wait for their turn.
        budget = max(LEAST_BYTES, options.decode.memory_budget_bytes // 4 // options.parallel)
        decode = replace(options.decode, memory_budget_bytes=budget)
        self._engine = ProgramEngine(program, replace(options, decode=decode, parallel=1))
        self._config = config
        self._catalog = catalog
        self._state = state
        self._on_stdin = on_stdin
        self._stop_seconds = options.stop_timeout_seconds
        self._busy: set[AirbyteReading] = set()
        self._resting: list[PartsReading] = []
        self._closed = False
        self._lock = threading.Lock()

    def read(self, token: bytes, queue: ByteQueue[Read]) -> None:
        """Puts the part's rows.

        Raises:
            ConnectorError: The process failed.
            QueueClosedError: Nobody listens any more.
        """
        try:
            with self._reading(token) as messages:
                for message in messages:
                    if isinstance(message, Batch):
                        queue.put(Read(message, nbytes=message.nbytes), message.nbytes)
                    elif isinstance(message, Rejects):
                        queue.put(Read(message, nbytes=weight(message)), weight(message))
        except Exception as error:
            if self._closed:
                raise QueueClosedError from error
            raise

    def close(self) -> None:
        """Ends all processes; from any thread."""
        with self._lock:
            self._closed = True
            busy, resting = list(self._busy), self._resting
            self._resting = []
        for reading in busy:
            reading.decoder.close()
        for parts in resting:
            parts.finish()
        for parts in resting:
            # It closes what it holds: a signal in the midst of that would cut it short.
            parts.process.wait(self._stop_seconds)
            parts.close()

    @contextmanager
    def _reading(self, token: bytes) -> Iterator[Iterator[Message]]:
        """The messages of a part; its process rests behind it, unless it has failed."""
        if not self._on_stdin:
            with self._engine.read_part(self._config, self._catalog, self._state, token) as whole, self._used(whole):
                yield iter(whole)
            return
        with ExitStack() as stack:
            reading = self._rested()
            if reading is None:
                reading = self._engine.read_parts(self._config, self._catalog, self._state)
                reading.__enter__()
            stack.callback(reading.close)
            with self._used(reading):
                yield reading.part(token)
            with self._lock:
                if not self._closed:
                    self._resting.append(reading)
                    stack.pop_all()

    def _rested(self) -> PartsReading | None:
        with self._lock:
            return self._resting.pop() if self._resting else None

    @contextmanager
    def _used(self, reading: AirbyteReading) -> Iterator[None]:
        """Ended by `close` meanwhile."""
        with self._lock:
            if self._closed:
                raise QueueClosedError
            self._busy.add(reading)
        try:
            yield
        finally:
            with self._lock:
                self._busy.discard(reading)
