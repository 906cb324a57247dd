"""`dativo connector`: the connectors installed on this machine, and the recipes known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from dativo.cli import _complete, _terminal
from dativo.cli._command import Group, command, verbose
from dativo.cli._connector_search import search, show_recipes
from dativo.cli._connector_show import show
from dativo.cli._connector_trial import test
from dativo.cli._figures import local_time, size
from dativo.cli._log import Logger
from dativo.cli._table import Column, show_table

if TYPE_CHECKING:
    from dativo_engines.environments import EnvironmentInfo, EnvironmentStore
    from dativo_engines.sandbox import ImageInfo, ImageStore

__all__ = ["connector"]


@click.command(
    "connector",
    cls=Group,
    examples=(
        "dativo connector search postgres",
        "dativo connector show postgres",
        "dativo connector test faker",
        "dativo connector install singer:tap-csv-folder==0.0.1a1",
        "dativo connector remove tap-csv-folder",
    ),
)
def connector() -> None:
    """Find, try, install, list and remove connectors.

    A connector named as a package, like `singer:tap-jsonl==0.3.1`, is installed into an environment of its own when it is first
    used, below `$DATIVO_CACHE` (by default `~/.cache/dativo`), and shared by all projects.
    """


@command("list", examples=("dativo connector list", "dativo connector list --json"))
def list_(as_json: bool) -> None:
    """List installed connectors, images unpacked for the sandbox, and the recipes that jobs of this project can name."""
    from dativo._recipe import list_recipes

    installed, images, recipes = _environments().list(), _images().list(), list_recipes(Path())
    if as_json:
        known = [recipe.model_dump(mode="json", exclude={"config"}) for recipe in recipes]
        about = {"installed": [_about(info) for info in installed], "images": [_about_image(info) for info in images]}
        _terminal.write_json({**about, "recipes": known})
        return
    if not installed and not images and not recipes:
        _terminal.note("no connector is installed, and there is no recipe in `connectors/`")
    if installed:
        _show("installed", ("version", "python"), [_row(info) for info in installed])
    if images:
        _show("unpacked", ("digest", "platform"), [_image_row(info) for info in images])
    if recipes:
        show_recipes(recipes)


@command("install", examples=("dativo connector install singer:tap-csv-folder==0.0.1a1", "dativo connector install faker"))
@click.argument("connector", shell_complete=_complete.connectors)
def install(connector: str, as_json: bool) -> None:
    """Install CONNECTOR now, so that its first run need not: a reference with a version, or a recipe."""
    from dativo_protocols.errors import ConfigError

    from dativo._connector import resolve_reference

    found = resolve_reference(connector, Path()).connector
    if found.package is None:
        raise ConfigError(
            f"`{connector}` is a program, there is nothing to install", hint="name a package: `singer:tap-name==1.2.3`"
        )
    with _environments().ensure(found.package, found.requirements) as environment:
        info = environment.info
    if as_json:
        _terminal.write_json(_about(info))
    else:
        _terminal.write(
            _terminal.printable(f"{info.requirement} is installed: version {info.version}, {size(info.size_bytes)}\n")
        )


def _installed(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    import re

    from dativo_engines.environments import EnvironmentStore

    from dativo._paths import cache_dir

    packages = [re.split(r"[^\w.-]", info.requirement, maxsplit=1)[0] for info in EnvironmentStore(cache_dir()).list()]
    names = dict.fromkeys([*packages, *(name for info in _images().list() for name in info.names)])
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


@command(
    "remove",
    examples=(
        "dativo connector remove tap-csv-folder",
        "dativo connector remove tap-csv-folder==0.0.1a1",
        "dativo connector remove airbyte/source-faker:7.2.1",
    ),
)
@click.argument("name", shell_complete=_installed)
def remove(name: str, as_json: bool) -> None:
    """Remove installed connectors by package NAME, or one by its requirement or environment.

    Images that were unpacked for the sandbox go by their name, or by the start of their digest; the Docker Engine's are its own.
    The next run that needs one installs or unpacks it again.
    """
    from dativo_engines.references import is_reference, parse_reference

    connector = parse_reference(name)[1] if is_reference(name) else None
    wanted = (connector.package or connector.image if connector else None) or name
    store = _images()
    if store.named(wanted):
        images = store.remove(wanted)
        about, freed = [_about_image(info) for info in images], [(_image_row(info)[0], info.size_bytes) for info in images]
    else:
        removed = _environments().remove(wanted)
        about, freed = [_about(info) for info in removed], [(info.requirement, info.size_bytes) for info in removed]
    if as_json:
        _terminal.write_json({"removed": about})
        return
    for what, nbytes in freed:
        _terminal.write(_terminal.printable(f"{what} is removed, {size(nbytes)} freed\n"))


for member in (search, show, test, list_, install, remove):
    connector.add_command(member)


def _environments() -> EnvironmentStore:
    from dativo_engines.environments import EnvironmentStore

    from dativo._paths import cache_dir

    return EnvironmentStore(cache_dir(), Logger(lowest="debug" if verbose() else "info"))


def _about(info: EnvironmentInfo) -> dict[str, Any]:
    return {**asdict(info), "path": str(info.path)}


def _row(info: EnvironmentInfo) -> tuple[str, ...]:
    return (info.requirement, info.version, info.python, size(info.size_bytes), local_time(info.created), str(info.path))


def _images() -> ImageStore:
    from dativo_engines.sandbox import ImageStore

    from dativo._paths import cache_dir

    return ImageStore(cache_dir())


def _about_image(info: ImageInfo) -> dict[str, Any]:
    return {
        "names": info.names,
        "digest": info.digest,
        "platform": info.platform,
        "created": info.created,
        "size_bytes": info.size_bytes,
        "path": str(info.path),
    }


def _image_row(info: ImageInfo) -> tuple[str, ...]:
    digest = info.digest.removeprefix("sha256:")[:12]
    name = ", ".join(info.names) or digest
    return (name, digest, info.platform, size(info.size_bytes), local_time(info.created), str(info.path))


def _show(what: str, facts: Sequence[str], rows: Sequence[tuple[str, ...]]) -> None:
    columns = (Column(what), *map(Column, facts), Column("size", True), Column("since"), Column("path"))
    show_table(columns, rows)
    _terminal.write("\n")
