"""Real sources as images in a sandbox, unmodified, through the command line: spec, check, reads that go on where they ended."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.airbyte import api
from tests.airbyte.sources import MANIFEST
from tests.project import Project
from tests.sandbox.sources import cache_dir

Find = Callable[[str], Path]


@dataclass(frozen=True)
class Sandboxed:
    """A source in an image.

    Attributes:
        job: What a job says of it.
        full: A stream to read whole, and its rows.
        incremental: A stream to read on, its rows, and how many come again.
    """

    job: dict[str, Any]
    full: tuple[str, int]
    incremental: tuple[str, int, int]


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATIVO_CACHE", str(cache_dir()))


@pytest.fixture(params=["faker", "declarative-manifest"])
def sandboxed(request: pytest.FixtureRequest, image: Find) -> Iterator[Sandboxed]:
    job = {"connector": f"airbyte:{image(request.param)}", "runtime": "sandbox"}
    if request.param == "faker":
        config = {"count": 30, "seed": 1, "records_per_slice": 10, "parallelism": 1, "always_updated": False}
        yield Sandboxed({**job, "config": config, "container": {"network": "none"}}, ("products", 30), ("users", 30, 0))
    else:
        manifest = {"__injected_declarative_manifest": yaml.safe_load(MANIFEST.read_text())}
        with api.serving() as served:
            yield Sandboxed({**job, "config": {**served.config, **manifest}}, ("things", 8), ("changes", 12, 1))


def test_spec_and_check_answer(sandboxed: Sandboxed, project: Project) -> None:
    spec = project.dativo("spec", sandboxed.job["connector"], "--runtime", "sandbox", "--json")
    assert json.loads(spec)["properties"] is not None
    job = {"name": "job", "source": sandboxed.job, "target": {"connector": "parquet", "config": {"path": "out"}}}
    (project.folder / "job.yaml").write_text(json.dumps(job))
    assert json.loads(project.dativo("check", "job.yaml", "--json"))["status"] == "SUCCEEDED"


def test_a_full_and_an_incremental_read_land_every_row_once(sandboxed: Sandboxed, project: Project) -> None:
    (full, rows), (incremental, more, again) = sandboxed.full, sandboxed.incremental
    streams = {full: {"mode": "full_refresh", "write": "overwrite"}, incremental: {"mode": "incremental", "write": "merge"}}
    first = project.run({**sandboxed.job, "streams": streams})
    second = project.run({**sandboxed.job, "streams": streams})
    assert (first["rows_in"], second["rows_in"]) == (rows + more, rows + again)
    for name, count in ((full, rows), (incremental, more)):
        assert project.rows(f"select count(*), count(distinct id) from {name}") == [(count, count)]


@pytest.mark.parametrize(
    ("attempt", "reason"),
    [
        ("write_root", "cannot write / (Read-only file system)"),
        ("network", "cannot reach 192.0.2.1: [Errno 101] Network is unreachable"),
        ("setuid", "cannot gain privileges: setuid root ran with uid 1000"),
        ("fork", "processes: Resource temporarily unavailable"),
        ("memory", "out of memory: its limit is 256 MiB"),
    ],
)
def test_a_hostile_image_fails_the_run_with_the_reason(
    image: Find, control_groups: None, project: Project, attempt: str, reason: str
) -> None:
    config = {"attempt": attempt, "host": "192.0.2.1", "port": 80}
    container = {"memory": "256MiB", "network": "none", "pids": 64}
    job = {"connector": f"airbyte:{image('hostile')}", "runtime": "sandbox", "config": config, "container": container}
    report = project.run(job, code=10, retry={"attempts": 1})
    assert reason in report["error"]["message"]


def test_a_name_that_nobody_knows_says_how_to_give_an_archive(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    report = project.run({"connector": "airbyte:airbyte/source-none:1", "runtime": "sandbox"}, code=2)
    assert "no image `airbyte/source-none:1` for a sandbox" in report["error"]["message"]
    assert "`image: /path/image.tar`" in report["error"]["hint"]


def test_a_network_of_dockers_cannot_be_joined(image: Find, project: Project) -> None:
    job = {"connector": f"airbyte:{image('hostile')}", "runtime": "sandbox", "container": {"network": "mine"}}
    assert "cannot join the Docker network `mine`" in project.run(job, code=2)["error"]["message"]
