"""A writer on a Flight server: requests are actions, batches go by DoPut."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, cast

from dativo_protocols import ArrowArrayExportable, ConfigError, ConnectorError, Spec, StreamId, TargetError
from dativo_sdk import WriteCatalog, Writer, compatible
from dativo_sdk.writer_process import remote_writer

from dativo_engines._engine import Connector, EngineOptions
from dativo_engines.flight._client import FlightClient
from dativo_engines.native._said import heard


def open_flight_writer(connector: Connector, options: EngineOptions) -> Writer:
    """A new writer on the server.

    Raises:
        ConfigError: The server has no writer, or one that was written for another version of the contracts.
        TargetError: The server cannot be reached (retryable).
    """
    location = connector.reader or ""
    client = FlightClient(location, connector.environment)
    try:
        about = heard(Spec, client.ask("spec")).raw.get("dativo") or {}
    except ConnectorError as error:
        raise _away(error) from error
    refused = compatible(about.get("api_version"), name=f"the writer at `{location}`")
    if refused is not None:
        raise refused
    can = about.get("capabilities") or {}
    if not can.get("write"):
        raise ConfigError(f"the server at `{location}` has no writer")
    powers = [power for power in can.get("powers") or () if power != "inspect"]
    remote = remote_writer(powers, can.get("write_modes") or ("append",), can.get("refuses") or ())
    return cast(Writer, type("FlightWriter", (_OverFlight, remote), {})(client, options))


class _OverFlight:
    """The part of a remote writer that moves what it says."""

    def __init__(self, client: FlightClient, options: EngineOptions) -> None:
        self._client = client
        self._stop_seconds = options.stop_timeout_seconds
        self._stall_seconds = options.stall_timeout_seconds or None
        self._session: str | None = None
        self._replies = io.BytesIO()
        self._catalog: WriteCatalog | None = None
        self._said: dict[StreamId, Any] = {}

    def initialize(self, config: Mapping[str, Any], catalog: WriteCatalog) -> bytes | None:
        try:
            self._session = str(json.loads(self._client.ask("write", {"config": dict(config)}))["session"])
        except ConnectorError as error:
            raise _away(error) from error
        found: bytes | None = super().initialize(config, catalog)  # type: ignore[misc]
        return found

    def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            # Else what it staged is dropped once it has heard nothing for long enough.
            with suppress(ConnectorError):
                self._client.ask("close", {"session": session}, self._stop_seconds)
        self._client.close()

    def _send(self, data: bytes) -> None:
        try:
            self._replies = io.BytesIO(
                self._client.ask("request", {"session": self._session, "line": data.decode()}, self._stall_seconds)
            )
        except ConnectorError as error:
            raise _away(error) from error

    def _frame(self, stream: StreamId, data: ArrowArrayExportable, *, rejects: bool) -> None:
        about = {"session": self._session, "type": "REJECTS" if rejects else "BATCH", "stream": stream.name}
        try:
            self._client.put({**about, "namespace": stream.namespace}, data, self._stall_seconds)
        except ConnectorError as error:
            raise _away(error) from error


def _away(error: ConnectorError) -> TargetError:
    return TargetError(error.message, hint=error.hint, retryable=error.retryable, facts=error.facts)
