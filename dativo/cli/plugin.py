"""`dativo plugin`: readers of one's own."""

from __future__ import annotations

from pathlib import Path

import click

from dativo.cli import _terminal
from dativo.cli._command import Group, command

__all__ = ["plugin"]


@click.command(
    "plugin",
    cls=Group,
    examples=("dativo plugin new source-orders --language python", "dativo plugin new source-orders --language rust"),
)
def plugin() -> None:
    """Start readers of your own."""


@command("new", examples=("dativo plugin new source-orders --language python",))
@click.argument("name")
@click.option("--language", type=click.Choice(["python", "rust"]), default="python", show_default=True, help="Its language.")
@click.option("--directory", type=click.Path(), help="Where to; by default a new folder NAME.")
@click.option("--rust-sdk", type=click.Path(), metavar="FOLDER", help="The crate `dativo-sdk`; by default of this checkout.")
def new(name: str, language: str, directory: str | None, rust_sdk: str | None, as_json: bool) -> None:
    """Start the project of a reader, whose tests pass as it stands.

    It reads numbers: put your source in their place. Nothing is overwritten.
    """
    import dativo_sdk
    from dativo_protocols.errors import ConfigError
    from dativo_sdk.templates import new_project

    folder = Path(directory or name)
    # An editable installation stands beside the crate.
    crate = Path(rust_sdk) if rust_sdk else Path(dativo_sdk.__file__).parents[2] / "rust"
    try:
        written = new_project(folder, name, "rust" if language == "rust" else "python", rust_sdk=crate)
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
