"""A job whose source is a server: the example, in a process of its own, killed and started anew in the midst of a run."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

import dativo
from dativo._progress import Progress

EXAMPLES = Path(__file__).parents[2] / "examples"
SERVER = EXAMPLES / "flight-server" / "measurements.py"
WRITER = EXAMPLES / "python-writer" / "encrypted_files.py"


class Server:
    """The example's process."""

    def __init__(self, folder: Path) -> None:
        self.location = f"grpc+unix://{folder}/measurements.sock"
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, str(SERVER), self.location], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.kill()


def job(server: Server, count: int, **parts: Any) -> dict[str, Any]:
    source = {"connector": f"flight:{server.location}", "config": {"count": count}}
    return {"name": "shop", "source": source, "target": {"connector": "duckdb", "config": {"path": "shop.duckdb"}}, **parts}


def counted() -> tuple[Any, ...]:
    with duckdb.connect("shop.duckdb", read_only=True) as database:
        found = database.execute("SELECT count(*), count(DISTINCT id), max(id) FROM measurements").fetchone()
    assert found is not None
    return found


def test_a_second_run_reads_what_came_since(server: Server, project: Path) -> None:
    dativo.run(job(server, 2500))
    report = dativo.run(job(server, 4000))
    assert (report.streams[0].rows_in, counted()) == (1500, (4000, 4000, 3999))


def test_a_server_that_dies_in_the_midst_is_read_on_and_no_row_is_lost_or_doubled(server: Server, project: Path) -> None:
    progress, killed = Progress(), threading.Event()
    logged: list[str] = []

    def kill() -> None:
        while not any(stream.rows for stream in progress.snapshot().streams.values()):
            if killed.wait(0.005):
                return
        server.kill()
        server.start()
        killed.set()

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        report = dativo.run(
            job(server, 3_000_000, checkpoint={"rows": 200_000}),
            progress=progress,
            log=lambda level, line: logged.append(line),
        )
    finally:
        killed.set()
        thread.join()
    assert counted() == (3_000_000, 3_000_000, 2_999_999)
    assert len(report.attempts) == 1
    assert any("trying again from the last state" in line for line in logged)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The writer of the other example, as a server."""
    command = [sys.executable, "-m", "dativo_sdk.flight", f"{WRITER}:EncryptedFiles", f"grpc+unix://{tmp_path}/writer.sock"]
    process = subprocess.Popen(command)
    for _ in range(200):
        if (tmp_path / "writer.sock").exists():
            break
        time.sleep(0.1)
    yield process
    process.kill()
    process.wait()


def written(tap: Any, folder: Path, *numbers: int, **parts: Any) -> Any:
    """A run that writes these rows to the server."""
    schema = {"type": "object", "properties": {"id": {"type": "integer"}}}
    lines: list[dict[str, Any]] = [{"type": "SCHEMA", "stream": "orders", "schema": schema, "key_properties": []}]
    for number in numbers:
        lines.append({"type": "RECORD", "stream": "orders", "record": {"id": number}})
        lines.append({"type": "STATE", "value": {"bookmarks": {"orders": {"id": number}}}})
    tap.says(*lines)
    key = b64encode(bytes(32)).decode()
    target = {"connector": f"flight:grpc+unix://{folder}/writer.sock", "config": {"path": str(folder / "out"), "key": key}}
    return dativo.run(tap.job(target, retry={"attempts": 1}, **parts))


def test_a_writer_behind_a_server_commits_rows_and_state(writer: Any, tmp_path: Path, project: Path, tap: Any) -> None:
    assert written(tap, tmp_path, 1, 2).streams[0].written == 2
    written(tap, tmp_path, 3)
    assert json.loads(tap.handed_state) == {"bookmarks": {"orders": {"id": 2}}}
    files = json.loads((tmp_path / "out" / "default.shop.json").read_text())["files"]["orders"]
    assert (len(files) >= 2, all((tmp_path / "out" / file).exists() for file in files)) == (True, True)


def test_a_writer_that_is_away_may_be_tried_again(writer: Any, tmp_path: Path, project: Path, tap: Any) -> None:
    writer.kill()
    writer.wait()
    with pytest.raises(dativo.TargetError, match="cannot be reached") as caught:
        written(tap, tmp_path, 1)
    assert caught.value.exit_code == 75


def test_what_a_writer_behind_a_server_refuses_is_said(writer: Any, tmp_path: Path, project: Path, tap: Any) -> None:
    (tmp_path / "out").write_text("no folder")
    with pytest.raises(dativo.TargetError, match="FileExistsError"):
        written(tap, tmp_path, 1)
