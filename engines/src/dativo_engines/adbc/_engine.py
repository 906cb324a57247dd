"""Runs the reader of ADBC drivers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dativo_protocols import Catalog, ConnectionStatus, Spec

from dativo_engines._engine import Connector, EngineOptions, ReadCatalog, Reading
from dativo_engines.native import NativeEngine

READER = "dativo_engines.adbc:AdbcReader"


class AdbcEngine:
    """One driver. The reader is Dativo's own, so it runs in this process unless the connector says something else."""

    def __init__(self, connector: Connector, options: EngineOptions) -> None:
        self._driver = connector.reader
        self._native = NativeEngine(replace(connector, reader=READER), options)

    def spec(self) -> Spec:
        """What the reader can be configured with; the driver is in the reference."""
        return self._native.spec()

    def check(self, config: Mapping[str, Any]) -> ConnectionStatus:
        """Whether the driver connects, and the tables and queries are there."""
        return self._native.check(self._config(config))

    def discover(self, config: Mapping[str, Any]) -> Catalog:
        """The tables and queries that are named, else all tables.

        Raises:
            ConfigError: The configuration is wrong, or there is no such driver.
            ConnectorError: The database cannot be reached.
        """
        return self._native.discover(self._config(config))

    def read(self, config: Mapping[str, Any], catalog: ReadCatalog | None, state: bytes | None) -> Reading:
        """A reading that connects when it is entered."""
        return self._native.read(self._config(config), catalog, state)

    def _config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        return {"driver": self._driver, **config}
