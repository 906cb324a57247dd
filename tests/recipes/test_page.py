"""`docs/connectors.md`: its table is current, and what it tells people to type does what it shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dativo._hub_table import put_table, recipe_table
from dativo._recipe import list_recipes
from tests.recipes.specs import ROOT

PAGE = (ROOT / "docs" / "connectors.md").read_text("utf-8")
BLOCKS = re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
RUNS = re.compile(r"connector test|dativo run")
VOLATILE = re.compile(r" +\d+(\.\d)? s\b|\b3\.\d+\.\d+\b")


def test_the_table_is_current() -> None:
    """When this fails: python -m dativo._hub_table docs/connectors.md."""
    assert put_table(PAGE, recipe_table(list_recipes(ROOT))) == PAGE


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """With the recipe of the page, and what it reads."""
    (recipe,) = re.findall(r"^```yaml\n# (connectors/\w+\.yaml)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for name, text in (recipe, ("scans/a.jsonl", '{"id": 1, "to": "Oslo"}\n{"id": 2, "to": null}\n')):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


def type_in(block: str, folder: Path) -> None:
    """Runs what begins with `$`; where the page shows output, this must come, times apart."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        environment = os.environ | {"PATH": path}
        ran = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
        assert not shown or VOLATILE.sub(" #", ran.stdout) == VOLATILE.sub(" #", shown)


@pytest.mark.parametrize("block", [block for block in BLOCKS if not RUNS.search(block)])
def test_what_needs_no_connector(block: str, project: Path) -> None:
    type_in(block, project)


@pytest.mark.network
@pytest.mark.parametrize("block", [block for block in BLOCKS if RUNS.search(block)])
def test_what_runs_a_connector(block: str, project: Path) -> None:
    type_in(block, project)
