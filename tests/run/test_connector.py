from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dativo_protocols import ConfigError

from dativo._connector import ResolvedConnector, container_options
from dativo._job import load_job

RECIPE = """\
name: both
version: 1.0.0
default_engine: airbyte
engines:
  airbyte:
    image: airbyte/source-both:1.0.0
    package: airbyte-source-both==1.0.0
    manifest: both.manifest.yaml
    container: {memory: 2GiB, network: none}
  singer: {package: tap-both==1.0.0}
"""


@pytest.fixture
def recipe(project: Path) -> Path:
    folder = project / "connectors"
    folder.mkdir()
    path = folder / "both.yaml"
    path.write_text(RECIPE)
    return path


def resolved(**source: Any) -> ResolvedConnector:
    job = {"name": "j", "source": {"connector": "both", **source}, "target": {"connector": "duckdb"}}
    return load_job(job).connector


def form(**source: Any) -> tuple[str | None, str | None, str]:
    connector = resolved(**source).connector
    return connector.image, connector.package, connector.runtime


def test_a_package_is_run_where_nothing_says_otherwise(recipe: Path) -> None:
    assert form() == (None, "airbyte-source-both==1.0.0", "docker")


@pytest.mark.parametrize("runtime", ["docker", "sandbox"])
def test_the_image_is_run_when_the_job_says_how(recipe: Path, runtime: str) -> None:
    assert form(runtime=runtime) == ("airbyte/source-both:1.0.0", None, runtime)


def test_what_a_job_names_itself_is_run(recipe: Path) -> None:
    assert form(image="mine:2") == ("mine:2", None, "docker")
    assert form(package="airbyte-source-both==2") == (None, "airbyte-source-both==2", "docker")
    assert form(executable="./mine") == (None, None, "docker")


def test_a_recipe_may_prefer_its_image_and_a_job_may_not(recipe: Path) -> None:
    recipe.write_text(RECIPE.replace("    image:", "    runtime: sandbox\n    image:"))
    assert form() == ("airbyte/source-both:1.0.0", None, "sandbox")
    assert form(runtime="package") == (None, "airbyte-source-both==1.0.0", "docker")


def test_the_job_chooses_another_engine_of_the_recipe(recipe: Path) -> None:
    found = resolved(engine="singer")
    assert (found.engine, found.connector.package, found.connector.image) == ("singer", "tap-both==1.0.0", None)


def test_an_engine_that_the_recipe_has_not_is_named(recipe: Path) -> None:
    with pytest.raises(ConfigError, match=r"`source.engine`: connector `both` has no engine `sinker`") as caught:
        resolved(engine="sinker")
    assert caught.value.hint == "did you mean `singer`?"


def test_manifests_are_found_beside_the_recipe_or_in_the_project(recipe: Path) -> None:
    assert resolved().connector.manifest == recipe.parent / "both.manifest.yaml"
    assert resolved(manifest="own.yaml").connector.manifest == Path.cwd() / "own.yaml"


def test_limits_of_the_job_are_laid_over_those_of_the_recipe(recipe: Path) -> None:
    options = container_options(resolved(container={"cpus": 0.5, "network": "bridge", "pids": 0}).container)
    assert (options.memory_bytes, options.cpus, options.network, options.pids) == (2 << 30, 0.5, "bridge", None)


def test_an_image_of_a_reference_runs_in_the_sandbox_too(project: Path) -> None:
    assert form(connector="airbyte:airbyte/source-faker:7.2.1", runtime="sandbox")[::2] == (
        "airbyte/source-faker:7.2.1",
        "sandbox",
    )


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"connector": "singer:tap-x", "runtime": "docker"}, "engine `singer` runs programs and packages only"),
        ({"connector": "airbyte:airbyte-source-x==1", "runtime": "docker"}, "no image that `docker` could run"),
        ({"connector": "airbyte:airbyte/source-x:1", "runtime": "package"}, "is an image, not a package"),
        ({"connector": "airbyte:source-x", "engine": "singer"}, "the reference says that the engine is `airbyte`"),
    ],
)
def test_what_cannot_be_run_that_way_is_said_at_its_line(project: Path, source: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        resolved(**source)
    assert str(caught.value.facts["path"]).startswith("source.")
