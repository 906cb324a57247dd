"""The example in Go: a program that speaks Airbyte's messages, and sends Arrow data where it is asked to."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
from pathlib import Path

import pyarrow as pa
import pytest
from dativo_protocols import decode_arrow_schema

EXAMPLE = Path(__file__).parents[2] / "examples" / "go-reader"


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    if shutil.which("go") is None:
        pytest.skip("there is no go: scripts/servers.sh installs it as root on Debian")
    folder = tmp_path_factory.mktemp("go")
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"}
    command = ["go", "build", "-o", str(folder / "source-lines"), "."]
    subprocess.run(command, cwd=EXAMPLE, env=environment, check=True)
    return folder / "source-lines"


def run(program: Path, command: str, folder: Path, config: dict, *options: str, **environment: str):
    """What it said: messages, and a table of the rows in its frames."""
    (folder / "config.json").write_text(json.dumps(config))
    words = [str(program), command, "--config", "config.json", *options]
    ended = subprocess.run(words, cwd=folder, capture_output=True, env={**os.environ, **environment}, check=False)
    messages, tables, said = [], [], io.BytesIO(ended.stdout)
    while line := said.readline():
        messages.append(json.loads(line))
        if messages[-1]["type"] == "BATCH":
            tables.append(pa.ipc.open_stream(io.BytesIO(said.read(messages[-1]["bytes"]))).read_all())
            tables[-1].validate(full=True)
    return ended.returncode, messages, pa.concat_tables(tables) if tables else None


def configured(program: Path, folder: Path) -> dict:
    _, [catalog], _ = run(program, "discover", folder, {})
    [stream] = catalog["catalog"]["streams"]
    (folder / "catalog.json").write_text(json.dumps({"streams": [{"stream": stream, "sync_mode": "incremental"}]}))
    return stream


def test_it_says_what_it_takes_and_whether_that_works(program, tmp_path):
    _, [spec], _ = run(program, "spec", tmp_path, {})
    assert spec["spec"]["connectionSpecification"]["required"] == ["path"]
    _, [status], _ = run(program, "check", tmp_path, {})
    assert status["connectionStatus"] == {"status": "FAILED", "message": "`path` is missing"}


def test_both_formats_have_the_same_rows(program, tmp_path):
    lines = [f"line {number} é\t" * (number % 7) for number in range(70_000)]
    (tmp_path / "a.txt").write_text("\n".join(lines), "utf-8")
    stream = configured(program, tmp_path)
    config, options = {"path": "a.txt"}, ("--catalog", "catalog.json")
    _, said, _ = run(program, "read", tmp_path, config, *options)
    rows = [message["record"]["data"] for message in said if message["type"] == "RECORD"]
    assert rows == [{"line": place, "text": text} for place, text in enumerate(lines, 1)]
    code, messages, table = run(program, "read", tmp_path, config, *options, DATIVO_FORMAT="arrow")
    assert code == 0
    assert table.to_pylist() == rows
    assert table.schema == pa.schema(decode_arrow_schema(stream["arrow_schema"]))
    states = [message["state"] for message in messages if message["type"] == "STATE"]
    assert sum(state["sourceStats"]["recordCount"] for state in states) == 70_000
    assert messages[-1]["trace"]["stream_status"]["status"] == "COMPLETE"


def test_it_goes_on_behind_its_state(program, tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    configured(program, tmp_path)
    _, messages, _ = run(program, "read", tmp_path, {"path": "a.txt"}, "--catalog", "catalog.json")
    (tmp_path / "state.json").write_text(json.dumps([messages[-2]["state"]]))
    with (tmp_path / "a.txt").open("a") as file:
        file.write("three\n")
    options = ("--catalog", "catalog.json", "--state", "state.json", "--format", "arrow")
    _, _, table = run(program, "read", tmp_path, {"path": "a.txt"}, *options)
    assert table.to_pylist() == [{"line": 3, "text": "three"}]


def test_what_is_wrong_is_an_error_message(program, tmp_path):
    configured(program, tmp_path)
    code, messages, _ = run(program, "read", tmp_path, {"path": "none.txt"}, "--catalog", "catalog.json")
    assert code == 1
    assert messages[-1]["trace"]["error"]["message"] == "open none.txt: no such file or directory"
