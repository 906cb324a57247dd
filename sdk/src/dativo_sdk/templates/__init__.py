"""Projects to start from. `{{name}}`, `{{module}}` and `{{class}}` stand for what the user calls his own."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Literal, TypeAlias

from dativo_protocols import ConfigError

Kind: TypeAlias = Literal["reader", "writer"]
Language: TypeAlias = Literal["python", "rust"]

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def new_project(
    folder: Path, name: str, language: Language, *, kind: Kind = "reader", rust_sdk: Path | None = None
) -> list[Path]:
    """Writes a project whose tests pass as it stands.

    Args:
        folder: Where to; it is made, or is empty.
        name: Of the project: small letters and digits, in words joined by `-`.
        language: Of the code; writers are in Python.
        kind: What it is the project of.
        rust_sdk: Folder of the crate `dativo-sdk`; needed for Rust.

    Returns:
        The files, relative to the folder.

    Raises:
        ConfigError: The name is none, the folder is not empty, the crate is not known, or the language has no writers.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"`{name}` is no name for a project", hint="use small letters and digits, in words joined by `-`")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"`{folder}` is there already", hint="name another folder")
    if language == "rust" and kind == "writer":
        raise ConfigError(
            "the crate `dativo-sdk` has no trait of writers: a writer is in Python",
            hint="leave `--language` out; a program in any language that speaks `dativo_sdk._writer_wire` is a writer too",
        )
    if language == "rust" and (rust_sdk is None or not (rust_sdk / "Cargo.toml").is_file()):
        raise ConfigError("the crate `dativo-sdk` is not known", hint="name its folder, `sdk/rust` in a checkout of Dativo")
    values = {
        "name": name,
        "module": name.replace("-", "_"),
        "class": "".join(word.capitalize() for word in name.split("-")),
        "sdk": "" if rust_sdk is None else str(rust_sdk.resolve()),
    }
    written = []
    root = Path(str(files(__name__))) / (language if kind == "reader" else f"{language}-{kind}")
    for template in sorted(root.rglob("*.template")):
        place = Path(str(template.relative_to(root)).removesuffix(".template").replace("__module__", values["module"]))
        text = re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], template.read_text("utf-8"))
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(text, "utf-8")
        written.append(place)
    return written
