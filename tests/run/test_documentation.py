"""What is shipped beside the code says the same as the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import dativo
from dativo._job import CheckpointConfig, Job, RetryConfig, SourceConfig, StreamConfig, TargetConfig, load_job
from dativo._recipe import ContainerConfig, ProgramConfig, Recipe, list_recipes
from dativo._schemas import MODELS, render

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", MODELS)
def test_schemas_are_current(name: str) -> None:
    """When this fails: python -m dativo._schemas docs/schemas."""
    assert (ROOT / "docs" / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8") == render(name)


def test_the_schemas_accept_what_the_models_accept() -> None:
    import json

    import jsonschema

    from dativo._document import read_document

    job, recipe = (jsonschema.Draft202012Validator(json.loads(render(name))) for name in ("job", "recipe"))
    source = {"connector": "c", "streams": ["a"]}
    minimal = {"name": "x", "source": source, "target": {"connector": "duckdb"}, "on_bad_value": None}
    job.validate(minimal)
    job.validate({**minimal, "source": {**source, "streams": {"*": None}}, "checkpoint": {"bytes": "1GiB", "seconds": "90s"}})
    job.validate(read_document(ROOT / "jobs" / "quickstart.yaml").data)
    for path in (ROOT / "connectors").glob("*.yaml"):
        recipe.validate(read_document(path).data)
    assert not job.is_valid({**minimal, "sauce": {}})


MODELS_OF_FILES = [
    Job,
    SourceConfig,
    StreamConfig,
    TargetConfig,
    CheckpointConfig,
    RetryConfig,
    Recipe,
    ProgramConfig,
    ContainerConfig,
]


@pytest.mark.parametrize("model", MODELS_OF_FILES)
def test_every_key_is_documented(model: type[Job]) -> None:
    text = (ROOT / "docs" / "jobs.md").read_text(encoding="utf-8")
    assert [key for key in model.model_fields if not re.search(rf"\b{key}\b", text)] == []


def test_the_documented_job_is_valid(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "jobs.md").read_text(encoding="utf-8")
    path = tmp_path / "orders.yaml"
    path.write_text(text.split("```yaml\n")[1].split("```")[0], encoding="utf-8")
    assert load_job(path, project=ROOT, environment={"API_KEY": "k"}).job.name == "orders"


def test_shipped_jobs_are_valid() -> None:
    jobs = sorted((ROOT / "jobs").glob("*.yaml"))
    assert [load_job(path, project=ROOT).job.name for path in jobs] == [path.stem for path in jobs]


def test_shipped_recipes_pin_the_version_they_name() -> None:
    recipes = list_recipes(ROOT)
    assert len(recipes) >= 7
    for recipe in recipes:
        engine = recipe.engines[recipe.default_engine]
        if recipe.default_engine == "native":
            # Readers of Dativo's own, which are of its version.
            assert recipe.version == dativo.__version__
            continue
        named = [text for text in (engine.package, engine.image) if text is not None]
        assert any(re.search(rf"(==|:){re.escape(recipe.version)}$", text) for text in named)


def test_the_quickstarts_data_is_what_its_generator_makes(tmp_path: Path) -> None:
    import runpy
    import sys

    script = ROOT / "jobs" / "quickstart" / "make_data.py"
    arguments, sys.argv = sys.argv, [str(script), str(tmp_path)]
    try:
        runpy.run_path(str(script), run_name="__main__")
    finally:
        sys.argv = arguments
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert made == {path.name: path.read_bytes() for path in (script.parent / "data").iterdir()}


def test_importing_the_package_loads_nothing_heavy() -> None:
    import subprocess
    import sys

    code = "import sys, dativo; print(*sorted(m for m in sys.modules if m.partition('.')[0] in %r))"
    heavy = {"pyarrow", "pydantic", "duckdb", "yaml", "click", "rich", "typing", "dataclasses"}
    found = subprocess.run(
        [sys.executable, "-S", "-c", code % heavy], capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)}
    )
    assert (found.stdout.strip(), found.stderr) == ("", "")


def test_every_exported_name_is_there() -> None:
    import dativo

    assert all(getattr(dativo, name) is not None for name in dativo.__all__)
