"""Every recipe that is shipped: valid, pinned, and in accord with what its connector says of itself."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from dativo_sdk.host import load_class

from dativo._document import read_document
from dativo._hub import known_schema, programs
from dativo._hub_example import example_job
from dativo._hub_settings import secret_settings
from dativo._job import load_job
from dativo._recipe import ProgramConfig, Recipe, load_recipe
from tests.recipes.specs import ROOT, engines, note

RECIPES = [path.stem for path in sorted((ROOT / "connectors").glob("*.yaml"))]
ENGINES = [pytest.param(recipe, name, engine, id=f"{recipe.name}-{name}") for recipe, name, engine in engines()]
KNOWN = [pytest.param(*case.values, id=case.id) for case in ENGINES if case.values[2].package or case.values[2].reader]
ASKED_FOR = (
    "faker file declarative-manifest stripe hubspot github postgres mysql google-sheets salesforce shopify gitlab mongodb"
    " tap-csv-folder tap-spreadsheets tap-rest-api-msdk csv jsonl parquet postgres-native"
).split()


def test_what_was_asked_for_is_there() -> None:
    assert set(ASKED_FOR) <= set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_it_fits_the_schema(name: str) -> None:
    schema = json.loads((ROOT / "docs" / "schemas" / "recipe.schema.json").read_text("utf-8"))
    document = read_document(ROOT / "connectors" / f"{name}.yaml")

    jsonschema.Draft202012Validator(schema).validate(document.data)
    assert load_recipe(name, ROOT)[0].name == name


@pytest.mark.parametrize("name", RECIPES)
def test_its_version_is_that_of_the_default_engine(name: str) -> None:
    recipe, _ = load_recipe(name, ROOT)
    if recipe.default_engine == "native":
        assert recipe.version == load_class(recipe.engines["native"].reader or "").version
        return
    first = programs(recipe.engines[recipe.default_engine])[0][1]

    assert re.split(r"==|:", first)[-1] == recipe.version


@pytest.mark.parametrize(("recipe", "name", "engine"), ENGINES)
def test_what_it_runs_is_pinned(recipe: Recipe, name: str, engine: ProgramConfig) -> None:
    pins = {"package": r"[a-z0-9-]+==[0-9][0-9a-z.]*", "image": r"airbyte/[a-z0-9-]+:[0-9][0-9a-z.]*"}
    # Dativo's own, which come with it.
    pins |= {"reader": r"csv|jsonl|parquet|postgres", "executable": r"dativo-(csv|jsonl|parquet|postgres)"}
    found = programs(engine)

    assert found
    assert [text for kind, text in found if not re.fullmatch(pins[kind], text)] == []


@pytest.mark.parametrize(("recipe", "name", "engine"), KNOWN)
def test_it_names_the_secrets_that_the_connector_marks(recipe: Recipe, name: str, engine: ProgramConfig, tmp_path: Path) -> None:
    schema = known_schema(engine, tmp_path)

    assert schema is not None
    assert set(secret_settings(schema)) <= set(recipe.secrets)


@pytest.mark.parametrize(("recipe", "name", "engine"), ENGINES)
def test_its_example_is_a_job_that_its_connector_takes(recipe: Recipe, name: str, engine: ProgramConfig, tmp_path: Path) -> None:
    schema = known_schema(engine, tmp_path)
    text = example_job(recipe, name, schema)
    (tmp_path / "job.yaml").write_text(text, "utf-8")
    variables = dict.fromkeys(re.findall(r"\$\{(\w+)\}", text), "secret")
    job = load_job("job.yaml", project=tmp_path, environment=variables)

    assert job.connector.engine == name
    assert "<" not in text
    if schema is not None and "manifest" not in engine.example:
        jsonschema.Draft7Validator(schema).validate(dict(job.source_config))


@pytest.mark.parametrize(("recipe", "name", "engine"), ENGINES)
def test_secrets_of_its_example_come_from_the_environment(recipe: Recipe, name: str, engine: ProgramConfig) -> None:
    config = engine.example.get("config", {})
    given = [_at(config, path) for path in recipe.secrets]

    assert [value for value in given if isinstance(value, str) and not value.startswith("${")] == []


def test_one_package_has_one_description_of_its_secrets() -> None:
    """`postgres` and `meltanolabs-tap-postgres` are the same tap: both must mask the same."""
    by_package: dict[str, set[str]] = {}
    for recipe, _, engine in engines(packages=True):
        marked = set(recipe.secrets)
        assert engine.package is not None
        by_package[engine.package] = by_package.get(engine.package, marked) & marked
    for recipe, _, engine in engines(packages=True):
        if list(recipe.engines) == ["singer"]:
            assert set(recipe.secrets) == by_package[str(engine.package)]


def test_the_registry_notes_what_recipes_run_and_nothing_else() -> None:
    noted = sorted((ROOT / "registry" / "specs").iterdir())

    assert noted == sorted({note(engine) for _, _, engine in engines(packages=True)})
    assert sum(path.stat().st_size for path in noted) < 100_000


def _at(config: Any, path: str) -> Any:
    for part in path.split("."):
        config = config.get(part) if isinstance(config, dict) else None
    return config
