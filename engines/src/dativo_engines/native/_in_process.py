"""A reader that runs in this process."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from dativo_protocols import Catalog, ConnectionStatus, DativoError, Spec
from dativo_sdk import Checkable, Reader
from dativo_sdk.host import load_class, make_config, said

from dativo_engines._engine import Connector, EngineOptions, ReadCatalog
from dativo_engines._redaction import Redactor, secrets_in
from dativo_engines.native._failure import reader_failure
from dativo_engines.native._parallel import PartReader
from dativo_engines.native._plugin import as_program
from dativo_engines.native._reading import NativeReading
from dativo_engines.native._said import heard
from dativo_engines.native._thread import opened


class InProcess:
    """One reader's class; a new object of it is made for each question, and closed after it.

    Raises:
        ConfigError: There is no such class, or it is made for another version of the contracts.
    """

    def __init__(self, connector: Connector, options: EngineOptions) -> None:
        reader = connector.reader or ""
        self._connector = connector
        self._options = options
        self._name = Path(reader).name
        self._class: type[Reader] = load_class(reader)

    def spec(self) -> Spec:
        """The JSON Schema of its `Config`, with what it can do."""
        return heard(Spec, said(lambda voice: voice.spec(self._class)))

    def check(self, config: Mapping[str, Any]) -> ConnectionStatus:
        """What the reader says; one that fails over it has refused the configuration."""
        redactor = self._redactor(config)
        try:
            with opened(self._class, self._config(config), None, None) as reader:
                if isinstance(reader, Checkable):
                    status = reader.check()
                    return replace(status, message=redactor(status.message))
                reader.get_schema()
        except DativoError as error:
            return ConnectionStatus(False, redactor(str(error)))
        except Exception as error:
            return ConnectionStatus(False, str(self._failure(error, redactor)))
        return ConnectionStatus(True)

    def discover(self, config: Mapping[str, Any]) -> Catalog:
        """Its streams, as its program would describe them.

        Raises:
            ConfigError: The configuration is wrong.
            ConnectorError: It failed.
        """
        redactor = self._redactor(config)
        try:
            with opened(self._class, self._config(config), None, None) as reader:
                catalog = reader.get_schema()
                return heard(Catalog, said(lambda voice: voice.catalog(catalog)))
        except Exception as error:
            failure = self._failure(error, redactor)
            if failure is error:
                raise
            raise failure from error

    def read(self, config: Mapping[str, Any], catalog: ReadCatalog | None, state: bytes | None) -> NativeReading:
        """A reading that makes the reader when it is entered.

        Raises:
            ConfigError: The configuration is wrong, or the state is none of a reader.
        """
        return NativeReading(
            self._name,
            self._class,
            self._options,
            config=self._config(config),
            catalog=catalog,
            state=state,
            redactor=self._redactor(config),
            part=self._part(config, catalog, state),
        )

    def _part(self, config: Mapping[str, Any], catalog: ReadCatalog | None, state: bytes | None) -> PartReader | None:
        """What reads parts where threads would wait for each other: processes."""
        if self._options.parallel == 1 or catalog is None or getattr(self._class, "releases_gil", False):
            return None
        from dativo_engines.native._part_process import PartProcess

        return PartProcess(as_program(self._connector), self._options, config, catalog, state, on_stdin=True)

    def _config(self, config: Mapping[str, Any]) -> Any:
        return make_config(self._class, config)

    def _redactor(self, config: Mapping[str, Any]) -> Redactor:
        return Redactor([*self._options.secrets, *secrets_in(config)])

    def _failure(self, error: Exception, redactor: Redactor) -> DativoError:
        return reader_failure(self._name, error, redactor, self._log(redactor), again=False)

    def _log(self, redactor: Redactor) -> Any:
        def log(level: str, line: str) -> None:
            if self._options.log is not None:
                with suppress(Exception):
                    self._options.log(level, redactor(line))

        return log
