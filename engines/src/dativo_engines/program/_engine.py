"""Runs programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dativo_sdk import API_VERSION

from dativo_engines._engine import Connector, EngineOptions, ReadCatalog, Reading
from dativo_engines.airbyte import AirbyteEngine, configured_catalog
from dativo_engines.airbyte._reading import AirbyteReading
from dativo_engines.program._parts import PartsReading

FORMAT = {"DATIVO_FORMAT": "arrow", "DATIVO_API_VERSION": API_VERSION}
"""Tells a program that knows the Arrow protocol to use it, and which version of the plugin API is spoken here: one that was
written for a newer one refuses. Others do not look at them, and answer in JSON lines."""


class ProgramEngine(AirbyteEngine):
    """One program: an executable, or a package's. It is run, judged and ended as an Airbyte source is.

    Rows come as Arrow record batches (BATCH) or as JSON lines (RECORD), as the program likes, also in turns.

    Raises:
        ConfigError: The manifest beside it says that it is not the one that was published, or that it is for another API version.
    """

    def __init__(self, connector: Connector, options: EngineOptions) -> None:
        if connector.reader is None:
            from dativo_engines.native._plugin import admit

            admit(connector)
        super().__init__(replace(connector, environment={**FORMAT, **connector.environment}), options)

    def read(self, config: Mapping[str, Any], catalog: ReadCatalog | None, state: bytes | None) -> Reading:
        """As an Airbyte source is read; in parts where `parallel` says so, by programs that know the command `partitions`."""
        if self._options.parallel > 1 and catalog is not None:
            from dativo_engines.native._isolated import IsolatedParts

            return IsolatedParts(self._connector, self._options, config, catalog, state)
        return super().read(config, catalog, state)

    def read_parts(self, config: Mapping[str, Any], catalog: ReadCatalog, state: bytes | None) -> PartsReading:
        """A reading of one part after the other by one process; for programs that take parts on their stdin."""
        return PartsReading(
            self._connector,
            self._options,
            config=config,
            catalog=configured_catalog(catalog, sync_id=self._options.sync_id),
            state=state,
        )

    def read_part(self, config: Mapping[str, Any], catalog: ReadCatalog, state: bytes | None, token: bytes) -> AirbyteReading:
        """A reading of one part of what there is, as `read` is of the whole; for programs that can be read in parts."""
        return self._ask("read", config, configured_catalog(catalog, sync_id=self._options.sync_id), state, token)
