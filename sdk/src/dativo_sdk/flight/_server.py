"""The server's side."""

from __future__ import annotations

import json
import os
import secrets as random
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
from dativo_protocols import ConfigError, ConnectionStatus, ConnectorError, DativoError, StreamId
from pyarrow import flight

from dativo_sdk._airbyte_catalog import read_catalog_of
from dativo_sdk._config import make_config
from dativo_sdk._program.said import said
from dativo_sdk._reader import Checkable
from dativo_sdk._saved_state import SavedState
from dativo_sdk.flight._session import Given, Session
from dativo_sdk.flight._writing import WriterSession
from dativo_sdk.flight.wire import dumped, error_to_json, state_to_json

IDLE_SECONDS = 120.0
ACTIONS = ("health", "spec", "check", "discover", "open", "write", "request", "close")


class FlightServer(flight.FlightServerBase):  # type: ignore[misc]
    """Serves one reader or writer to any number of clients; see `serve`."""

    def __init__(
        self,
        plugin: type[Any],
        location: str,
        *,
        token: str | None = None,
        certificate: bytes | None = None,
        key: bytes | None = None,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        # Calls may come in as soon as the base is made.
        self._plugin = plugin
        self._idle = idle_seconds
        self._sessions: dict[str, Session | WriterSession] = {}
        self._lock = threading.Lock()
        parts = urlsplit(location)
        if parts.scheme == "grpc+unix":
            _remove_stale(Path(parts.path))
        options: dict[str, Any] = {}
        if parts.scheme == "grpc+tls":
            if certificate is None or key is None:
                raise ConfigError("`grpc+tls` needs a certificate and its key")
            options["tls_certificates"] = [(certificate, key)]
        if token is not None:
            options["middleware"] = {"token": _TokenFactory(token)}
        super().__init__(location, **options)

    def do_action(self, context: Any, action: Any) -> Iterator[bytes]:
        """Answers in one piece."""
        try:
            body = json.loads(action.body.to_pybytes() or b"{}")
            answer: Callable[[dict[str, Any]], bytes] | None = getattr(self, f"_{action.type}", None)
            if action.type not in ACTIONS or answer is None:
                raise ConfigError(f"there is no action `{action.type}`")
            yield answer(body)
        except Exception as error:
            yield dumped({"error": error_to_json(error)})

    def do_get(self, context: Any, ticket: Any) -> Any:
        """The rows of a session, up to the next change of stream or schema."""
        session = self._sessions.get(ticket.ticket.decode(errors="replace"))
        if not isinstance(session, Session):
            return _only(
                {"error": {"kind": "connector", "message": "there is no such session", "retryable": True, "again": True}}
            )
        try:
            first = session.next()
        except Exception as error:
            return _only({"error": error_to_json(error)})
        if first is None:
            return _only({"more": False})
        return flight.GeneratorStream(pa.record_batch(first.piece.data).schema, _rows(session, first))

    def do_put(self, context: Any, descriptor: Any, reader: Any, writer: Any) -> None:
        """Stages batches; what goes wrong with them is the answer to the next request."""
        about = json.loads(descriptor.command)
        session = self._writer(about)
        for chunk in reader:
            session.stage(about["type"], StreamId(about["stream"], about.get("namespace")), chunk.data)

    def _health(self, body: dict[str, Any]) -> bytes:
        with self._lock:
            self._sessions = {key: each for key, each in self._sessions.items() if not each.is_over}
            return dumped({"status": "ok", "sessions": len(self._sessions), "pid": os.getpid()})

    def _spec(self, body: dict[str, Any]) -> bytes:
        return said(lambda voice: voice.spec(self._plugin))

    def _check(self, body: dict[str, Any]) -> bytes:
        try:
            status = self._used(body, lambda reader: reader.check() if isinstance(reader, Checkable) else reader.get_schema())
            status = status if isinstance(status, ConnectionStatus) else ConnectionStatus(True)
        except DativoError as error:
            status = ConnectionStatus(False, str(error))
        return said(lambda voice: voice.status(status))

    def _discover(self, body: dict[str, Any]) -> bytes:
        catalog = self._used(body, lambda reader: reader.get_schema())
        return said(lambda voice: voice.catalog(catalog))

    def _open(self, body: dict[str, Any]) -> bytes:
        catalog = None if body.get("catalog") is None else read_catalog_of(body["catalog"])
        state = None if body.get("state") is None else SavedState.parse(body["state"].encode())
        session = Session(self._plugin, body.get("config") or {}, catalog, state, self._idle)
        with self._lock:
            self._sessions[session.id] = session
        return dumped({"session": session.id})

    def _write(self, body: dict[str, Any]) -> bytes:
        session = WriterSession(self._plugin, body.get("config") or {}, self._idle)
        with self._lock:
            self._sessions[session.id] = session
        return dumped({"session": session.id})

    def _request(self, body: dict[str, Any]) -> bytes:
        return self._writer(body).request(str(body["line"]))

    def _writer(self, body: dict[str, Any]) -> WriterSession:
        session = self._sessions.get(str(body.get("session")))
        if not isinstance(session, WriterSession) or session.is_over:
            raise ConnectorError("there is no such session", retryable=True)
        return session

    def _close(self, body: dict[str, Any]) -> bytes:
        with self._lock:
            session = self._sessions.pop(str(body.get("session")), None)
        if session is not None:
            session.close()
        return dumped({})

    def _used(self, body: dict[str, Any], use: Callable[[Any], Any]) -> Any:
        """A reader for one question, on the thread of the call."""
        reader = self._plugin()
        try:
            reader.initialize(make_config(self._plugin, body.get("config") or {}), None, None)
            return use(reader)
        finally:
            reader.close()


def serve(
    plugin: type[Any],
    location: str,
    *,
    token: str | None = None,
    certificate: bytes | None = None,
    key: bytes | None = None,
    idle_seconds: float = IDLE_SECONDS,
    ready: Callable[[FlightServer], None] | None = None,
) -> None:
    """Serves a reader or a writer until SIGTERM or SIGINT.

    Args:
        plugin: Its class. An object of its own is made for each reading or writing, which has a thread of its own.
        location: `grpc+unix:///path`, `grpc://host:port` (port 0 takes a free one) or `grpc+tls://host:port`. A socket that a
            dead server left behind is replaced. Without TLS, TCP is for a network that everybody may listen to.
        token: What clients must say; None lets in everybody who reaches the place.
        certificate, key: Of TLS, as PEM.
        idle_seconds: A reading that nobody fetches from for so long is ended.
        ready: Called once clients can connect.

    Raises:
        ConfigError: TLS without a certificate.
    """
    server = FlightServer(plugin, location, token=token, certificate=certificate, key=key, idle_seconds=idle_seconds)
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: threading.Thread(target=server.shutdown, daemon=True).start())
    if ready is not None:
        ready(server)
    server.serve()


