"""What every tap must do through Dativo, unmodified: discover, check, a full read, an incremental read resumed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.project import Project
from tests.taps.sources import Source
from tests.taps.taps import Tap, parameters

pytestmark = pytest.mark.parametrize("tap", parameters())


@pytest.fixture
def source(tap: Tap, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Source]:
    with tap.source(request, tmp_path) as source:
        yield source


def test_discover_lists_the_streams_with_their_keys(tap: Tap, source: Source, project: Project) -> None:
    streams = {stream.id.name: stream for stream in project.discover(tap.reference, source.config)}
    assert set(streams) == source.streams
    assert sorted(streams[source.stream].primary_key) == sorted(source.keys)


def test_check_succeeds(tap: Tap, source: Source, project: Project) -> None:
    assert project.check(tap.reference, source.config)["status"] == "SUCCEEDED"


def test_a_full_read_lands_every_row(tap: Tap, source: Source, project: Project) -> None:
    connector = {"connector": tap.reference, "config": source.config, "streams": {source.stream: {"mode": "full_refresh"}}}
    report = project.run(connector, "parquet")
    (stream,) = report["streams"]
    assert stream["rows_in"] == stream["written"] + stream["quarantined"] == tap.rows


def test_an_incremental_read_resumes_and_merges_without_doubles(tap: Tap, source: Source, project: Project) -> None:
    streams = {source.stream: {"mode": "incremental", "cursor": source.cursor}}
    connector = {"connector": tap.reference, "config": source.config, "streams": streams}
    first = project.run(connector, "duckdb")
    source.add()
    second = project.run(connector, "duckdb")
    assert second["state_before"] == first["state_after"] != second["state_after"]
    assert 2 <= second["rows_in"] <= tap.later + 2
    (table,) = project.tables()
    quarantined = first["quarantined"]
    rows = project.rows(f'select count(*), count(distinct {source.identity}) from "{table}"')
    assert rows == [(tap.later - quarantined, tap.later - quarantined)]
