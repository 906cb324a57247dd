"""A low-code source against an API that pages, limits and fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.airbyte import api
from tests.airbyte.api import Answer, Api
from tests.airbyte.sources import MANIFEST
from tests.project import Project

pytestmark = [pytest.mark.network, pytest.mark.xdist_group("airbyte-manifest")]

THINGS, CHANGES = {"things": {"mode": "full_refresh", "write": "append"}}, {"changes": {"mode": "incremental", "write": "append"}}


@pytest.fixture
def served() -> Iterator[Api]:
    with api.serving() as served:
        yield served


def run(project: Project, served: Api, streams: dict[str, Any], code: int = 0, attempts: int = 1) -> dict[str, Any]:
    source = {"connector": f"airbyte:{MANIFEST}", "config": served.config, "streams": streams}
    retry = {"attempts": attempts, "wait": "10ms", "max_wait": "10ms"}
    return project.run(source, code=code, retry=retry, checkpoint={"rows": 1})


def ids(project: Project, table: str) -> list[int]:
    return [number for (number,) in project.rows(f"select id from {table} order by id")]


def test_a_rate_limit_is_waited_for(project: Project, served: Api) -> None:
    served.answers("/things", None, Answer(429, {"Retry-After": "1"}), Answer(429, {"Retry-After": "1"}))
    run(project, served, THINGS)
    assert ids(project, "things") == list(range(1, 9))
    assert sum(request.startswith("/things?page=1") for request in served.requests) == 3


def test_an_error_in_the_middle_keeps_the_checkpoint_and_the_next_run_goes_on(project: Project, served: Api) -> None:
    served.answers("/changes", None, None, None, Answer(400, body='{"message": "no such day"}'))
    report = run(project, served, CHANGES, code=10)
    assert "(stream `changes`)" in report["error"]["message"]
    assert report["error"]["facts"]["failure_type"] == "system_error"
    committed = ids(project, "changes")
    assert committed[:4] == [1, 2, 3, 4]
    run(project, served, CHANGES)
    assert set(ids(project, "changes")) == set(range(1, 13))


def test_an_error_of_the_configuration_is_not_tried_again(project: Project, served: Api) -> None:
    served.answers("/things", None, None, Answer(403, body='{"detail": "page 1 is secret"}'))
    report = run(project, served, THINGS, code=10, attempts=3)
    assert "The key may not read this: page 1 is secret" in report["error"]["message"]
    assert report["error"]["facts"]["failure_type"] == "config_error"
    assert len(report["attempts"]) == 1


def test_an_error_that_may_pass_is_tried_again_from_the_checkpoint(project: Project, served: Api) -> None:
    served.answers("/things", None, None, *[Answer(500)] * 3)
    report = run(project, served, THINGS, attempts=2)
    assert len(report["attempts"]) == 2
    assert ids(project, "things") == list(range(1, 9))


def test_the_key_stays_out_of_everything_that_is_said(project: Project, served: Api) -> None:
    served.answers("/things", None, Answer(403, body='{"detail": "bad ' + api.KEY + '"}'))
    report = run(project, served, THINGS, code=10)
    assert "bad ***" in report["error"]["message"]
    assert api.KEY not in str(report)


def test_custom_components_are_refused(project: Project, served: Api, tmp_path: Path) -> None:
    path = tmp_path / "custom.yaml"
    path.write_text(
        MANIFEST.read_text().replace("type: BearerAuthenticator", "type: CustomAuthenticator\n      class_name: os.system")
    )
    report = project.run({"connector": f"airbyte:{path}", "config": served.config}, code=2)
    assert "`os.system`" in report["error"]["message"]


COMPONENTS = """\
from airbyte_cdk.sources.declarative.extractors.record_extractor import RecordExtractor


class Shouting(RecordExtractor):
    def extract_records(self, response):
        return [{**item, "name": item["name"].upper()} for item in response.json()["items"]]
"""

RECIPE = """\
name: shouting
version: 1.0.0
default_engine: airbyte
engines:
  airbyte:
    manifest: shouting/manifest.yaml
    allow_custom_components: true
"""


@pytest.mark.xdist_group("airbyte-cdk")
def test_components_that_a_recipe_allows_are_run(project: Project, served: Api) -> None:
    folder = project.folder / "connectors" / "shouting"
    folder.mkdir(parents=True)
    (folder.parent / "shouting.yaml").write_text(RECIPE)
    (folder / "components.py").write_text(COMPONENTS)
    custom = "type: CustomRecordExtractor\n        class_name: source_declarative_manifest.components.Shouting"
    plain = "type: DpathExtractor\n        field_path: [items]"
    (folder / "manifest.yaml").write_text(MANIFEST.read_text().replace(plain, custom))
    project.run({"connector": "shouting", "config": served.config, "streams": THINGS})
    assert project.rows("select distinct name from things where id = 1") == [("THING 1",)]
