"""`dativo init`: a project to start from."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import click

from dativo.cli import _complete, _terminal
from dativo.cli._command import command

__all__ = ["init"]

EXAMPLE = "singer:tap-jsonl==0.3.1"

PEOPLE = """\
{"id": 1, "name": "Ada Lovelace", "born": "1815-12-10"}
{"id": 2, "name": "Grace Hopper", "born": "1906-12-09"}
{"id": 3, "name": "Radia Perlman", "born": "1951-12-18"}
"""

EXAMPLE_SOURCE = f"""\
source:
  connector: {EXAMPLE}   # installed into an environment of its own at the first run
  config:
    path: data/people.jsonl
    stream_name: people
    primary_keys: [id]
"""

OWN_SOURCE = """\
source:
  connector: {connector}
  config:              # `dativo spec {connector}` shows what it takes
    {{}}
    # password: ${{MY_PASSWORD}}   (from the environment)
  # streams:           # all, unless you name some; `dativo discover jobs/example.yaml` lists them
  #   orders: {{mode: incremental, fields: [id, total]}}
"""

DUCKDB = """\
target:
  connector: duckdb    # or parquet, jsonl
  config:
    path: out/example.duckdb
"""

PARQUET = """\
target:
  connector: parquet   # or jsonl; duckdb after `pip install 'dativo[duckdb]'`
  config:
    path: out/example
  write: overwrite     # or append
"""

IGNORED = (".dativo/", "out/")

README = """\
# A Dativo project

    dativo run example         run jobs/example.yaml
    dativo runs                what ran
    dativo state show example  where its next run starts

Jobs are in `jobs/`, recipes of connectors in `connectors/`.
`.dativo/` holds states and the history of runs: keep it, but not in git.
"""


@command(
    "init", examples=("dativo init demo", "dativo init --connector singer:tap-github==1.0.0", "dativo --project demo run example")
)
@click.argument("directory", default=".", type=click.Path())
@click.option("--connector", shell_complete=_complete.connectors, metavar="CONNECTOR", help="The connector of the example job.")
def init(directory: str, connector: str | None, as_json: bool) -> None:
    """Start a project in DIRECTORY. The current one by default; it gets a job that runs as it stands, and places for more.

    Nothing is overwritten: a job of that name is refused, a README is kept, and a `.gitignore` gets what it lacks.
    """
    from dativo_protocols.errors import ConfigError

    folder = Path(directory)
    files = {"jobs/example.yaml": _job(connector)}
    if connector is None:
        files["data/people.jsonl"] = PEOPLE
    taken = [name for name in files if folder.joinpath(name).exists()]
    if taken:
        raise ConfigError(f"`{folder / taken[0]}` is there already", hint="move it away, or choose another directory")
    try:
        written = _write(folder, files)
    except OSError as error:
        raise ConfigError(f"cannot write the project into `{directory}`: {error.strerror}: `{error.filename}`") from error
    if as_json:
        _terminal.write_json({"directory": str(folder.resolve()), "written": written})
        return
    _terminal.write(_terminal.printable("".join(f"{folder / name}\n" for name in written)))
    project = "" if folder.resolve() == Path.cwd() else f"--project {directory} "
    first = "run example" if connector is None else "discover jobs/example.yaml"
    _terminal.note(f"next: dativo {project}{first}")


def _job(connector: str | None) -> str:
    source = EXAMPLE_SOURCE if connector is None else OWN_SOURCE.format(connector=connector)
    return f"name: example\n\n{source}\n{DUCKDB if find_spec('duckdb') else PARQUET}"


def _write(folder: Path, files: dict[str, str]) -> list[str]:
    written = []
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
        written.append(name)
    folder.joinpath("connectors").mkdir(exist_ok=True)
    ignore = folder / ".gitignore"
    present = ignore.read_text("utf-8") if ignore.exists() else ""
    missing = [line for line in IGNORED if line not in present.splitlines()]
    if missing:
        gap = "" if not present or present.endswith("\n") else "\n"
        ignore.write_text(present + gap + "".join(f"{line}\n" for line in missing), "utf-8")
        written.append(".gitignore")
    readme = folder / "README.md"
    if not readme.exists():
        readme.write_text(README, "utf-8")
        written.append("README.md")
    return written
