"""One use of a tap: its program, its private files, its processes."""

from __future__ import annotations

import datetime
import decimal
import json
import os
import select
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from dativo_protocols import ConfigError, ConnectorError

from dativo_engines._engine import Connector, EngineOptions
from dativo_engines._environ import clean_environment
from dativo_engines._failure import connector_failure
from dativo_engines._private import PrivateDirectory
from dativo_engines._redaction import Redactor, secrets_in
from dativo_engines.supervisor import Exit, Process, find_program


@dataclass(frozen=True, slots=True)
class Output:
    """What a program said until it ended."""

    stdout: bytes
    stderr: list[str]
    exit: Exit

    @property
    def ended_well(self) -> bool:
        return self.exit.code == 0


class Session:
    """Holds what a tap needs while it is used; leaving it ends every process and removes every file.

    Args:
        connector: Installed now if it is a package that was not installed before.
        options: Of the run.
        config: Its secrets are masked as well as those of the options.

    Attributes:
        program: The executable's path.
        name: What the user calls the tap.
        redactor: Masks.

    Raises:
        ConfigError: The program or package does not exist.
        ConnectorError: The package index cannot be reached.
    """

    def __init__(self, connector: Connector, options: EngineOptions, config: Mapping[str, Any] | None = None) -> None:
        self._connector = connector
        self._options = options
        self._stack = ExitStack()
        self.redactor = Redactor([*options.secrets, *secrets_in(config or {})])
        with ExitStack() as opening:
            if connector.package is not None:
                from dativo_engines.environments import EnvironmentStore

                store = EnvironmentStore(options.cache_dir, self.log)
                environment = opening.enter_context(store.ensure(connector.package, connector.requirements))
                self.program = environment.program(connector.executable)
            elif connector.executable is not None:
                path = clean_environment(connector.environment).get("PATH")
                self.program = find_program(connector.executable, path)
            else:
                raise ConfigError(f"`{connector.reference}` names neither a program nor a package")
            self.name = Path(self.program).name
            self._directory = opening.enter_context(PrivateDirectory(options.tmp_dir))
            self._arguments = list(connector.arguments)
            if config is not None:
                self._arguments += ["--config", self.file("config.json", _json(config))]
            self._stack = opening.pop_all()

    def file(self, name: str, data: bytes) -> str:
        """Path of a private file with this content."""
        return str(self._directory.write(name, data))

    def log(self, level: str, line: str) -> None:
        """Passes a line on, masked."""
        if self._options.log is not None:
            self._options.log(level, self.redactor(line))

    def start(self, arguments: Sequence[str] = (), *, stop_timeout_seconds: float | None = None) -> Process:
        """Starts the tap; ended with the session at the latest."""
        timeout = self._options.stop_timeout_seconds if stop_timeout_seconds is None else stop_timeout_seconds
        process = Process(
            [self.program, *self._arguments, *arguments],
            directory=self._directory,
            environment=self._connector.environment,
            stop_timeout_seconds=timeout,
            redactor=self.redactor,
            log=self._options.log,
        )
        return self._stack.enter_context(process)

    def run(self, arguments: Sequence[str], *, limit_bytes: int = 1 << 30) -> Output:
        """Starts the tap and waits until it ends.

        Raises:
            ConnectorError: It says nothing for longer than the stall timeout, or more than `limit_bytes`.
        """
        said = bytearray()
        with self.start(arguments, stop_timeout_seconds=2.0) as process:
            for part in self.chunks(process):
                said += part
                if len(said) > limit_bytes:
                    raise ConnectorError(
                        f"`{self.name}` wrote more than {limit_bytes >> 20} MiB", facts={"arguments": list(arguments)}
                    )
            ended = self.end_of(process)
        return Output(bytes(said), process.stderr_tail, ended)

    def chunks(self, process: Process) -> Iterator[bytes]:
        """The tap's stdout as it comes.

        Raises:
            ConnectorError: It says nothing for longer than the stall timeout.
        """
        timeout = self._options.stall_timeout_seconds
        poll = select.poll()
        poll.register(process.stdout, select.POLLIN)
        heard = time.monotonic()
        while True:
            if poll.poll(1000):
                part = os.read(process.stdout, 1 << 18)
                if not part:
                    return
                yield part
                heard = time.monotonic()
            elif timeout and min(time.monotonic() - heard, process.idle_seconds) > timeout:
                process.stop()
                raise self.stalled(timeout, process)

    def end_of(self, process: Process) -> Exit:
        """How the tap ended, after its stdout was closed.

        Raises:
            ConnectorError: It goes on without stdout for longer than the stop timeout, or its guardian was killed.
        """
        ended = process.wait(self._options.stop_timeout_seconds)
        if ended is None:
            process.stop()
            raise ConnectorError(
                f"`{self.name}` closed its output but still ran after {self._options.stop_timeout_seconds:g} s",
                hint="raise the stop timeout if it needs longer to end",
                facts={"stderr": "\n".join(process.stderr_tail[-50:])},
            )
        return ended

    def stalled(self, seconds: float, process: Process) -> ConnectorError:
        """The error for a tap that said nothing for so long."""
        return ConnectorError(
            f"`{self.name}` said nothing for {seconds:g} s and was ended",
            hint="raise the stall timeout if the source may be silent for longer",
            retryable=True,
            facts={"stall_timeout_seconds": seconds, "stderr": "\n".join(process.stderr_tail[-50:])},
        )

    def failure(self, ended: Exit, stderr: Sequence[str], **facts: object) -> ConnectorError:
        """The error for a tap that did not end well."""
        return connector_failure(self.name, ended, stderr, facts={"connector": self._connector.reference, **facts})

    def close(self) -> None:
        """May be called twice."""
        self._stack.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()


def _json(config: Mapping[str, Any]) -> bytes:
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
