"""One use of a connector: its runtime, its private files, its secrets."""

from __future__ import annotations

import datetime
import decimal
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Any, Generic, TypeVar

from dativo_protocols import ConfigError, ConnectorError

from dativo_engines._engine import Connector, EngineOptions
from dativo_engines._failure import SHOWN_LINES, connector_failure
from dativo_engines._private import PrivateDirectory
from dativo_engines._redaction import Redactor, secrets_in
from dativo_engines._running import Exit, Running
from dativo_engines._runtime import Runtime

RuntimeT = TypeVar("RuntimeT", bound=Runtime)


class Session(Generic[RuntimeT]):
    """Holds what a connector needs while it is used; leaving it ends every process and removes every file.

    Args:
        connector: Made ready now: installed or pulled if it was not before.
        options: Of the run.
        runtime: What starts it; called as `Runtime` says.
        config: Its secrets are masked as well as those of the options.

    Attributes:
        redactor: Masks.
        directory: The run's private files.
        runtime: Prepared.

    Raises:
        ConfigError: The program, package or image does not exist.
        ConnectorError: The package index or the registry cannot be reached.
        SandboxError: It cannot be confined as asked, or its manifest asks for more than the job grants.
    """

    def __init__(
        self,
        connector: Connector,
        options: EngineOptions,
        runtime: Callable[..., RuntimeT],
        config: Mapping[str, Any] | None = None,
    ) -> None:
        if connector.isolation == "sandbox":
            options = _permitted(connector, options, config)
        self._connector = connector
        self._options = options
        self._stack = ExitStack()
        self.redactor = Redactor([*options.secrets, *secrets_in(config or {})])
        with ExitStack() as opening:
            self.directory = opening.enter_context(PrivateDirectory(options.tmp_dir))
            self.runtime = runtime(connector, options, directory=self.directory, redactor=self.redactor)
            opening.callback(self.runtime.close)
            self.runtime.prepare()
            self._stack = opening.pop_all()

    @property
    def name(self) -> str:
        """What the user calls the connector."""
        return self.runtime.name

    def log(self, level: str, line: str) -> None:
        """Passes a line on, masked."""
        if self._options.log is not None:
            self._options.log(level, self.redactor(line))

    def end_of(self, process: Running) -> Exit:
        """How the connector ended, after its stdout was closed.

        Raises:
            ConnectorError: It goes on without stdout for longer than the stop timeout, or its guardian was killed.
        """
        ended = process.wait(self._options.stop_timeout_seconds)
        if ended is None:
            process.stop()
            raise ConnectorError(
                f"`{self.name}` closed its output but still ran after {self._options.stop_timeout_seconds:g} s",
                hint="raise the stop timeout if it needs longer to end",
                facts={"stderr": "\n".join(process.stderr_tail[-SHOWN_LINES:])},
            )
        return ended

    def stalled(self, seconds: float, process: Running) -> ConnectorError:
        """The error for a connector that said nothing for so long."""
        return ConnectorError(
            f"`{self.name}` said nothing for {seconds:g} s and was ended",
            hint="raise the stall timeout if the source may be silent for longer",
            retryable=True,
            facts={"stall_timeout_seconds": seconds, "stderr": "\n".join(process.stderr_tail[-SHOWN_LINES:])},
        )

    def failure(self, ended: Exit, last_words: Sequence[str], **facts: object) -> ConnectorError:
        """The error for a connector that did not end well."""
        return connector_failure(self.name, ended, last_words, facts={"connector": self._connector.reference, **facts})

    def close(self) -> None:
        """May be called twice."""
        self._stack.close()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()


def _permitted(connector: Connector, options: EngineOptions, config: Mapping[str, Any] | None) -> EngineOptions:
    """With what its manifest asks for and the job grants; the secrets that it names are masked."""
    from dativo_engines.native import manifest_of
    from dativo_engines.plugins import permitted

    manifest = manifest_of(connector)
    found = permitted(manifest, options.sandbox, config, variables=connector.environment, secrets=options.secrets)
    if found.unused and config is not None and options.log is not None:
        options.log(
            "warning", f"the job grants what the plugin's manifest does not ask for, so it is withheld: {', '.join(found.unused)}"
        )
    named = () if manifest is None or config is None else manifest.permissions.secrets
    secrets = [value for name in named if isinstance(value := _setting(config or {}, name), str) and value]
    return replace(options, sandbox=found.sandbox, secrets=(*options.secrets, *secrets))


def _setting(config: Mapping[str, Any], name: str) -> Any:
    value: Any = config
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def config_file(config: Mapping[str, Any]) -> bytes:
    """The configuration as a file; YAML's dates become the text they were written as."""

    def convert(value: object) -> object:
        if isinstance(value, (datetime.date, datetime.time)):
            return value.isoformat()
        if isinstance(value, Mapping):
            return dict(value)
        if isinstance(value, decimal.Decimal):
            return int(value) if value == value.to_integral_value() else float(value)
        raise ConfigError(f"a configuration cannot hold a `{type(value).__name__}`", hint="use text, numbers, lists and objects")

    return json.dumps(config, default=convert, ensure_ascii=False).encode()
