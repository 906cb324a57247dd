"""What connectors say of their settings, asked anew: `python -m tests.recipes.specs` writes it to `registry/specs/`.

Taps without `--about` say only which keys they miss, when they are started without any; what else they read is kept from their
code by hand in the file, and only those keys are compared.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dativo_protocols.errors import ConnectorError

import dativo
from dativo._hub import note_path, programs, registry_folder
from dativo._hub_settings import skeleton
from dativo._recipe import ProgramConfig, Recipe, list_recipes

ROOT = Path(__file__).parents[2]


def engines(*, packages: bool = False) -> Iterator[tuple[Recipe, str, ProgramConfig]]:
    """Every engine of every shipped recipe; with `packages`, those that run a package."""
    for recipe in list_recipes(ROOT):
        for name, engine in recipe.engines.items():
            if engine.package is not None or not packages:
                yield recipe, name, engine


def note(engine: ProgramConfig) -> Path:
    """Where what the engine's first program says is noted."""
    return note_path(registry_folder(), programs(engine)[0][1])


def said(recipe: Recipe, engine: str) -> dict[str, Any]:
    """The skeleton of what the connector says; of a tap that says nothing, only `required`."""
    source = dativo.source(recipe.name, engine=engine, project=ROOT)
    schema = source.spec().config_schema
    return skeleton(schema) if schema else {"required": missed_keys(source)}


def missed_keys(source: dativo.Source) -> list[str]:
    """The keys that a tap made with singer-python misses in an empty configuration."""
    try:
        source.discover()
    except ConnectorError as error:
        found = re.search(r"missing required keys: (\[.*?\])", f"{error.message}\n{error.facts.get('stderr')}")
        if found is not None:
            return sorted(ast.literal_eval(found[1]))
    raise AssertionError(f"{source.connector.name} does not say which keys it misses")


def main() -> None:
    for recipe, name, engine in engines(packages=True):
        path, new = note(engine), said(recipe, name)
        old: Mapping[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
        path.write_text(json.dumps(new if "properties" in new else {**old, **new}, indent=1) + "\n", "utf-8")
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
