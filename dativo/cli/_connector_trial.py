"""`dativo connector test`: does a connector work here, step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from dativo.cli import _complete, _terminal
from dativo.cli._command import command
from dativo.cli._figures import duration
from dativo.cli._source_options import config_options, open_source, run_options
from dativo.cli._table import Column, show_table

if TYPE_CHECKING:
    from dativo._hub_trial import Step
    from dativo._source import Source

__all__ = ["test"]


@command(
    "test",
    examples=(
        "dativo connector test faker",
        "dativo connector test postgres --config config.json --stream public-orders",
        "dativo connector test github --engine airbyte --set 'credentials.personal_access_token=${GITHUB_TOKEN}' --json",
    ),
)
@click.argument("name", shell_complete=_complete.connectors)
@config_options
@run_options
@click.option(
    "-s", "--stream", "streams", multiple=True, metavar="STREAM", help="Read this stream; by default the first that has rows."
)
@click.option("-n", "--limit", type=click.IntRange(min=1), default=10, show_default=True, metavar="N", help="Rows to read.")
def test(
    name: str,
    config: str | None,
    settings: tuple[str, ...],
    how: dict[str, Any],
    streams: tuple[str, ...],
    limit: int,
    as_json: bool,
) -> None:
    """Try a connector, step by step.

    It is installed, asked for its settings, checked, asked for its streams, and its first rows are read. NAME is a recipe, a
    reference or a job's file. What needs a configuration is skipped where there is none. Nothing is kept but the installation.
    The exit code is that of the first step that failed.
    """
    from dativo._hub_trial import trial

    source = open_source(name, config, settings, **how)
    steps = list(
        trial(
            source,
            install=_installation(source),
            configured=config is not None or _configured(source),
            streams=streams,
            limit=limit,
            on_spec=_noting(source),
        )
    )
    failed = next((step.error for step in steps if step.error is not None), None)
    if as_json:
        about = {"connector": name, "engine": source.connector.engine, "succeeded": failed is None}
        _terminal.write_json({**about, "steps": [_about(step) for step in steps]})
    else:
        columns = (Column("step"), Column("result"), Column("time", True), Column("found", folds=True))
        times = [duration(step.seconds) if step.result != "skipped" else "-" for step in steps]
        show_table(columns, [(step.name, step.result, time, step.text) for step, time in zip(steps, times, strict=True)])
    _terminal.flush()
    if failed is not None:
        raise failed


def _configured(source: Source) -> bool:
    """Whether there is more configuration than the recipe brings: of `--set`, or of a job."""
    recipe = source.connector.recipe
    return dict(source.config) != (recipe.config if recipe else {})


def _installation(source: Source) -> Callable[[], str] | None:
    """Installs its package, as a step of its own, so that the time it takes is not taken for the connector's."""
    connector = source.connector.connector
    package = connector.package
    if package is None:
        return None

    def install() -> str:
        from dativo_engines.environments import EnvironmentStore

        from dativo._paths import cache_dir

        with EnvironmentStore(cache_dir(), source.log).ensure(package, connector.requirements) as environment:
            return f"{environment.info.requirement}, Python {environment.info.python}"

    return install


def _noting(source: Source) -> Callable[[Mapping[str, Any]], None] | None:
    """Notes what a recipe's connector says, for `dativo connector show`; what a job overrides is not the recipe's."""
    from dativo._hub import note_schema
    from dativo._paths import cache_dir

    found = source.connector
    if found.recipe is None:
        return None
    how = found.recipe.engines[found.engine]
    if found.connector.package != how.package and found.connector.image != how.image:
        return None
    return lambda schema: note_schema(how, schema, cache_dir())


def _about(step: Step) -> dict[str, Any]:
    about: dict[str, Any] = {"step": step.name, "result": step.result, "seconds": round(step.seconds, 3), "message": step.text}
    if step.error is not None:
        about |= {"exit_code": step.error.exit_code, "kind": type(step.error).__name__, "hint": step.error.hint}
    return about
