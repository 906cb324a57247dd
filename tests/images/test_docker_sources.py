"""Real sources as images, unmodified, through the command line: spec, check, reads that go on where they ended."""

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
from tests.images.sources import Source
from tests.project import Project

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("docker")]
Make = Callable[..., Source]


@dataclass(frozen=True)
class Image:
    """A source in an image.

    Attributes:
        job: What a job says of it.
        wrong: A configuration that does not work.
        full: A stream to read whole, and its rows.
        incremental: A stream to read on, its rows, and how many come again.
    """

    job: dict[str, Any]
    wrong: dict[str, Any]
    full: tuple[str, int]
    incremental: tuple[str, int, int]

    @property
    def reference(self) -> str:
        return str(self.job["connector"])


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the images of these tests stay pinned when they are built anew."""
    monkeypatch.setenv("DATIVO_CACHE", str(tmp_path / "cache"))


@pytest.fixture(params=["faker", "declarative-manifest"])
def image(request: pytest.FixtureRequest, source: Make) -> Iterator[Image]:
    reference = f"airbyte:{source(request.param).image}"
    if request.param == "faker":
        config = {"count": 30, "seed": 1, "records_per_slice": 10, "parallelism": 1, "always_updated": False}
        job = {"connector": reference, "config": config, "container": {"network": "none"}}
        yield Image(job, {"count": -1}, ("products", 30), ("users", 30, 0))
    else:
        manifest = {"__injected_declarative_manifest": yaml.safe_load(MANIFEST.read_text())}
        with api.serving() as served:
            config = {**served.config, **manifest}
            job = {"connector": reference, "config": config, "container": {"network": "host"}}
            yield Image(job, {**config, "api_key": "wr0ng"}, ("things", 8), ("changes", 12, 1))


def test_spec_and_check_answer(image: Image, project: Project) -> None:
    assert json.loads(project.dativo("spec", image.reference, "--json"))["properties"] is not None
    job = {"name": "job", "source": image.job, "target": {"connector": "parquet", "config": {"path": "out"}}}
    (project.folder / "job.yaml").write_text(json.dumps(job))
    assert json.loads(project.dativo("check", "job.yaml", "--json"))["status"] == "SUCCEEDED"


def test_a_wrong_configuration_is_refused(image: Image, project: Project) -> None:
    report = project.run({**image.job, "config": image.wrong}, code=10, retry={"attempts": 1})
    assert ("minimum" if image.wrong == {"count": -1} else "wrong key") in report["error"]["message"]


def test_a_full_and_an_incremental_read_land_every_row_once(image: Image, project: Project) -> None:
    (full, rows), (incremental, more, again) = image.full, image.incremental
    streams = {full: {"mode": "full_refresh", "write": "overwrite"}, incremental: {"mode": "incremental", "write": "merge"}}
    first = project.run({**image.job, "streams": streams})
    second = project.run({**image.job, "streams": streams})
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
def test_a_hostile_image_fails_the_run_with_the_reason(source: Make, project: Project, attempt: str, reason: str) -> None:
    config = {"attempt": attempt, "host": "192.0.2.1", "port": 80}
    container = {"memory": "256MiB", "network": "none", "pids": 64}
    job = {"connector": f"airbyte:{source('hostile').image}", "config": config, "container": container}
    report = project.run(job, code=10, retry={"attempts": 1})
    assert reason in report["error"]["message"]
