"""What recipes and registry say of a connector is what it says itself, asked as it comes from the package index: `make specs`."""

from __future__ import annotations

import json

import pytest

from dativo._recipe import ProgramConfig, Recipe
from tests.recipes.specs import engines, note, said

PACKAGES = [pytest.param(recipe, name, engine, id=f"{recipe.name}-{name}") for recipe, name, engine in engines(packages=True)]


@pytest.mark.network
@pytest.mark.specs
@pytest.mark.parametrize(("recipe", "name", "engine"), PACKAGES)
def test_the_registry_says_what_the_connector_says(recipe: Recipe, name: str, engine: ProgramConfig) -> None:
    """When this fails: python -m tests.recipes.specs, and look at the recipe's secrets and example."""
    noted = json.loads(note(engine).read_text("utf-8"))
    new = said(recipe, name)

    assert {key: noted.get(key) for key in new} == new