def _rows(session: Session, first: Given) -> Iterator[tuple[pa.RecordBatch, bytes]]:
    given: Given | None = first
    schema = pa.record_batch(first.piece.data).schema
    empty = pa.RecordBatch.from_pylist([], schema=schema)
    while given is not None:
        data = pa.record_batch(given.piece.data)
        if (given.piece.stream, given.kind) != (first.piece.stream, first.kind) or not data.schema.equals(schema, True):
            session.put_back(given)
            yield empty, dumped({"more": True})
            return
        stream = given.piece.stream
        about: dict[str, Any] = {"stream": stream.name, "namespace": stream.namespace, "kind": given.kind}
        if given.state is not None:
            about["state"] = state_to_json(given.state)
        yield data, dumped(about)
        try:
            given = session.next()
        except Exception as error:
            yield empty, dumped({"error": error_to_json(error)})
            return
    yield empty, dumped({"more": False})


def _only(about: dict[str, Any]) -> Any:
    schema = pa.schema([])
    return flight.GeneratorStream(schema, iter([(pa.RecordBatch.from_pylist([], schema=schema), dumped(about))]))


def _remove_stale(path: Path) -> None:
    """A socket on which nobody listens keeps a server from listening."""
    import socket

    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX) as probe:
        if probe.connect_ex(str(path)) != 0:
            path.unlink()


class _TokenFactory(flight.ServerMiddlewareFactory):  # type: ignore[misc]
    def __init__(self, token: str) -> None:
        super().__init__()
        self._expected = f"Bearer {token}".encode()

    def start_call(self, info: Any, headers: dict[str, list[str]]) -> None:
        given = next((values for name, values in headers.items() if name.lower() == "authorization"), [""])
        if not random.compare_digest(str(given[0]).encode(), self._expected):
            raise flight.FlightUnauthenticatedError("wrong or missing token")
