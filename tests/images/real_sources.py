"""Real sources as images, unmodified, through the command line: a test module of each runtime takes these over.

Each says with `packed` what a job says of an image: the connector, how it is run, and what it may use.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from tests.airbyte import api
from tests.airbyte.sources import MANIFEST
from tests.project import Project

Packed = Callable[[str], dict[str, Any]]


@dataclass(frozen=True)
class Real:
    """A source in an image.

    Attributes:
        job: What a job says of it.
        wrong: A configuration that does not work, and a part of the reason.
        full: A stream to read whole, and its rows.
        incremental: A stream to read on, its rows, and how many come again.
    """

    job: dict[str, Any]
    wrong: tuple[dict[str, Any], str]
    full: tuple[str, int]
    incremental: tuple[str, int, int]


class RealSources:
    """Tests: spec, check, reads that go on where they ended, and the reason when a hostile one fails."""

    @pytest.fixture(params=["faker", "declarative-manifest"])
    def real(self, request: pytest.FixtureRequest, packed: Packed) -> Iterator[Real]:
        job = packed(request.param)
        if request.param == "faker":
            config = {"count": 30, "seed": 1, "records_per_slice": 10, "parallelism": 1, "always_updated": False}
            job = {**job, "config": config, "container": {"network": "none"}}
            yield Real(job, ({"count": -1}, "minimum"), ("products", 30), ("users", 30, 0))
        else:
            manifest = {"__injected_declarative_manifest": yaml.safe_load(MANIFEST.read_text())}
            with api.serving() as served:
                config = {**served.config, **manifest}
                job = {**job, "config": config, "container": {"network": "host"}}
                yield Real(job, ({**config, "api_key": "wr0ng"}, "wrong key"), ("things", 8), ("changes", 12, 1))

    def test_spec_and_check_answer(self, real: Real, project: Project) -> None:
        how = ["--runtime", real.job["runtime"]]
        assert json.loads(project.dativo("spec", real.job["connector"], *how, "--json"))["properties"] is not None
        job = {"name": "job", "source": real.job, "target": {"connector": "parquet", "config": {"path": "out"}}}
        (project.folder / "job.yaml").write_text(json.dumps(job))
        assert json.loads(project.dativo("check", "job.yaml", "--json"))["status"] == "SUCCEEDED"

    def test_a_wrong_configuration_is_refused(self, real: Real, project: Project) -> None:
        config, reason = real.wrong
        report = project.run({**real.job, "config": config}, code=10, retry={"attempts": 1})
        assert reason in report["error"]["message"]

    def test_a_full_and_an_incremental_read_land_every_row_once(self, real: Real, project: Project) -> None:
        (full, rows), (incremental, more, again) = real.full, real.incremental
        streams = {full: {"mode": "full_refresh", "write": "overwrite"}, incremental: {"mode": "incremental", "write": "merge"}}
        first = project.run({**real.job, "streams": streams})
        second = project.run({**real.job, "streams": streams})
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
        self, packed: Packed, together: None, project: Project, attempt: str, reason: str
    ) -> None:
        config = {"attempt": attempt, "host": "192.0.2.1", "port": 80}
        container = {"memory": "256MiB", "network": "none", "pids": 64}
        job = {**packed("hostile"), "config": config, "container": container}
        report = project.run(job, code=10, retry={"attempts": 1})
        assert reason in report["error"]["message"]
