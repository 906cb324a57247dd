"""Recipes whose source can be had here: `dativo connector test` takes every step of them, against the real thing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.airbyte import api
from tests.airbyte.sources import MANIFEST
from tests.project import Project
from tests.taps import sources
from tests.taps.servers import Server

STEPS = ["install", "spec", "check", "discover", "read"]


def trial(project: Project, name: str, config: dict[str, Any] | None = None, *arguments: str) -> str:
    """Every step must succeed; what was read."""
    if config is not None:
        (project.folder / "config.json").write_text(json.dumps(config))
        arguments = (*arguments, "--config", "config.json")
    report = json.loads(project.dativo("connector", "test", name, *arguments, "--json"))
    assert [(step["step"], step["result"]) for step in report["steps"]] == [(step, "ok") for step in STEPS]
    return str(report["steps"][-1]["message"])


@pytest.mark.network
@pytest.mark.xdist_group("airbyte-faker")
def test_faker(project: Project) -> None:
    assert trial(project, "faker", {"count": 20}, "--stream", "users").startswith("`users`: 10 rows of ")


@pytest.mark.network
@pytest.mark.xdist_group("airbyte-file")
def test_file(project: Project) -> None:
    path = project.folder / "orders.csv"
    path.write_text("id,name\n1,a\n2,b\n")
    config = {"dataset_name": "orders", "format": "csv", "url": str(path), "provider": {"storage": "local"}}

    assert trial(project, "file", config).startswith("`orders`: 2 rows of ")


@pytest.mark.network
@pytest.mark.xdist_group("airbyte-manifest")
def test_declarative_manifest(project: Project) -> None:
    """Named by a job, which a trial takes as well."""
    with api.serving() as served:
        source = {"connector": "declarative-manifest", "manifest": str(MANIFEST), "config": served.config}
        target = {"connector": "jsonl", "config": {"path": "out"}}
        (project.folder / "job.yaml").write_text(json.dumps({"name": "things", "source": source, "target": target}))

        assert trial(project, "job.yaml", None, "--stream", "things").startswith("`things`: 8 rows of ")


@pytest.mark.network
@pytest.mark.xdist_group("taps-csv")
def test_csv_folder(project: Project) -> None:
    assert trial(project, "tap-csv-folder", sources.csv_folder(project.folder).config, "--stream", "orders").startswith(
        "`orders`: 3"
    )


@pytest.mark.network
@pytest.mark.xdist_group("taps-jsonl")
def test_jsonl(project: Project) -> None:
    assert trial(project, "tap-jsonl", sources.jsonl_files(project.folder).config).startswith("`things`: 3 rows of ")


@pytest.mark.network
@pytest.mark.xdist_group("taps-csv")
def test_spreadsheets(project: Project) -> None:
    path = project.folder / "orders.csv"
    path.write_text("id,name\n1,a\n2,b\n")

    config = {"files": [{"path": str(path), "format": "csv", "table_name": "orders"}]}

    assert trial(project, "tap-spreadsheets", config).startswith("`orders`: 2 rows of ")


@pytest.mark.network
@pytest.mark.xdist_group("taps-rest")
def test_rest_api(project: Project) -> None:
    with sources.rest_api() as served:
        assert trial(project, "tap-rest-api-msdk", served.config).startswith("`things`: 10 rows of ")


@pytest.mark.network
@pytest.mark.server
@pytest.mark.xdist_group("taps-postgres")
@pytest.mark.parametrize("name", ["postgres", "meltanolabs-tap-postgres"])
def test_postgres(project: Project, postgres: Server, name: str) -> None:
    source = sources.postgres_database(postgres, database="DATABASE", filter_schemas=["shop"])

    found = trial(project, name, source.config, "--stream", source.stream)
    assert found == "`shop-items`: 3 rows of 16 columns, and 1 row with a value that does not fit"


@pytest.mark.network
@pytest.mark.server
@pytest.mark.xdist_group("taps-mariadb")
def test_mysql(project: Project, mariadb: Server) -> None:
    source = sources.mariadb_database(mariadb)

    found = trial(project, "mysql", source.config, "--stream", source.stream)
    assert found == "`items`: 2 rows of 14 columns, and 2 rows with a value that does not fit"
