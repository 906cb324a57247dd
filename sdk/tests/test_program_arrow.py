"""Readers as programs that send Arrow data."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from dativo_protocols import AirbyteDecoder, Batch, Rejects, State

from .test_program import COUNTING, configured, described, run, written


def messages(data: bytes) -> list[tuple[dict[str, Any], bytes]]:
    """Each message's line, and what follows it."""
    found = []
    while data:
        line, _, data = data.partition(b"\n")
        said = json.loads(line)
        length = said.get("bytes", 0)
        found.append((said, data[:length]))
        data = data[length:]
    return found


@pytest.mark.parametrize("how", [{"DATIVO_FORMAT": "arrow"}, ["--format", "arrow"]], ids=["environment", "argument"])
def test_batches_and_rejected_rows_are_frames(tmp_path: Path, how: Any) -> None:
    arguments, environment = (how, {}) if isinstance(how, list) else ([], how)
    config = written(tmp_path / "config.json", {"rows": 3, "bad": 1})
    ended = run("read", "--config", config, *arguments, environment=environment)
    frames = [(said, pa.ipc.open_stream(data).read_all()) for said, data in messages(ended.stdout) if data]
    assert [(said["type"], said["stream"], said["rows"]) for said, _ in frames] == [
        ("BATCH", "numbers", 3),
        ("BATCH", "squares", 3),
        ("REJECTS", "numbers", 1),
    ]
    assert frames[1][1].to_pydict() == {"n": [0, 1, 4], "text": ["0\n", "1\n", "2\n"]}
    assert frames[2][1].column("record").to_pylist() == [b"x"]


def test_a_termination_is_heard_while_nobody_reads(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    config = written(tmp_path / "config.json", {"rows": 10_000_000, "marks": str(marks)})
    command = [sys.executable, "-m", "dativo_sdk.program", COUNTING, "read", "--format", "arrow", "--config", config]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        while b"BATCH" not in process.stdout.readline():
            pass
        # Its next batch is longer than what a pipe holds: it waits for somebody to read it.
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 143
    assert marks.read_text() == "closed\n"


def test_the_decoder_takes_either_format_for_the_same(tmp_path: Path) -> None:
    config = written(tmp_path / "config.json", {"rows": 5})
    schema = {"properties": {"n": {"type": "integer"}, "text": {"type": "string"}}}
    catalog = configured({**described("numbers"), "json_schema": schema}, {**described("squares", "math"), "json_schema": schema})
    file = written(tmp_path / "catalog.json", catalog)
    heard = {}
    for shape in ("json", "arrow"):
        output = tmp_path / shape
        output.write_bytes(run("read", "--config", config, "--catalog", file, "--format", shape, "--max-rows", "2").stdout)
        with output.open("rb") as opened:
            decoded = list(AirbyteDecoder(opened.fileno(), catalog=Path(file).read_bytes()))
        tables: dict[Any, list[Any]] = {}
        for message in decoded:
            assert not isinstance(message, Rejects)
            if isinstance(message, Batch):
                tables.setdefault(message.stream, []).extend(pa.record_batch(message.data).to_pylist())
        heard[shape] = tables, [message.data for message in decoded if isinstance(message, State)][-1:]
    assert heard["json"] == heard["arrow"]
    assert sum(map(len, heard["json"][0].values())) == 10
