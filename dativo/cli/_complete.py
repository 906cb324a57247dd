"""What the shell offers for an argument: names of jobs and connectors in the project, else files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from dativo.cli._command import PROJECT

__all__ = ["connectors", "jobs"]


def jobs(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the project's jobs."""
    return _offer(_names(_project(context) / "jobs"), incomplete)


def connectors(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of recipes, the project's and the shipped ones."""
    from dativo._recipe import recipe_folders

    return _offer((name for folder in recipe_folders(_project(context)) for name in _names(folder)), incomplete)


def _offer(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    found = [CompletionItem(name) for name in dict.fromkeys(names) if name.startswith(incomplete)]
    return found or [CompletionItem(incomplete, type="file")]


def _names(folder: Path) -> list[str]:
    return sorted(file.stem for file in folder.glob("*.yaml"))


def _project(context: click.Context) -> Path:
    return Path(context.find_root().meta.get(PROJECT, "."))
