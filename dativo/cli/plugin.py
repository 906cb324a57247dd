"""`dativo plugin`: readers and writers of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dativo.cli import _terminal
from dativo.cli._command import Group, command

if TYPE_CHECKING:
    from dativo_sdk.templates import Kind

__all__ = ["plugin"]


@click.command(
    "plugin",
    cls=Group,
    examples=("dativo plugin new source-orders --language rust", "dativo plugin new target-orders --kind writer"),
)
def plugin() -> None:
    """Start readers and writers of your own."""


@command("new", examples=("dativo plugin new source-orders --language python", "dativo plugin new target-orders --kind writer"))
@click.argument("name")
@click.option("--kind", type=click.Choice(["reader", "writer"]), default="reader", show_default=True, help="What it is to be.")
@click.option("--language", type=click.Choice(["python", "rust"]), default="python", show_default=True, help="Its language.")
@click.option("--directory", type=click.Path(), help="Where to; by default a new folder NAME.")
@click.option("--rust-sdk", type=click.Path(), metavar="FOLDER", help="The crate `dativo-sdk`; by default of this checkout.")
def new(name: str, kind: Kind, language: str, directory: str | None, rust_sdk: str | None, as_json: bool) -> None:
    """Start the project of a reader or a writer, whose tests pass as it stands.

    A reader reads numbers, a writer writes files: put your source or your target in their place. Writers are in Python.
    Nothing is overwritten.
    """
    import dativo_sdk
    from dativo_protocols.errors import ConfigError
    from dativo_sdk.templates import new_project

    folder = Path(directory or name)
    # An editable installation stands beside the crate.
    crate = Path(rust_sdk) if rust_sdk else Path(dativo_sdk.__file__).parents[2] / "rust"
    try:
        written = new_project(folder, name, "rust" if language == "rust" else "python", kind=kind, rust_sdk=crate)
    except OSError as error:
        raise ConfigError(f"cannot write the project into `{folder}`: {error.strerror}: `{error.filename}`") from error
    names = [str(place) for place in written]
    if as_json:
        _terminal.write_json({"directory": str(folder.resolve()), "written": names})
        return
    _terminal.write(_terminal.printable("".join(f"{folder / place}\n" for place in names)))
    test = "cargo test" if language == "rust" else "pip install -e '.[test]' && pytest"
    _terminal.note(f"next: cd {folder} && {test}")


plugin.add_command(new)
