"""Real sources as images in a sandbox."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.images.real_sources import Packed, RealSources
from tests.project import Project
from tests.sandbox.sources import cache_dir

Find = Callable[[str], Path]


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATIVO_CACHE", str(cache_dir()))


@pytest.fixture
def packed(image: Find) -> Packed:
    """By the path of an archive."""
    return lambda name: {"connector": f"airbyte:{image(name)}", "runtime": "sandbox"}


class TestSandbox(RealSources):
    """What is the same in Docker."""


def test_a_name_that_nobody_knows_says_how_to_give_an_archive(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    report = project.run({"connector": "airbyte:airbyte/source-none:1", "runtime": "sandbox"}, code=2)
    assert "no image `airbyte/source-none:1` for a sandbox" in report["error"]["message"]
    assert "`image: /path/image.tar`" in report["error"]["hint"]


def test_a_network_of_dockers_cannot_be_joined(image: Find, project: Project) -> None:
    job = {"connector": f"airbyte:{image('hostile')}", "runtime": "sandbox", "container": {"network": "mine"}}
    assert "cannot join the Docker network `mine`" in project.run(job, code=2)["error"]["message"]
