"""Parts of what a reader reads, each by a process of its own."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from dativo_protocols import Batch, Rejects

from dativo_engines._engine import Connector, EngineOptions, ReadCatalog
from dativo_engines.airbyte._reading import AirbyteReading
from dativo_engines.native._queue import ByteQueue, QueueClosedError
from dativo_engines.native._thread import Read, weight
from dativo_engines.program import ProgramEngine

LEAST_BYTES = 1 << 20
"""Of what the decoder of one process holds."""


class PartProcess:
    """Starts a process for each part; see `PartReader`.

    Args:
        program: The reader as a program.
        config, catalog, state: What it is started with.
    """

    def __init__(
        self,
        program: Connector,
        options: EngineOptions,
        config: Mapping[str, Any],
        catalog: ReadCatalog,
        state: bytes | None,
    ) -> None:
        # Most of the budget is the queues', where parts wait for their turn.
        budget = max(LEAST_BYTES, options.decode.memory_budget_bytes // 4 // options.parallel)
        decode = replace(options.decode, memory_budget_bytes=budget)
        self._engine = ProgramEngine(program, replace(options, decode=decode, parallel=1))
        self._config = config
        self._catalog = catalog
        self._state = state
        self._readings: set[AirbyteReading] = set()
        self._closed = False
        self._lock = threading.Lock()

    def read(self, token: bytes, queue: ByteQueue[Read]) -> None:
        """Puts the part's rows.

        Raises:
            ConnectorError: The process failed.
            QueueClosedError: Nobody listens any more.
        """
        with ExitStack() as stack:
            reading = stack.enter_context(self._engine.read_part(self._config, self._catalog, self._state, token))
            with self._lock:
                if self._closed:
                    raise QueueClosedError
                self._readings.add(reading)
            try:
                for message in reading:
                    if isinstance(message, Batch):
                        queue.put(Read(message, nbytes=message.nbytes), message.nbytes)
                    elif isinstance(message, Rejects):
                        queue.put(Read(message, nbytes=weight(message)), weight(message))
            except Exception as error:
                if self._closed:
                    raise QueueClosedError from error
                raise
            finally:
                with self._lock:
                    self._readings.discard(reading)

    def close(self) -> None:
        """Ends all processes; from any thread."""
        with self._lock:
            self._closed = True
            readings = list(self._readings)
        for reading in readings:
            reading.decoder.close()
