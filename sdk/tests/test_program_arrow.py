"""Readers as programs that send Arrow data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from .test_program import run, written


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
