"""Runs readers of one's own, wherever they are to run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dativo_protocols import Catalog, ConfigError, ConnectionStatus, Spec

from dativo_engines._engine import Connector, Engine, EngineOptions, ReadCatalog, Reading
from dativo_engines.native._plugin import admit, as_program, isolation_of


class NativeEngine:
    """One reader: a Python class or a shared library, in this process, in one of its own, or in a sandbox.

    Raises:
        ConfigError: The reader does not exist, or is made for another version of Dativo, or is not the one that was published.
    """

    def __init__(self, connector: Connector, options: EngineOptions) -> None:
        if connector.reader is None:
            raise ConfigError(f"`{connector.reference}` names no reader", hint="name one with `reader`: `module:Class`")
        isolation = isolation_of(connector)
        admit(connector)
        self._engine: Engine
        if isolation == "in_process":
            from dativo_engines.native._in_process import InProcess

            self._engine = InProcess(connector, options)
        else:
            from dativo_engines.program import ProgramEngine

            self._engine = ProgramEngine(as_program(connector, isolation), options)

    def spec(self) -> Spec:
        """What it can be configured with: the JSON Schema of its `Config`."""
        return self._engine.spec()

    def check(self, config: Mapping[str, Any]) -> ConnectionStatus:
        """Whether the reader can be initialized, and what it says of the configuration itself."""
        return self._engine.check(config)

    def discover(self, config: Mapping[str, Any]) -> Catalog:
        """The reader's streams.

        Raises:
            ConfigError: The configuration is wrong.
            ConnectorError: The reader failed.
        """
        return self._engine.discover(config)

    def read(self, config: Mapping[str, Any], catalog: ReadCatalog | None, state: bytes | None) -> Reading:
        """A reading that starts the reader when it is entered."""
        return self._engine.read(config, catalog, state)
