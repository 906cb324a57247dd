"""`dativo keys`: keys of encrypted files."""

from __future__ import annotations

import os
from pathlib import Path

import click

from dativo.cli import _terminal
from dativo.cli._atomic import atomic_file
from dativo.cli._command import Group, command
from dativo.cli._figures import number

__all__ = ["keys"]


@click.command(
    "keys",
    cls=Group,
    examples=("dativo keys new keys.json warehouse", "dativo keys decrypt orders.jsonl.enc --keys kms.yaml"),
)
def keys() -> None:
    """Make keys of a key file, and decrypt files.

    Keys in Vault, AWS KMS or an HSM are made there. See `encryption` in the configuration of file targets.
    """


@command("new", examples=("dativo keys new keys.json warehouse", "dativo keys new keys.json warehouse pii --json"))
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("key", nargs=-1, required=True)
def new(file: Path, key: tuple[str, ...], as_json: bool) -> None:
    """Make each KEY in FILE, for a KMS of type `local`.

    FILE is made, for its owner alone, when it is not there. A KEY that is there gets a new version, which encrypts from now on;
    its old versions stay, for what they have encrypted.
    """
    from dativo.keys._local import add_key

    made = {each: add_key(file, each) for each in dict.fromkeys(key)}
    if as_json:
        _terminal.write_json({"file": str(file), "versions": made})
        return
    for each, version in made.items():
        _terminal.note(f"`{file}` has version {version} of key `{each}`")
    _terminal.note("keep a copy where the data is not: without this file nobody can read what it encrypts")


@command(
    "decrypt",
    examples=(
        "dativo keys decrypt orders.jsonl.enc --keys kms.yaml",
        "dativo keys decrypt orders.csv.gz.enc --keys kms.yaml --output orders.csv.gz",
    ),
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--keys",
    "config",
    required=True,
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The KMS: the `kms` of a target's `encryption`, or all of it, in YAML or JSON; `${NAME}` is replaced.",
)
@click.option("--output", metavar="OUT", help="Write to this file, which appears only when all of FILE is genuine.")
def decrypt(file: Path, config: Path, output: str | None, as_json: bool) -> None:
    """Decrypt FILE, which a target has encrypted as a whole (`….enc`), to stdout or OUT.

    Without `--output` what is genuine so far is printed at once, and a file that was changed or cut off ends with an error.
    Parquet files are not encrypted as a whole: Python's `dativo.dataset` reads them.
    """
    from dativo_protocols.errors import ConfigError, TargetError

    from dativo._document import read_document
    from dativo._environment import substitute
    from dativo.keys import open_keyring
    from dativo.keys._envelope import EnvelopeReader
    from dativo.keys._keyring import Purpose

    if as_json and output is None:
        raise ConfigError("`--json` needs `--output`: the content goes to stdout")
    document, _ = substitute(read_document(config), os.environ)
    if not isinstance(document, dict):
        raise ConfigError(f"`{config}` holds no mapping", hint="`type: local` and `file: keys.json`, for example")
    with open_keyring(document) as keyring:
        try:
            with file.open("rb") as source:
                reader = EnvelopeReader(source, keyring, Purpose(file.parent.name, None))
                if output is None:
                    while part := reader.read(1 << 20):
                        _terminal.write_bytes(part)
                    return
                with atomic_file(output) as target:
                    while part := reader.read(1 << 20):
                        target.write(part)
        except OSError as error:
            raise TargetError(f"cannot read `{file}`: {error.strerror or error}", facts={"path": str(file)}) from error
    if as_json:
        _terminal.write_json({"file": str(file), "output": output, "bytes": reader.nbytes})
    else:
        _terminal.note(f"`{output}` has {number(reader.nbytes, 'byte')}")


for member in (new, decrypt):
    keys.add_command(member)
