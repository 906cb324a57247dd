"""The program of docs/arrow-protocol.md does what the page says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from dativo_protocols import AirbyteDecoder, Batch, Catalog, State

PAGE = Path(__file__).parents[2] / "docs" / "arrow-protocol.md"


def run(program: Path, *arguments: str, catalog: bytes | None = None, **environment: str) -> list[Any]:
    """What a command of the program says, as messages."""
    command = [sys.executable, str(program), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | environment)
    assert process.stdout is not None
    with process.stdout as output:
        messages = list(AirbyteDecoder(output.fileno(), catalog=catalog))
    assert process.wait() == 0
    return messages


@pytest.mark.parametrize("environment", [{"DATIVO_FORMAT": "arrow"}, {}], ids=["arrow", "lines"])
def test_the_program_of_the_page_runs(tmp_path: Path, environment: dict[str, str]) -> None:
    program = tmp_path / "orders.py"
    program.write_text(PAGE.read_text().partition("```python\n")[2].partition("```")[0])
    (found,) = (message for message in run(program, "discover") if isinstance(message, Catalog))
    stream = found.streams[0]
    assert stream.data is not None
    configured = json.dumps({"streams": [{"stream": stream.raw, "sync_mode": "incremental"}]}).encode()
    messages = run(program, "read", catalog=configured, **environment)
    rows = pa.Table.from_batches([pa.record_batch(message.data) for message in messages if isinstance(message, Batch)])
    assert rows.column("id").to_pylist() == list(range(1, 3001))
    assert rows.schema.field("price").type == (pa.decimal128(21, 2) if environment else pa.decimal128(38, 2))
    state = tmp_path / "state.json"
    state.write_bytes([message for message in messages if isinstance(message, State)][-1].data)
    again = run(program, "read", "--state", str(state), catalog=configured, **environment)
    assert not [message for message in again if isinstance(message, Batch)]
