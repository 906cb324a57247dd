"""Options of commands that load a job."""

from __future__ import annotations

import click

__all__ = ["overrides_option"]

overrides_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="PATH=VALUE",
    help="Override a value of the job, for example `target.config.path=x.duckdb`. May be repeated.",
)
