"""One use of a tap: its program, with its configuration, started as often as it takes."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dativo_protocols import ConnectorError, frozen

from dativo_engines import _session
from dativo_engines._engine import Connector, EngineOptions
from dativo_engines._program import ProgramRuntime
from dativo_engines._running import Exit, Running
from dativo_engines.supervisor import Process


@frozen
class Output:
    """What a program said until it ended."""

    stdout: bytes
    stderr: list[str]
    exit: Exit

    @property
    def ended_well(self) -> bool:
        return self.exit.code == 0


class Session(_session.Session[ProgramRuntime]):
    """See `dativo_engines._session.Session`. Every start gets the configuration."""

    def __init__(self, connector: Connector, options: EngineOptions, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(connector, options, ProgramRuntime, config)
        self._config = None if config is None else _session.config_file(config)

    @property
    def program(self) -> str:
        """The executable's path."""
        return self.runtime.program

    def file(self, name: str, data: bytes) -> str:
        """Path of a private file with this content."""
        return str(self.directory.write(name, data))

    def start(self, arguments: Sequence[str] = (), *, stop_timeout_seconds: float | None = None) -> Process:
        """Starts the tap; ended with the session at the latest."""
        configured = [] if self._config is None else ["--config", "config.json"]
        files = {} if self._config is None else {"config.json": self._config}
        return self.runtime.start([*configured, *arguments], files, stop_timeout_seconds=stop_timeout_seconds)

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

    def chunks(self, process: Running) -> Iterator[bytes]:
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

    def __enter__(self) -> Session:
        return self
