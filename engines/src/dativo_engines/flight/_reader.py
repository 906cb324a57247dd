"""What a Flight server reads, as a reader: lost connections are made again, and the reading goes on where it was."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dativo_protocols import Batch, Catalog, ConnectorError, DativoError, Rejects, State, StreamId
from dativo_sdk import Piece, ReadCatalog, SavedState
from dativo_sdk.flight.wire import error_from_json, state_from_json

from dativo_engines.airbyte import configured_catalog
from dativo_engines.flight._client import FlightClient, LostError, Received
from dativo_engines.native._states import Coverage

RECONNECT_SECONDS = 30.0
PAUSE_SECONDS = 0.2

Log = Callable[[str, str], None]


class FlightReader:
    """A reading on a server.

    Rows are held back until a state covers them, so that a reading that goes on from that state after a connection was lost
    brings each row once. Where too many wait, they are handed out without; then a lost connection ends this attempt of the run,
    and the next one starts from the target's last commit.

    Args:
        connect: Makes a connection.
        hold_bytes: As much is held back.
        log: Called with level and line.
    """

    def __init__(self, connect: Callable[[], FlightClient], hold_bytes: int, log: Log) -> None:
        self._connect = connect
        self._limit = hold_bytes
        self._log = log
        self._client: FlightClient | None = None
        self._ready: deque[tuple[Piece, State | None]] = deque()
        self._held: list[tuple[Piece, State | None]] = []
        self._held_bytes = 0
        self._let_go = False
        self._ended = False
        self._last: State | None = None
        self._progress = 0

    def initialize(self, config: Mapping[str, Any], catalog: ReadCatalog | None, state: SavedState | None) -> None:
        """Begins the reading on the server.

        Raises:
            DativoError: The server refuses it.
        """
        configured = None if catalog is None else json.loads(configured_catalog(catalog).data)
        self._opening = {"config": dict(config), "catalog": configured}
        self._state = None if state is None else state.to_json()
        self._coverage = Coverage(state)
        self._pieces = self._received()

    def get_schema(self) -> Catalog:
        """Nothing: the engine asks for it."""
        return Catalog(())

    def read_batch(self, max_rows: int) -> Piece | None:
        """The next piece that may be handed out."""
        while not self._ready and not self._ended:
            self._take()
        if not self._ready:
            return None
        piece, self._last = self._ready.popleft()
        return piece

    def get_incremental_state(self) -> State | None:
        """That of the last piece."""
        return self._last

    def close(self) -> None:
        """Ends the reading, and tells the server as far as it listens."""
        self._pieces = iter(())
        if self._client is not None:
            self._client.close()
            self._client = None

    def _take(self) -> None:
        deadline = time.monotonic() + RECONNECT_SECONDS
        progress = self._progress
        while True:
            try:
                given = next(self._pieces, None)
                break
            except LostError as error:
                if self._progress != progress:
                    deadline, progress = time.monotonic() + RECONNECT_SECONDS, self._progress
                self._lost(error, deadline)
        if given is None:
            self._ended = True
            self._release()
            return
        piece, state = given
        self._progress += 1
        self._held.append(given)
        self._held_bytes += piece.nbytes if isinstance(piece, Batch) else 0
        self._coverage.rows(piece.stream)
        covering = None if state is None else self._coverage.state(state)
        if covering is not None:
            self._state = covering.data
            self._let_go = False
            self._release()
        elif self._held_bytes > self._limit:
            self._let_go = True
            self._release()

    def _lost(self, error: LostError, deadline: float) -> None:
        """Makes ready to begin again from the last state.

        Raises:
            ConnectorError: It has been tried for long enough, or rows are out that no state covers.
        """
        if self._let_go:
            raise ConnectorError(
                f"{error.message}; rows were written that no state covers, so that it cannot go on from there",
                hint="another attempt starts from the last checkpoint",
                retryable=True,
            ) from error
        if time.monotonic() > deadline:
            raise error
        self._log("warning", f"{error.message}: trying again from the last state")
        time.sleep(PAUSE_SECONDS)
        self._held.clear()
        self._held_bytes = 0
        self._coverage = Coverage(None if self._state is None else SavedState.parse(self._state))
        if self._client is not None:
            self._client.close()
            self._client = None
        self._pieces = self._received()

    def _release(self) -> None:
        self._ready.extend(self._held)
        self._held.clear()
        self._held_bytes = 0

    def _received(self) -> Iterator[tuple[Piece, State | None]]:
        """The pieces of one session, from the last state to the end."""
        self._client = client = self._connect()
        state = None if self._state is None else self._state.decode()
        session = str(json.loads(client.ask("open", {**self._opening, "state": state}))["session"])
        more = True
        while more:
            more = False
            whole = False
            for received in client.get(session):
                about = received.about
                if "error" in about:
                    raise _lost_session(error_from_json(about["error"]))
                if "more" in about:
                    more, whole = about["more"] is True, True
                    break
                yield _piece(received), None if about.get("state") is None else state_from_json(about["state"])
            if not whole:
                raise LostError("the server broke off in the midst of a reading", retryable=True)
        client.ask("close", {"session": session})


def _lost_session(error: DativoError) -> DativoError:
    """A server that knows no session was started anew."""
    return LostError(error.message, hint=error.hint, retryable=True) if "no such session" in error.message else error


def _piece(received: Received) -> Piece:
    about, data = received.about, received.data
    stream = StreamId(str(about["stream"]), about.get("namespace"))
    if about.get("kind") == "rejects":
        return Rejects(stream, data, data.num_rows)
    return Batch(stream, data, data.num_rows, data.nbytes)
