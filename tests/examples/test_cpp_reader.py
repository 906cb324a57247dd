"""The example in C++: a shared library built against the header alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from dativo_protocols import ConfigError, StreamId
from dativo_sdk import ReadCatalog, SavedState, Selection
from dativo_sdk.library import load_library

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "cpp-reader"
SQUARES = StreamId("squares")


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    """Built with the command of its page."""
    if shutil.which("g++") is None:
        pytest.skip("there is no g++: scripts/servers.sh installs it as root on Debian")
    command = next(line for line in (EXAMPLE / "README.md").read_text().splitlines() if line.startswith("g++ "))
    folder = tmp_path_factory.mktemp("cpp")
    words = [word if word != "libsquares.so" else str(folder / word) for word in command.split()]
    subprocess.run([*words, "-Werror"], cwd=EXAMPLE, check=True)
    return folder / "libsquares.so"


def opened(library: Path, config: dict, method: str = "INCREMENTAL", state: SavedState | None = None):
    asked = load_library(library)()
    asked.initialize(config, None, None)
    catalog = ReadCatalog(asked.get_schema(), {SQUARES: Selection(replication_method=method)})
    asked.close()
    reader = load_library(library)()
    reader.initialize(config, catalog, state)
    return reader


def test_its_columns_are_arrow_data(library):
    reader = opened(library, {"rows": 3})
    batch = pa.record_batch(reader.read_batch(10).data)
    batch.validate(full=True)
    assert batch.to_pylist() == [
        {"number": number, "square": float(number * number), "text": f"number {number}"} for number in range(3)
    ]
    assert reader.read_batch(10) is None
    reader.close()


def test_batches_outlive_their_reader(library):
    reader = opened(library, {"rows": 100})
    batches = [pa.record_batch(reader.read_batch(30).data) for _ in range(4)]
    reader.close()
    assert pa.Table.from_batches(batches)["number"].to_pylist() == list(range(100))


def test_it_goes_on_behind_its_state(library):
    first = opened(library, {"rows": 5})
    first.read_batch(3)
    state = SavedState().merged(first.get_incremental_state())
    first.close()
    again = opened(library, {"rows": 5}, state=state)
    assert pa.record_batch(again.read_batch(10).data)["number"].to_pylist() == [3, 4]
    whole = opened(library, {"rows": 5}, "FULL_TABLE", state)
    assert whole.read_batch(10).rows == 5


@pytest.mark.parametrize("config", [{}, {"rows": -1}, {"rows": "many"}])
def test_what_is_wrong_is_said(library, config):
    with pytest.raises(ConfigError, match="`rows` is") as caught:
        load_library(library)().initialize(config, None, None)
    assert caught.value.hint == "set `rows` to a number from 0 on"


def test_it_is_a_program(library, tmp_path):
    config = tmp_path / "config.json"
    config.write_text('{"rows": 4}')
    command = [sys.executable, "-m", "dativo_sdk.program", str(library), "read", "--config", str(config)]
    said = subprocess.run(command, capture_output=True, check=True).stdout.splitlines()
    records = [line for line in map(json.loads, said) if line["type"] == "RECORD"]
    assert [record["record"]["data"]["number"] for record in records] == [0, 1, 2, 3]
