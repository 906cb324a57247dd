"""Runs Airbyte sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from dativo_protocols import Catalog, ConfigError, ConnectionStatus, ConnectorError, Spec

from dativo_engines._engine import Connector, EngineOptions, ReadCatalog, Reading
from dativo_engines.airbyte._manifest import load_manifest
from dativo_engines.airbyte._reading import AirbyteReading
from dativo_engines.airbyte._selection import ConfiguredCatalog, configured_catalog

Answer = TypeVar("Answer", Spec, ConnectionStatus, Catalog)


class AirbyteEngine:
    """One source: an image, a package in an environment of its own, a low-code manifest, or a program.

    Every call starts the source anew and leaves nothing of it behind. A call that fails raises `ConnectorError` with the cause
    first: what the source itself reports as its error, else what its exit and its last words say, masked.

    Raises:
        ConfigError: The manifest cannot be read, or may not be run.
    """

    def __init__(self, connector: Connector, options: EngineOptions) -> None:
        self._manifest = load_manifest(connector)
        runner = self._manifest.runner(connector) if self._manifest is not None else connector
        # As Airbyte's platform names them; sources put them into what they log and send.
        worker = {"WORKER_JOB_ID": str(options.sync_id), "WORKER_JOB_ATTEMPT": str(options.attempt - 1)}
        self._connector = replace(runner, environment={**worker, **runner.environment})
        self._options = options

    def spec(self) -> Spec:
        """What it can be configured with: the manifest's own words, else the answer to `spec`.

        Raises:
            ConnectorError: The source failed, or gave no answer.
        """
        own = self._manifest.spec() if self._manifest is not None else None
        return own if own is not None else self._answer(Spec, "spec")

    def check(self, config: Mapping[str, Any]) -> ConnectionStatus:
        """What the source says of the configuration; a source that fails over it has refused it."""
        with self._ask("check", config) as reading:
            said: list[ConnectionStatus] = []
            try:
                said.extend(message for message in reading if isinstance(message, ConnectionStatus))
            except (ConfigError, ConnectorError) as error:
                if not said or said[-1].succeeded:
                    return ConnectionStatus(False, str(error))
            if not said:
                raise _no_answer(reading.session.name, "check")
            return ConnectionStatus(said[-1].succeeded, reading.session.redactor(said[-1].message))

    def discover(self, config: Mapping[str, Any]) -> Catalog:
        """The source's streams.

        Raises:
            ConnectorError: The source failed, or gave no answer.
        """
        return self._answer(Catalog, "discover", config)

    def read(self, config: Mapping[str, Any], catalog: ReadCatalog | None, state: bytes | None) -> Reading:
        """A reading that starts the source when it is entered.

        Args:
            config: For `--config`.
            catalog: What to read.
            state: For `--state`, exactly these bytes; None leaves the option out.

        Raises:
            ConfigError: There is no catalog; a selected stream or field does not exist or cannot be read as asked for.
        """
        if catalog is None:
            raise ConfigError(
                f"`{self._connector.reference}` cannot be read without a catalog: Airbyte sources need to be told what to read",
                hint="let Dativo discover its streams",
            )
        return self._ask("read", config, configured_catalog(catalog, sync_id=self._options.sync_id), state)

    def _ask(
        self,
        command: str,
        config: Mapping[str, Any] | None = None,
        catalog: ConfiguredCatalog | None = None,
        state: bytes | None = None,
        partition: bytes | None = None,
    ) -> AirbyteReading:
        return AirbyteReading(
            self._connector,
            self._options,
            command,
            manifest=self._manifest,
            config=config,
            catalog=catalog,
            state=state,
            partition=partition,
        )

    def _answer(self, kind: type[Answer], command: str, config: Mapping[str, Any] | None = None) -> Answer:
        """The message of that kind, wherever it stands among the others."""
        with self._ask(command, config) as reading:
            said = [message for message in reading if isinstance(message, kind)]
            if not said:
                raise _no_answer(reading.session.name, command)
        return said[-1]


def _no_answer(name: str, command: str) -> ConnectorError:
    return ConnectorError(
        f"`{name}` gave no answer to `{command}`, and no error either",
        hint="is it an Airbyte source? Run it by hand with that command to see what it says",
        facts={"command": command},
    )
