"""What every engine's reading shares: a process, its decoder, an end when it falls silent, and how it ended."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

from dativo_protocols import Message, StreamId

from dativo_engines._engine import DecodeOptions, EngineOptions
from dativo_engines._running import Exit, Running
from dativo_engines._session import Session


class Decoder(Protocol):
    """What the decoders of all protocols have in common."""

    def __iter__(self) -> Iterator[Message]: ...
    def close(self) -> None: ...
    @property
    def rows_in(self) -> Mapping[StreamId, int]: ...
    @property
    def bytes_in(self) -> int: ...
    @property
    def idle_seconds(self) -> float: ...


def decoder_options(options: DecodeOptions) -> dict[str, Any]:
    """`DecodeOptions` as the decoder's keyword arguments."""
    return {
        "on_bad_value": options.on_bad_value,
        "nested": options.nested,
        "extra": options.extra,
        "metadata": sorted(options.metadata),
        "fields": {stream: list(fields) for stream, fields in options.fields.items()},
        "types": {stream: dict(types) for stream, types in options.types.items()},
        "max_record_bytes": options.max_record_bytes,
        "memory_budget_bytes": options.memory_budget_bytes,
        "threads": options.threads,
    }


SessionT = TypeVar("SessionT", bound=Session[Any])


class ConnectorReading(Generic[SessionT]):
    """The part of a `Reading` that is the same for all engines; the connector starts when the `with` block is entered.

    An engine's own defines `open_session` and `begin`, which starts the connector with `started`, and iterates.
    """

    def __init__(self, options: EngineOptions) -> None:
        self._options = options
        self._stalled = False
        self._asked_at = 0.0
        self._closed = threading.Event()
        self._open_session: SessionT | None = None
        self._started: tuple[Running, Decoder] | None = None

    def open_session(self) -> SessionT:
        """Makes the connector ready."""
        raise NotImplementedError

    def begin(self) -> None:
        """Starts the connector."""
        raise NotImplementedError

    @property
    def session(self) -> SessionT:
        if self._open_session is None:
            raise RuntimeError("a reading is used inside its `with` block")
        return self._open_session

    @property
    def process(self) -> Running:
        return self._running()[0]

    @property
    def decoder(self) -> Decoder:
        return self._running()[1]

    def started(self, process: Running, decoder: Decoder) -> None:
        """From now on these are read; what was read before is closed."""
        before, self._started = self._started, (process, decoder)
        if before is not None:
            before[1].close()

    @property
    def bytes_in(self) -> int:
        """Bytes received on the connector's stdout."""
        return self._started[1].bytes_in if self._started is not None else 0

    def decoded_rows(self) -> Mapping[StreamId, int]:
        """Records per stream, as the decoder counts them."""
        return self._started[1].rows_in if self._started is not None else {}

    def rest(self) -> None:
        """From now on the connector has nothing to do: however long it is silent, it has not stalled."""
        self._asked_at = math.inf

    def asked(self) -> None:
        """It has something to do again."""
        self._asked_at = time.monotonic()

    def close(self) -> None:
        """Ends the connector and everything it started. May be called twice."""
        self._closed.set()
        if self._started is not None:
            self._started[1].close()
        if self._open_session is not None:
            self._open_session.close()

    def end(self) -> Exit:
        """How the connector ended, once the decoder has given everything.

        Raises:
            ConnectorError: It had to be ended.
        """
        if self._stalled:
            raise self.session.stalled(self._options.stall_timeout_seconds, self.process)
        return self.session.end_of(self.process)

    def ended_badly(self) -> Exit | None:
        """How the connector failed, if that is why the decoder did: what it met may only be the end of a broken output.

        Raises:
            ConnectorError: It had to be ended.
        """
        if self._stalled:
            raise self.session.stalled(self._options.stall_timeout_seconds, self.process)
        ended = self.process.wait(1.0)
        return ended if ended is not None and ended.code != 0 else None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def enter(self) -> None:
        """Starts the connector, and what watches over it."""
        self._open_session = self.open_session()
        try:
            self.begin()
        except BaseException:
            self.close()
            raise
        if self._options.stall_timeout_seconds:
            threading.Thread(target=self._watch, name="dativo-stall", daemon=True).start()

    def _running(self) -> tuple[Running, Decoder]:
        if self._started is None:
            raise RuntimeError("a reading is used inside its `with` block")
        return self._started

    def _watch(self) -> None:
        """Ends a connector that says nothing, neither on stdout nor on stderr, while Dativo is ready to listen."""
        timeout = self._options.stall_timeout_seconds
        while not self._closed.wait(min(timeout / 4, 5.0)):
            if self._started is None or self._started[0].exit is not None:
                continue
            process, decoder = self._started
            if min(decoder.idle_seconds, process.idle_seconds, time.monotonic() - self._asked_at) > timeout:
                self._stalled = True
                process.stop()
                return
