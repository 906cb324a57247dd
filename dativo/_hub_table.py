"""The table of recipes in `docs/connectors.md`, made from them: `python -m dativo._hub_table docs/connectors.md` writes it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from dativo._hub import programs
from dativo._recipe import Recipe, list_recipes

__all__ = ["put_table", "recipe_table"]

BEGIN, END = "<!-- recipes -->\n", "<!-- end of recipes -->\n"
ENGINES = ("native", "program", "singer", "airbyte")


def recipe_table(recipes: Iterable[Recipe]) -> str:
    """A table in Markdown, the engine that is used by default in bold."""
    lines = [f"| recipe | reads | {' | '.join(f'`{engine}`' for engine in ENGINES)} |", f"|{'---|' * (2 + len(ENGINES))}"]
    for recipe in recipes:
        cells = [_runs(recipe, engine) for engine in ENGINES]
        lines.append(f"| `{recipe.name}` | {recipe.description} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def put_table(page: str, table: str) -> str:
    """The page with this table in place of the one between its marks."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}{table}{END}{rest.partition(END)[2]}"


def _runs(recipe: Recipe, engine: str) -> str:
    if engine not in recipe.engines:
        return ""
    names = [f"`{name}`" for _, name in programs(recipe.engines[engine])]
    return ", ".join(names if engine != recipe.default_engine else [f"**{names[0]}**", *names[1:]])


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(put_table(path.read_text("utf-8"), recipe_table(list_recipes(Path()))), "utf-8")
