"""Plugins written for another version of the API: loaded or refused by the policy of `docs/plugins.md`, whatever they are."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import dativo

ROOT = Path(__file__).parents[2]
READER = ROOT / "examples" / "python-reader" / "sqlite_tables.py"
WRITER = ROOT / "examples" / "python-writer" / "encrypted_files.py"
KEY = "A" * 43 + "="
# What runs in the place of a plugin that brings a newer SDK along: there, the plugin's version is not too new.
NEWER_SDK = """#!{python}
import sys
from dativo_sdk import _api_version
from dativo_sdk._program import run
_api_version.API_VERSION = run.API_VERSION = "1.9"
sys.path.insert(0, "{folder}")
from plugin import Plugin
sys.exit(run.main(Plugin))
"""
NEWER, OTHER = "update Dativo and the package `dativo-plugin-sdk`", "take a version of the plugin that was written for 1.x"
versions = pytest.mark.parametrize(
    ("version", "hint"),
    [("1.0", None), (None, None), ("1.9", NEWER), ("2.0", NEWER), ("0.9", OTHER)],
)


def plugin(base: Path, name: str, version: str | None) -> Path:
    """A class of a file that says the version, or none."""
    module = f"base_of_{name.lower()}"
    Path(f"{module}.py").write_text(base.read_text())
    said = "__api_version__ = None" if version is None else f"__api_version__ = {version!r}"
    Path("plugin.py").write_text(f"from {module} import {name}\n\nclass Plugin({name}):\n    {said}\n")
    Path("dativo-plugin.yaml").write_text("name: plugin\nentry: plugin.py:Plugin\n")
    return Path("plugin.py").absolute()


def program() -> str:
    Path("program").write_text(NEWER_SDK.format(python=sys.executable, folder=Path.cwd()))
    Path("program").chmod(0o755)
    return "program:./program"


def check(hint: str | None, run: Any, code: int = 2) -> None:
    if hint is None:
        run()
        return
    with pytest.raises(dativo.DativoError, match="of the plugin API") as caught:
        run()
    assert (caught.value.exit_code, hint in str(caught.value)) == (code, True)


@versions
@pytest.mark.parametrize("how", ["in_process", "process", "program"])
def test_readers(how: str, version: str | None, hint: str | None, project: Path) -> None:
    file = plugin(READER, "SqliteTables", version)
    Path("data").mkdir()
    subprocess.run(
        [sys.executable, "-c", "import sqlite3; sqlite3.connect('data/x').execute('CREATE TABLE t (id INTEGER)')"], check=True
    )
    source: dict[str, Any] = {"connector": f"native:{file}:Plugin", "isolation": how, "sandbox": {"files": ["data"]}}
    if how == "program":
        source = {"connector": program()}
    job = {"name": "versions", "source": {**source, "config": {"path": "data/x"}}}
    target = {"connector": "parquet", "config": {"path": "out"}}
    # What a program says of itself is an error of the connector.
    check(hint, lambda: dativo.run({**job, "target": target, "retry": {"attempts": 1}}), 10 if how == "program" else 2)
    assert Path("out").exists() == (hint is None)


@versions
@pytest.mark.parametrize("how", ["in_process", "process", "program"])
def test_writers(how: str, version: str | None, hint: str | None, project: Path, tap: Any) -> None:
    schema = {"type": "object", "properties": {"id": {"type": "integer"}}}
    record = {"type": "RECORD", "stream": "t", "record": {"id": 1}}
    tap.says({"type": "SCHEMA", "stream": "t", "schema": schema, "key_properties": []}, record)
    Path("out").mkdir()
    file = plugin(WRITER, "EncryptedFiles", version)
    target: dict[str, Any] = {"connector": f"native:{file}:Plugin", "isolation": how}
    if how == "program":
        target = {"connector": program()}
    target["config"] = {"path": "out", "key": KEY}
    check(hint, lambda: dativo.run(tap.job(target, retry={"attempts": 1})), 10 if how == "program" else 2)
    assert bool(list(Path("out").iterdir())) == (hint is None)


@pytest.mark.skipif(shutil.which("g++") is None, reason="no compiler")
@pytest.mark.parametrize("isolation", ["in_process", "process"])
@pytest.mark.parametrize(("version", "hint"), [("0x00010000u", None), ("0x00010009u", NEWER), ("9u", OTHER)])
def test_shared_libraries(isolation: Any, version: str, hint: str | None, project: Path) -> None:
    code = (ROOT / "examples" / "cpp-reader" / "reader.cpp").read_text()
    assert code.count("return DATIVO_API_VERSION;") == 1
    Path("reader.cpp").write_text(code.replace("return DATIVO_API_VERSION;", f"return {version};"))
    options = [
        "-std=c++17",
        "-shared",
        "-fPIC",
        "-I",
        str(ROOT / "sdk" / "include"),
        "-I",
        str(ROOT / "examples" / "cpp-reader"),
        "-o",
        "libreader.so",
    ]
    subprocess.run(["g++", *options, "reader.cpp"], check=True)
    source = dativo.source(f"native:{Path('libreader.so').absolute()}", {"rows": 3}, isolation=isolation)
    check(hint, lambda: source.read("squares").to_arrow())
