"""JSON Schemas of jobs and recipes, made from their models: `python -m dativo._schemas docs/schemas` writes them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from dativo._job import Job
from dativo._model import Model
from dativo._recipe import Recipe

__all__ = ["render", "write"]

MODELS: dict[str, type[Model]] = {"job": Job, "recipe": Recipe}


def render(name: str) -> str:
    """The text of `<name>.schema.json`, for `job` or `recipe`."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **MODELS[name].model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def write(folder: Path) -> None:
    """Writes all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in MODELS:
        (folder / f"{name}.schema.json").write_text(render(name), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
