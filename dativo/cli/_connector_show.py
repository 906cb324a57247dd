"""`dativo connector show`: what is known of a connector without running it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dativo.cli import _complete, _terminal
from dativo.cli._command import command
from dativo.cli._table import Column, show_pairs, show_table

if TYPE_CHECKING:
    from dativo._hub_settings import Setting
    from dativo._recipe import Recipe

__all__ = ["show"]


@command(
    "show",
    examples=("dativo connector show postgres", "dativo connector show postgres --engine airbyte --job > jobs/postgres.yaml"),
)
@click.argument("name", shell_complete=_complete.connectors)
@click.option("--engine", metavar="ENGINE", help="Show how this engine of the recipe runs it; the default one otherwise.")
@click.option("--job", "job_only", is_flag=True, help="Write only the job.")
def show(name: str, engine: str | None, job_only: bool, as_json: bool) -> None:
    """Show what is known of a recipe.

    That is: its engines and versions, secrets, required settings, and a job to begin with. Nothing is installed or run: settings
    are known of most recipes shipped with Dativo, and of any once `dativo connector test` has asked it.
    """
    from dativo._hub import known_schema, programs, recipe_engine
    from dativo._hub_example import example_job
    from dativo._hub_settings import required_settings, settings
    from dativo._paths import cache_dir
    from dativo._recipe import load_recipe

    recipe, _ = load_recipe(name, Path())
    chosen, how = recipe_engine(recipe, engine)
    schema = known_schema(how, cache_dir())
    job = example_job(recipe, chosen, schema)
    needed = [] if schema is None else required_settings(schema)
    if as_json:
        known = None if schema is None else [_setting(each) for each in settings(schema)]
        runs = {each: dict(programs(config)) for each, config in recipe.engines.items()}
        about = {**recipe.model_dump(mode="json"), "engine": chosen, "runs": runs}
        _terminal.write_json({**about, "required": [each.path for each in needed], "settings": known, "example": job})
        return
    if job_only:
        _terminal.write(job)
        return
    show_pairs(_facts(recipe))
    _terminal.write("\n")
    asked = recipe.name if chosen == recipe.default_engine else f"{recipe.name} --engine {chosen}"
    if schema is None:
        _terminal.write(f"its settings are not known here: `dativo connector test {asked}` asks it\n")
    else:
        _show_settings(needed, schema, recipe, asked)
    _terminal.write(f"\njobs/{recipe.name}.yaml:\n\n{_terminal.printable(job)}")


def _facts(recipe: Recipe) -> list[tuple[str, str]]:
    from dativo._hub import programs

    pairs = [("recipe", f"{recipe.name} {recipe.version}"), ("about", recipe.description or "-")]
    for name in sorted(recipe.engines, key=lambda name: name != recipe.default_engine):
        runs = ", ".join(f"{kind} {what}" for kind, what in programs(recipe.engines[name])) or "-"
        pairs.append((name, f"{runs}{' (default)' if name == recipe.default_engine and len(recipe.engines) > 1 else ''}"))
    pairs += [("roles", ", ".join(recipe.roles)), ("secrets", ", ".join(recipe.secrets) or "none")]
    pairs += [(key, value if isinstance(value, str) else json.dumps(value)) for key, value in recipe.incremental.items()]
    if recipe.config:
        pairs.append(("defaults", json.dumps(recipe.config, ensure_ascii=False)))
    if recipe.notes:
        pairs.append(("notes", " ".join(recipe.notes.split())))
    return pairs


def _show_settings(needed: list[Setting], schema: Mapping[str, Any], recipe: Recipe, asked: str) -> None:
    from dativo._hub_settings import settings

    more = len({each.path for each in settings(schema)} - {each.path for each in needed})
    if needed:
        columns = (Column("required setting"), Column("type"), Column("variant", folds=True))
        kinds = [" or ".join(each.types) + (" (secret)" if each.secret or each.path in recipe.secrets else "") for each in needed]
        show_table(columns, [(each.path, kind or "-", each.variant or "-") for each, kind in zip(needed, kinds, strict=True)])
    _terminal.write(f"{more} optional setting{'' if more == 1 else 's'}: `dativo connector show {asked} --json`\n")


def _setting(setting: Setting) -> dict[str, Any]:
    about = {"name": setting.path, "types": setting.types, "required": setting.required, "secret": setting.secret}
    return {**about, "default": setting.default, "variant": setting.variant}
