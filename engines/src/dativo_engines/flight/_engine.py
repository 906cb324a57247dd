"""Asks servers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

from dativo_protocols import Catalog, ConfigError, ConnectionStatus, ConnectorError, DativoError, Spec

from dativo_engines._engine import Connector, EngineOptions, ReadCatalog
from dativo_engines._redaction import Redactor, secrets_in
from dativo_engines.flight._client import TOKEN, FlightClient
from dativo_engines.flight._reader import FlightReader
from dativo_engines.native._failure import reader_failure
from dativo_engines.native._reading import NativeReading
from dativo_engines.native._said import heard

Answer = TypeVar("Answer", Spec, ConnectionStatus, Catalog)


class FlightEngine:
    """One server, which is there before Dativo comes, and stays.

    A reading whose connection is lost goes on from its last state, on a new connection, as soon as there is a server again.
    """

    def __init__(self, connector: Connector, options: EngineOptions) -> None:
        if connector.reader is None:
            raise ConfigError(f"`{connector.reference}` names no location")
        self._location = connector.reader
        self._connector = connector
        self._options = options

    def spec(self) -> Spec:
        """What the server's reader can be configured with.

        Raises:
            ConnectorError: The server cannot be reached.
        """
        return self._asked(Spec, "spec", {})

    def check(self, config: Mapping[str, Any]) -> ConnectionStatus:
        """What the server says of the configuration; one that cannot be reached refuses it."""
        try:
            status = self._asked(ConnectionStatus, "check", config)
        except DativoError as error:
            return ConnectionStatus(False, str(error))
        return replace(status, message=self._redactor(config)(status.message))

    def discover(self, config: Mapping[str, Any]) -> Catalog:
        """The streams of the server's reader.

        Raises:
            ConfigError: The configuration is wrong.
            ConnectorError: The reader failed, or the server cannot be reached.
        """
        return self._asked(Catalog, "discover", config)

    def read(self, config: Mapping[str, Any], catalog: ReadCatalog | None, state: bytes | None) -> NativeReading:
        """A reading that connects when it is entered.

        Raises:
            ConfigError: There is no catalog.
        """
        if catalog is None:
            raise ConfigError(f"`{self._connector.reference}` cannot be read without a catalog", hint="let Dativo discover it")
        redactor = self._redactor(config)
        return NativeReading(
            self._location,
            lambda: FlightReader(self._connect, self._options.decode.memory_budget_bytes, self._log(redactor)),
            replace(self._options, parallel=1),
            config=config,
            catalog=catalog,
            state=state,
            redactor=redactor,
        )

    def health(self) -> dict[str, Any]:
        """How the server is: `status`, and how many `sessions` it has.

        Raises:
            ConnectorError: It cannot be reached.
        """
        with self._connect() as client:
            found: dict[str, Any] = json.loads(client.ask("health"))
            return found

    def _asked(self, kind: type[Answer], action: str, config: Mapping[str, Any]) -> Answer:
        redactor = self._redactor(config)
        try:
            with self._connect() as client:
                return heard(kind, client.ask(action, {"config": dict(config)}))
        except ConnectorError as error:
            raise reader_failure(self._location, error, redactor, self._log(redactor), again=False) from error

    def _connect(self) -> FlightClient:
        return FlightClient(self._location, self._connector.environment)

    def _redactor(self, config: Mapping[str, Any]) -> Redactor:
        token = self._connector.environment.get(TOKEN)
        return Redactor([*self._options.secrets, *secrets_in(config), *([token] if token else [])])

    def _log(self, redactor: Redactor) -> Any:
        def log(level: str, line: str) -> None:
            if self._options.log is not None:
                with suppress(Exception):
                    self._options.log(level, redactor(line))

        return log
