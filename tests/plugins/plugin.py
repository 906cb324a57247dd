"""Runs a Python file as a plugin in its sandbox, for tests."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dativo_engines import Connector, EngineOptions, SandboxOptions
from dativo_engines._failure import connector_failure
from dativo_engines._private import PrivateDirectory
from dativo_engines._redaction import Redactor
from dativo_engines._running import Exit
from dativo_engines.plugins import PluginProcess, PluginSandbox
from dativo_protocols import ConnectorError

HOSTILE = Path(__file__).with_name("hostile.py")


@dataclass
class Answer:
    """What a plugin said and how it ended."""

    stdout: bytes
    exit: Exit
    stderr: list[str]

    @property
    def got(self) -> Any:
        """What an attack that succeeded got, or what any plugin printed as JSON."""
        assert self.exit.code == 0, self.failure
        said = json.loads(self.stdout)
        return said["got"] if isinstance(said, dict) and "got" in said else said

    @property
    def failure(self) -> ConnectorError:
        """The error that the run ends with."""
        return connector_failure("plugin", self.exit, self.stderr)


@dataclass
class Plugin:
    """A Python file as a plugin.

    Attributes:
        file: Its code.
        folder: For private files and the cache.
        sandbox: What it declares.
        level: How the last run was confined.
    """

    file: Path
    folder: Path
    sandbox: SandboxOptions = field(default_factory=SandboxOptions)
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_timeout_seconds: float = 5.0
    log: list[tuple[str, str]] = field(default_factory=list)
    level: str = ""

    @contextlib.contextmanager
    def running(self, *arguments: str, config: Mapping[str, Any] | None = None) -> Iterator[PluginProcess]:
        """Started as `python FILE ARGUMENTS…`, where `config.json` is its configuration."""
        connector = Connector(
            f"native:{self.file}",
            executable=sys.executable,
            arguments=(str(self.file),),
            environment=self.environment,
        )
        options = EngineOptions(
            cache_dir=self.folder / "cache",
            stop_timeout_seconds=self.stop_timeout_seconds,
            log=lambda level, line: self.log.append((level, line)),
        )
        with PrivateDirectory(self.folder / "private") as directory:
            runtime = PluginSandbox(
                connector, options, directory=directory, redactor=Redactor(), sandbox=self.sandbox, code=[self.file]
            )
            with contextlib.closing(runtime):
                runtime.prepare()
                self.level = runtime.level
                with runtime.start(arguments, {"config.json": json.dumps(config or {}).encode()}) as process:
                    yield process

    def run(self, *arguments: str, config: Mapping[str, Any] | None = None) -> Answer:
        """To its end; what it writes is read as fast as it comes, and the first 64 MiB are kept."""
        with self.running(*arguments, config=config) as process:
            said = bytearray()
            while data := os.read(process.stdout, 1 << 20):
                said += data[: max(0, (64 << 20) - len(said))]
            ended = process.wait(60)
        assert ended is not None
        return Answer(bytes(said), process.exit or ended, process.stderr_tail)

    def attack(self, name: str, config: Mapping[str, Any]) -> Answer:
        """Lets the hostile plugin try."""
        return self.run(name, "config.json", config=config)
