"""A connector as a process of this machine: an executable, or the program of a package in an environment of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dativo_protocols import ConfigError

from dativo_engines._engine import Connector, EngineOptions
from dativo_engines._environ import clean_environment
from dativo_engines._private import PrivateDirectory
from dativo_engines._redaction import Redactor
from dativo_engines._runtime import ConnectorRuntime, placed
from dativo_engines.supervisor import Process, find_program


class ProgramRuntime(ConnectorRuntime):
    """Starts the program through the supervisor; see `Runtime`.

    Attributes:
        program: The executable's path, once prepared.
    """

    def __init__(self, connector: Connector, options: EngineOptions, *, directory: PrivateDirectory, redactor: Redactor) -> None:
        super().__init__(connector, options, directory=directory, redactor=redactor)
        self.program = ""

    @property
    def name(self) -> str:
        """The program's name, or that of the reader which it runs."""
        if self._connector.reader is not None:
            return Path(self._connector.reader).name
        return Path(self.program or self._connector.executable or self._connector.package or self._connector.reference).name

    def prepare(self) -> None:
        """Finds the program, or installs its package.

        Raises:
            ConfigError: The program or package does not exist.
            ConnectorError: The package index cannot be reached.
        """
        connector = self._connector
        if self.program:
            return
        if connector.package is not None:
            from dativo_engines.environments import EnvironmentStore

            store = EnvironmentStore(self._options.cache_dir, self._log)
            environment = self._stack.enter_context(store.ensure(connector.package, connector.requirements))
            self.program = environment.program(connector.executable)
        elif connector.executable is not None:
            self.program = find_program(connector.executable, clean_environment(connector.environment).get("PATH"))
        else:
            raise ConfigError(f"`{connector.reference}` names neither a program nor a package")

    def start(
        self,
        arguments: Sequence[str],
        files: Mapping[str, bytes],
        *,
        stop_timeout_seconds: float | None = None,
        takes_input: bool = False,
    ) -> Process:
        """Starts the program with the connector's own arguments before these."""
        paths = {name: self._directory.write(name, data) for name, data in files.items()}
        process = Process(
            [self.program, *self._connector.arguments, *placed(arguments, paths)],
            directory=self._directory,
            environment=self._connector.environment,
            stop_timeout_seconds=self._stop_timeout(stop_timeout_seconds),
            redactor=self._redactor,
            log=self._options.log,
            takes_input=takes_input,
        )
        return self._stack.enter_context(process)
