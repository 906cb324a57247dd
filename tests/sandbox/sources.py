"""Runs an image through the sandbox, for tests."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dativo_engines import Connector, EngineOptions
from dativo_engines._private import PrivateDirectory
from dativo_engines._redaction import Redactor
from dativo_engines.sandbox import SandboxRuntime

from tests.images.sources import Source


def cache_dir() -> Path:
    """Where images are unpacked for all tests, and stay."""
    return Path(os.environ.get("DATIVO_TEST_CACHE") or Path.home() / ".cache" / "dativo-tests") / "sandbox"


@dataclass
class SandboxSource(Source):
    """An image and how it is run.

    Attributes:
        cache: Where it is unpacked.
    """

    cache: Path = Path()

    @contextlib.contextmanager
    def prepared(self) -> Iterator[Any]:
        connector = Connector(
            f"airbyte:{self.image}", self.executable, image=self.image, environment=self.environment, runtime="sandbox"
        )
        options = EngineOptions(
            self.cache,
            stop_timeout_seconds=self.stop_timeout_seconds,
            log=lambda level, line: self.log.append((level, line)),
            container=self.container,
        )
        with (
            PrivateDirectory(self.tmp_path / "private") as directory,
            SandboxRuntime(connector, options, directory=directory, redactor=Redactor(self.secrets)) as runtime,
        ):
            runtime.prepare()
            yield runtime
