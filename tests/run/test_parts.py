"""Jobs that read in parts: in processes, in sandboxes, by programs; also where a part is hostile."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest
from dativo_engines.plugins import means
from dativo_protocols import ConnectorError

import dativo
from tests.processes import running

READERS = Path(__file__).parents[2] / "engines" / "tests" / "native_readers.py"
CSV = Path(sys.executable).with_name("dativo-csv")
HOSTILE = """
import json, os, signal, socket, subprocess, sys, time
from native_readers import NUMBERS, Parts, batch
import pyarrow as pa
from dativo_protocols import Batch

def tried(action):
    try:
        return f"done: {action()}"
    except OSError as error:
        return f"refused: {error.strerror}"

class Hostile(Parts):
    '''Its second part attacks, and says how that went in the place of names.'''

    def read_batch(self, max_rows):
        found = super().read_batch(max_rows)
        if found is None or self.partition is None or json.loads(self.partition)[0] != 2:
            return found
        for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
            if pid not in (os.getpid(), os.getppid(), 1):
                tried(lambda: os.kill(pid, signal.SIGKILL))
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(987.25)"], start_new_session=True)
        tries = [tried(lambda: open(SECRET).read()), tried(lambda: socket.create_connection(("127.0.0.1", PORT), 2).close())]
        data = pa.record_batch({"id": [2, 3], "name": tries}, schema=pa.record_batch(found.data).schema)
        return Batch(NUMBERS, data, data.num_rows, data.nbytes)

class Dying(Parts):
    def read_batch(self, max_rows):
        if self.partition is not None and json.loads(self.partition)[0] == 4 and os.path.exists(MARK):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read_batch(max_rows)

class Hanging(Parts):
    def partitions(self, count, target_bytes):
        time.sleep(986.25)
"""


def job(connector: str, **source: Any) -> dict[str, Any]:
    whole = {"connector": connector, "config": {"rows": 9}, "parallel": 3, "streams": ["numbers"], **source}
    return {"name": "parts", "source": whole, "target": {"connector": "parquet", "config": {"path": "out"}}}


def table() -> Any:
    return dativo.dataset(Path("out")).to_arrow("numbers")


def hostile(name: str, secret: str = "/nothing", port: int = 9) -> str:
    """A reader in the project's folder."""
    Path("plugin").mkdir(exist_ok=True)
    Path("plugin/native_readers.py").write_text(READERS.read_text())
    known = f"SECRET, PORT, MARK = {secret!r}, {port}, {str(Path('mark').absolute())!r}\n"
    Path("plugin/hostile.py").write_text(known + HOSTILE)
    Path("plugin/dativo-plugin.yaml").write_text("name: hostile\nentry: hostile.py:Hostile\n")
    return f"native:./plugin/hostile.py:{name}"


def program(target: str) -> str:
    """A reader as a program of its own."""
    Path("reader").write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m dativo_sdk.program {target} "$@"\n')
    Path("reader").chmod(0o755)
    return "program:./reader"


def gone(text: str, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while running(text) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not running(text)


@pytest.mark.parametrize("isolation", ["process", "sandbox"])
def test_parts_are_read_in_processes_of_their_own(isolation: str, project: Path) -> None:
    report = dativo.run(job(hostile("Parts"), isolation=isolation))
    assert (report.streams[0].rows_in, table().column("id").to_pylist()) == (9, list(range(9)))


def test_a_hostile_part_gets_nowhere_and_the_other_parts_are_read(project: Path, tmp_path: Path) -> None:
    import socket

    if means().strongest != "strict":
        pytest.skip("this machine has no sandbox of the level `strict`")
    (tmp_path / "secret").write_text("a secret of this machine's")
    with socket.create_server(("127.0.0.1", 0)) as server:
        reader = hostile("Hostile", str(tmp_path / "secret"), server.getsockname()[1])
        dativo.run(job(reader, isolation="sandbox", sandbox={"level": "strict"}))
    found = table()
    assert found.column("id").to_pylist() == list(range(9))
    assert all(said.startswith("refused: ") for said in found.column("name").to_pylist()[2:4])
    assert gone("time.sleep(987.25)")


def test_a_part_that_is_killed_fails_the_run_and_a_rerun_is_right(project: Path) -> None:
    Path("mark").touch()
    whole = job(hostile("Dying"), isolation="sandbox", sandbox={"files": ["mark"]})
    with pytest.raises(ConnectorError, match="SIGKILL") as caught:
        dativo.run({**whole, "retry": {"attempts": 1}})
    assert caught.value.exit_code == 10
    dativo.run({**whole, "source": {**whole["source"], "connector": hostile("Parts")}})
    assert sorted(table().column("id").to_pylist()) == list(range(9))


def test_a_process_that_does_not_say_its_parts_is_ended(project: Path) -> None:
    whole = job(hostile("Hanging"), isolation="process", timeouts={"stall_seconds": 1, "stop_seconds": 1})
    with pytest.raises(ConnectorError, match="said nothing for 1 s"):
        dativo.run({**whole, "retry": {"attempts": 1}})
    assert gone("hostile.py:Hanging")


@pytest.mark.parametrize("reader", ["Parts", "NoParts"])
def test_a_program_is_read_in_its_parts_or_whole(reader: str, project: Path) -> None:
    dativo.run(job(program(f"{READERS}:{reader}")))
    assert table().column("id").to_pylist() == list(range(9))


def test_a_program_that_knows_no_parts_says_so(project: Path) -> None:
    reader = program(f"{READERS}:Parts")
    script = Path("reader").read_text().replace("\n", '\n[ "$1" = partitions ] && echo "unknown command" >&2 && exit 2\n', 1)
    Path("reader").write_text(script)
    with pytest.raises(ConnectorError, match="unknown command") as caught:
        dativo.run({**job(reader), "retry": {"attempts": 1}})
    assert caught.value.hint == "leave `parallel` out where it does not know the command `partitions`"


def test_a_built_in_program_is_read_in_parts(project: Path) -> None:
    for number in range(4):
        Path(f"part{number}.csv").write_text("id\n" + "".join(f"{number * 1000 + each}\n" for each in range(1000)))
    streams = {"numbers": {"write": "append"}}
    config = {"path": "part*.csv", "stream": "numbers"}
    dativo.run(job(f"program:{CSV}", config=config, streams=streams))
    assert sorted(table().column("id").to_pylist()) == list(range(4000))
