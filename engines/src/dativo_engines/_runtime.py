"""Where a connector runs: a program of its own, a container, a sandbox. All look the same to an engine."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from dativo_engines._engine import Connector, EngineOptions
from dativo_engines._private import PrivateDirectory
from dativo_engines._redaction import Redactor
from dativo_engines._running import Running


class Runtime(Protocol):
    """Starts one connector, several times if need be: `prepare` once, then `start` for each command, `close` at the end.

    Made as `SomeRuntime(connector, options, directory=…, redactor=…)` with the run's `Connector` and `EngineOptions`, its
    `PrivateDirectory` (files in it vanish with the run; its `mark` is on every process of the run) and the `Redactor` that masks
    what is handed to `options.log`. Making one does nothing that can fail.

    Every line of the connector's stderr goes to `options.log`, masked, and so does what the runtime itself has to tell, such as a
    download. A connector that did not end well has an `Exit` that says why in `cause` where the runtime knows more than the
    code: that it was killed at its memory limit, and what that limit is.
    """

    @property
    def name(self) -> str:
        """What the user calls the connector, for messages: a program's name, an image's."""
        ...

    def prepare(self) -> None:
        """Makes it ready to start: installs, pulls, unpacks. Does nothing when that was done before.

        Raises:
            ConfigError: There is no such program, package or image, or this machine cannot run it.
            ConnectorError: What is needed cannot be reached (retryable).
            SandboxError: It cannot be confined as asked.
        """
        ...

    def start(
        self, arguments: Sequence[str], files: Mapping[str, bytes], *, stop_timeout_seconds: float | None = None
    ) -> Running:
        """Starts the connector.

        Args:
            arguments: After `connector.arguments`: `["read", "--config", "config.json"]`.
            files: By name, the contents of files that the connector can read and nobody else. An argument that is such a name is
                replaced by the file's path as the connector sees it.
            stop_timeout_seconds: From SIGTERM to SIGKILL; None takes the options'.

        Raises:
            ConfigError: It cannot be executed.
            ConnectorError: It could not be started for a reason that may pass.
            SandboxError: It cannot be confined as asked.
        """
        ...

    def close(self) -> None:
        """Ends everything that was started and releases what was prepared. May be called twice."""
        ...


class TakingInput(Running, Protocol):
    """A connector that reads what this process writes."""

    @property
    def stdin(self) -> int:
        """File descriptor to write to; closed by `close_input` and by the runtime."""
        ...

    def close_input(self) -> None:
        """The end of file, for the connector. May be called twice."""
        ...


class InputRuntime(Runtime, Protocol):
    """A `Runtime` whose connectors can be written to: those of programs of this machine."""

    def start(
        self,
        arguments: Sequence[str],
        files: Mapping[str, bytes],
        *,
        stop_timeout_seconds: float | None = None,
        takes_input: bool = False,
    ) -> TakingInput:
        """As `Runtime.start`.

        Args:
            takes_input: Whether stdin is a pipe from this process, in the place of an empty file.
        """
        ...


def placed(arguments: Sequence[str], paths: Mapping[str, str | Path]) -> list[str]:
    """The arguments with names of files replaced by the paths where the connector finds them."""
    return [str(paths.get(argument, argument)) for argument in arguments]


class ConnectorRuntime:
    """The part of a `Runtime` that is the same wherever the connector runs. Its name is an image's."""

    def __init__(self, connector: Connector, options: EngineOptions, *, directory: PrivateDirectory, redactor: Redactor) -> None:
        self._connector = connector
        self._options = options
        self._directory = directory
        self._redactor = redactor
        self._stack = ExitStack()

    @property
    def name(self) -> str:
        """What the user calls it, for messages."""
        return os.path.basename(self._connector.image or "") or self._connector.reference

    def close(self) -> None:
        """Ends what was started and releases what was prepared. May be called twice."""
        self._stack.close()

    def _stop_timeout(self, seconds: float | None) -> float:
        return self._options.stop_timeout_seconds if seconds is None else seconds

    def _log(self, level: str, line: str) -> None:
        if self._options.log is not None:
            self._options.log(level, self._redactor(line))
