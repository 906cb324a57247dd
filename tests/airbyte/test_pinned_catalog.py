"""`catalogs/`: what is pinned is what the source says, and the job that uses it runs as it stands."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.airbyte.sources import FAKER
from tests.project import Project

ROOT = Path(__file__).resolve().parent.parent.parent
PINNED = "catalogs/faker-7.2.1.json"


def test_the_pinned_catalog_is_what_the_source_discovers(project: Project) -> None:
    said = project.discover(FAKER, {"count": 1})
    pinned = json.loads((ROOT / PINNED).read_text())
    assert [stream.raw for stream in said] == pinned["streams"]


def test_the_job_with_a_pinned_catalog_runs_as_it_stands_and_doubles_nothing(project: Project) -> None:
    for name in ("connectors/faker.yaml", "jobs/faker.yaml", PINNED):
        (project.folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, project.folder / name)
    for _ in range(2):
        report = json.loads(project.dativo("run", "jobs/faker.yaml", "--set", "source.config.count=100", "--json"))
        assert report["status"] == "succeeded"
    project.duckdb_path = project.folder / "out" / "faker.duckdb"
    assert project.tables() == ["products", "purchases", "users"]
    assert project.rows("select count(*), count(distinct id) from users") == [(100, 100)]
