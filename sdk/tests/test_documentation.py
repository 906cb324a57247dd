"""`docs/plugins.md` and `docs/writers.md` say what is so."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from dativo_sdk import _writer_wire
from dativo_sdk._program.writing import REQUESTS
from dativo_sdk.manifest import Manifest

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "plugins.md").read_text()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The files of the page, under the names in their first lines."""
    for name, code in re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        (tmp_path / name).write_text(code)
    (tmp_path / "dativo-plugin.yaml").write_text(re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[0])
    return tmp_path


def test_the_smallest_reader_is_small(project: Path) -> None:
    code = [line for line in (project / "orders.py").read_text().splitlines() if line.strip()]
    assert len(code) - code.index("class Orders:") <= 20


def test_the_commands_run(project: Path) -> None:
    """In their order; each but the `echo` says something."""
    (block,) = re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    commands = [line[2:] for line in block.splitlines()]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    said = {}
    for command in commands:
        ended = subprocess.run(command, shell=True, cwd=project, env=environment, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"
        said[command] = [json.loads(line) for line in ended.stdout.splitlines()]
    spec, _, check, read, _, tap = said.values()
    assert spec[0]["spec"]["dativo"]["name"] == "Orders"
    assert check[0]["connectionStatus"]["status"] == "SUCCEEDED"
    assert [message["record"]["data"] for message in read if message["type"] == "RECORD"][-1] == {"id": 2, "amount": 0.5}
    assert [message["record"] for message in tap if message["type"] == "RECORD"][-1] == {"id": 2, "amount": 0.5}
    (stream,) = json.loads((project / "catalog.json").read_text())["streams"]
    assert list(stream["schema"]["properties"]) == ["id", "amount"]


def test_its_tests_pass(project: Path) -> None:
    (project / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(project)]
    ended = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=240, check=False)
    assert ended.returncode == 0, ended.stdout
    assert re.search(r"\d{2} passed", ended.stdout)


def test_its_manifest_is_one(project: Path) -> None:
    found = Manifest.load(project / "dativo-plugin.yaml")
    assert (found.entry, found.permissions.network) == ("orders.py:Orders", ("api.example.com", "${config.host}:5432"))
    assert set(Manifest.model_fields) - {"root"} == set(
        re.findall(r"^(\w+):", (project / "dativo-plugin.yaml").read_text(), re.M)
    )


def test_the_requests_of_writers_are_listed() -> None:
    listed = set(re.findall(r"^\| `([A-Z_?]+)`", _writer_wire.__doc__ or "", re.MULTILINE))
    listed |= {"REJECTS"} if "`BATCH`, `REJECTS`" in (_writer_wire.__doc__ or "") else set()
    assert listed == REQUESTS | {"BATCH", "REJECTS", "CLOSE"}
