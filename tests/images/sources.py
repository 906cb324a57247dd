"""Runs an image in Docker or in the sandbox, for tests."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from dativo_engines import Connector, ContainerOptions, EngineOptions, ImageRuntime
from dativo_engines._failure import connector_failure
from dativo_engines._private import PrivateDirectory
from dativo_engines._redaction import Redactor
from dativo_engines._running import Exit
from dativo_engines.airbyte._runtime import runtime_for

OUTSIDE = ContainerOptions(network="none")


@dataclass
class Answer:
    """What a source said and how it ended."""

    stdout: bytes
    exit: Exit
    stderr: list[str]

    def messages(self, kind: str) -> list[dict[str, Any]]:
        said = (json.loads(line) for line in self.stdout.splitlines() if line.startswith(b"{"))
        return [message for message in said if message["type"] == kind]

    @property
    def got(self) -> Any:
        """The data of the one record of the misbehaving source."""
        (record,) = self.messages("RECORD") or pytest.fail(self.error)
        return record["record"]["data"]["got"]

    @property
    def error(self) -> str:
        """What the source reports of its failure, else what its end says; an attempt that succeeded has none."""
        reported = [message["trace"]["error"]["message"] for message in self.messages("TRACE") if "error" in message["trace"]]
        if reported or self.exit.code == 0:
            return "; ".join(reported)
        return str(connector_failure("source", self.exit, self.stderr))


@dataclass
class Source:
    """An image and how it is run.

    Attributes:
        cache: Where it is pinned or unpacked; None for a place of its own.
    """

    image: str
    tmp_path: Path
    container: ContainerOptions = OUTSIDE
    runtime: ImageRuntime = "docker"
    cache: Path | None = None
    secrets: Sequence[str] = ()
    environment: dict[str, str] = field(default_factory=dict)
    executable: str | None = None
    stop_timeout_seconds: float = 5.0
    log: list[tuple[str, str]] = field(default_factory=list)

    @contextlib.contextmanager
    def prepared(self) -> Iterator[Any]:
        """Its runtime, prepared."""
        connector = Connector(
            f"airbyte:{self.image}",
            self.executable,
            image=self.image,
            environment=self.environment,
            runtime=self.runtime,
        )
        options = EngineOptions(
            self.cache or self.tmp_path / "cache",
            stop_timeout_seconds=self.stop_timeout_seconds,
            log=lambda level, line: self.log.append((level, line)),
            container=self.container,
        )
        with PrivateDirectory(self.tmp_path / "private") as directory:
            made = runtime_for(connector, options, directory=directory, redactor=Redactor(self.secrets))
            with contextlib.closing(made) as runtime:
                runtime.prepare()
                yield runtime

    @contextlib.contextmanager
    def running(self, command: str = "read", **files: Any) -> Iterator[Any]:
        """The source, started."""
        arguments = [command]
        for name in files:
            arguments += [f"--{name}", f"{name}.json"]
        with self.prepared() as runtime:
            contents = {f"{name}.json": json.dumps(value).encode() for name, value in files.items()}
            with runtime.start(arguments, contents) as container:
                yield container

    def run(self, command: str = "read", **files: Any) -> Answer:
        """Starts it with these files and waits until it ends."""
        with self.running(command, **files) as container:
            said = bytearray()
            while part := os.read(container.stdout, 1 << 20):
                said += part
            ended = container.wait(30)
            assert ended is not None
            return Answer(bytes(said), ended, container.stderr_tail)

    def attempt(self, name: str, **config: Any) -> Answer:
        """Has the misbehaving source do something."""
        return self.run(config={"attempt": name, **config}, catalog={"streams": []})
