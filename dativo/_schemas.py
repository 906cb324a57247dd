"""JSON Schemas of jobs and recipes, made from their models: `python -m dativo._schemas docs/schemas` writes them."""

from __future__ import annotations

import ast
import inspect
import json
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from dativo._job import Job
from dativo._model import Model
from dativo._recipe import Recipe

__all__ = ["render", "write"]

MODELS: dict[str, type[Model]] = {"job": Job, "recipe": Recipe}


def render(name: str) -> str:
    """The text of `<name>.schema.json`, for `job` or `recipe`."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **MODELS[name].model_json_schema()}
    models = {model.__name__: model for model in _models(Model)}
    for title, described in {MODELS[name].__name__: schema, **schema.get("$defs", {})}.items():
        texts = _docstrings(models[title]) if title in models else {}
        for field, text in texts.items():
            described["properties"][field] = {"description": text, **described["properties"][field]}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _models(model: type[Model]) -> Iterator[type[Model]]:
    for inner in model.__subclasses__():
        yield inner
        yield from _models(inner)


def _docstrings(model: type[Model]) -> dict[str, str]:
    """What stands below each field."""
    (definition,) = ast.parse(inspect.getsource(model)).body
    found: dict[str, str] = {}
    for field, below in pairwise(getattr(definition, "body", ())):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            text = below.value.value if isinstance(below.value, ast.Constant) else None
            if isinstance(text, str):
                found[field.target.id] = inspect.cleandoc(text)
    return found


def write(folder: Path) -> None:
    """Writes all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in MODELS:
        (folder / f"{name}.schema.json").write_text(render(name), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
