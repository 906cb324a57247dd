"""`dativo connector search`: recipes found by a word."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dativo.cli import _terminal
from dativo.cli._command import command
from dativo.cli._table import Column, show_table

if TYPE_CHECKING:
    from dativo._recipe import Recipe

__all__ = ["search", "show_recipes"]


@command("search", examples=("dativo connector search postgres", "dativo connector search 'google excel' --json"))
@click.argument("text", nargs=-1, required=True)
def search(text: tuple[str, ...], as_json: bool) -> None:
    """Find recipes by words, the best first.

    Every word of TEXT must be said of a recipe: in its name, description, roles, engines, packages or images. Misspelt words are
    understood.
    """
    from dativo._hub import search_recipes
    from dativo._recipe import list_recipes

    found = search_recipes(list_recipes(Path()), " ".join(text))
    if as_json:
        _terminal.write_json({"recipes": [recipe.model_dump(mode="json", exclude={"config"}) for recipe in found]})
    elif found:
        show_recipes(found)
    else:
        _terminal.note(
            f"no recipe fits `{' '.join(text)}`: `dativo connector list` shows all; any package or image runs by reference"
        )


def show_recipes(recipes: list[Recipe]) -> None:
    """Writes recipes as a table, the default engine of each first."""
    heads = (Column("recipe"), Column("version"), Column("engine"), Column("description", folds=True))
    show_table(heads, [(recipe.name, recipe.version, _engines(recipe), recipe.description or "-") for recipe in recipes])


def _engines(recipe: Recipe) -> str:
    return ", ".join([recipe.default_engine, *sorted(set(recipe.engines) - {recipe.default_engine})])
