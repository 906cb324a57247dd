"""Runs an image through the sandbox, for tests."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from dativo_engines import ImageRuntime

from tests.images.sources import Source


def cache_dir() -> Path:
    """Where images are unpacked for all tests, and stay."""
    return Path(os.environ.get("DATIVO_TEST_CACHE") or Path.home() / ".cache" / "dativo-tests") / "sandbox"


@dataclass
class SandboxSource(Source):
    """An image and how it is run."""

    runtime: ImageRuntime = "sandbox"
