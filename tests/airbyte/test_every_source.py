"""What every source must do through Dativo, unmodified: spec, check, discover, full and incremental reads, each twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.airbyte.sources import Source, parameters
from tests.project import Project

Opened = Callable[[Path], AbstractContextManager[Source]]


@pytest.fixture
def source(opened: Opened, tmp_path: Path) -> Iterator[Source]:
    with opened(tmp_path) as source:
        yield source


every_source = pytest.mark.parametrize("opened", parameters())


@every_source
def test_spec_lists_the_settings(source: Source, project: Project) -> None:
    schema = json.loads(project.dativo("spec", source.reference, "--json"))
    assert set(source.settings) <= set(schema["properties"])


@every_source
def test_check_tells_a_good_configuration_from_a_bad_one(source: Source, project: Project) -> None:
    assert project.check(source.reference, source.config)["status"] == "SUCCEEDED"
    refused = project.check(source.reference, source.wrong, code=10)
    assert refused["status"] == "FAILED"
    assert refused["message"]


@every_source
def test_discover_lists_the_streams_with_their_keys(source: Source, project: Project) -> None:
    streams = project.discover(source.reference, source.config)
    assert {stream.id.name: stream.primary_key for stream in streams} == source.keys
    assert {stream.id.namespace for stream in streams} == {source.namespace}


@every_source
def test_a_full_refresh_lands_every_row_and_a_second_one_replaces_it(source: Source, project: Project) -> None:
    streams = {name: {"mode": "full_refresh", "write": "overwrite"} for name in source.keys}
    connector = {"connector": source.reference, "config": source.config, "streams": streams}
    for _ in range(2):
        report = project.run(connector, "parquet")
        landed = {stream["stream"].rpartition(".")[2]: stream for stream in report["streams"]}
        assert set(landed) == set(source.keys)
        assert {name: landed[name]["rows_in"] for name in source.rows} == source.rows
        assert all(stream["rows_in"] == stream["written"] + stream["quarantined"] for stream in landed.values())
    name = max(source.rows, key=lambda name: source.rows[name])
    stored = name if source.namespace is None else f"{source.namespace}.{name}"
    assert len(project.files(stored)) == landed[name]["written"] > 0


@pytest.mark.parametrize("opened", parameters("faker", "manifest"))
def test_an_incremental_read_goes_on_where_the_first_one_ended(source: Source, project: Project) -> None:
    name = source.incremental
    assert name is not None
    connector = {"connector": source.reference, "config": source.config, "streams": {name: {"mode": "incremental"}}}
    first = project.run(connector)
    assert first["rows_in"] == source.rows[name]
    second = project.run(connector)
    assert second["state_before"] == first["state_after"]
    assert second["rows_in"] == source.resumed
    assert project.rows(f"select count(*), count(distinct id) from {name}") == [(source.rows[name],) * 2]


@pytest.mark.parametrize("opened", parameters("faker"))
def test_a_stream_that_the_source_does_not_know_fails_the_run(source: Source, project: Project) -> None:
    """It says INCOMPLETE of it, no error, and exits with 0."""
    schema = {"type": "object", "properties": {"id": {"type": "integer"}}}
    streams = [{"name": name, "json_schema": schema, "supported_sync_modes": ["full_refresh"]} for name in ("users", "ghosts")]
    (project.folder / "catalog.json").write_text(json.dumps({"streams": streams}))
    connector = {"connector": source.reference, "config": source.config, "catalog": "catalog.json"}
    report = project.run(connector, code=10, retry={"attempts": 1})
    assert "stream `ghosts` incomplete" in report["error"]["message"]


@pytest.mark.parametrize("opened", parameters("faker"))
def test_a_bad_configuration_fails_a_run_once_and_says_why(source: Source, project: Project) -> None:
    report = project.run({"connector": source.reference, "config": source.wrong}, code=10)
    assert "less than the minimum" in report["error"]["message"]
