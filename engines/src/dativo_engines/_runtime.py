"""Where a connector runs: a program of its own, a container, a sandbox. All look the same to an engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol

from dativo_engines.supervisor import Exit


class Running(Protocol):
    """A connector that was started. Leaving its `with` block ends it and everything it started.

    `dativo_engines.supervisor.Process` is one.
    """

    @property
    def stdout(self) -> int:
        """File descriptor to read from, for a poll as well; the runtime closes it. End of file is the end of its output.

        Whoever reads slowly holds the connector back: nothing between the two keeps more than a pipe's worth of bytes.
        """
        ...

    @property
    def exit(self) -> Exit | None:
        """How it ended; None while it runs."""
        ...

    @property
    def stderr_tail(self) -> list[str]:
        """The last lines of stderr, masked."""
        ...

    @property
    def idle_seconds(self) -> float:
        """Since it last wrote to stderr, or started."""
        ...

    def wait(self, timeout: float | None = None) -> Exit | None:
        """How it ended, with its stderr complete; None when it is still running after `timeout` seconds.

        Raises:
            ConnectorError: It is gone, and nobody knows how it ended (retryable).
        """
        ...

    def stop(self) -> None:
        """Asks it to end, and kills it after the stop timeout. Does not wait; may be called from another thread."""
        ...

    def close(self) -> None:
        """Ends it and waits for that. May be called twice."""
        ...

    def __enter__(self) -> Running: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


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


def placed(arguments: Sequence[str], paths: Mapping[str, str | Path]) -> list[str]:
    """The arguments with names of files replaced by the paths where the connector finds them."""
    return [str(paths.get(argument, argument)) for argument in arguments]
