"""Real sources as images in Docker."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.images.confinement import Make
from tests.images.real_sources import Packed, RealSources

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("docker")]


@pytest.fixture
def packed(source: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Packed:
    """By name. In a cache of its own: else the images of these tests stay pinned when they are built anew."""
    monkeypatch.setenv("DATIVO_CACHE", str(tmp_path / "cache"))
    return lambda name: {"connector": f"airbyte:{source(name).image}", "runtime": "docker"}


class TestDocker(RealSources):
    """What is the same in a sandbox."""
