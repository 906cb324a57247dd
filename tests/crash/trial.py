"""One trial of the crash test: a job in a folder of its own, run, killed at an instant, run again, its rows summed up."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import duckdb

Victim = Literal["dativo", "tree", "tap"]

TAP = Path(__file__).with_name("tap.py")
STREAMS = ["red", "green", "blue"]
DATIVO = Path(sys.executable).with_name("dativo")
ORPHAN_SECONDS = 15.0
RUN_SECONDS = 600.0
FAILED_CONNECTOR = 10


class Sum(NamedTuple):
    """A table: how many rows, how many different keys, and the sum of all rows' hashes."""

    rows: int
    keys: int
    hashes: int


@dataclass(frozen=True)
class Setting:
    """What all trials of one target share."""

    target: str
    messages: Path
    checkpoint_rows: int
    pause_ms: float = 0.0

    def job(self, folder: Path) -> dict[str, Any]:
        path = folder / ("out.duckdb" if self.target == "duckdb" else "out")
        return {
            "name": "crash",
            "source": {
                "connector": f"singer:{folder / 'tap.py'}",
                "config": {"file": str(self.messages), "pause_ms": self.pause_ms},
                "streams": {name: {"mode": "incremental"} for name in STREAMS},
            },
            "target": {"connector": self.target, "config": {"path": str(path)}, "write": "append"},
            "checkpoint": {"rows": self.checkpoint_rows},
        }


class Trial:
    """A job in a folder. The tap is copied there, so that every process of the trial can be told by the folder's name."""

    def __init__(self, setting: Setting, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.setting, self.folder = setting, folder
        tap = folder / "tap.py"
        tap.write_bytes(TAP.read_bytes())
        tap.chmod(0o755)
        (folder / "job.yaml").write_text(json.dumps(setting.job(folder)))

    def start(self) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            command = [str(DATIVO), "run", "job.yaml"]
            return subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def finish(self) -> float:
        """Runs to the end; returns the seconds it took, and fails when it does not end well."""
        started = time.monotonic()
        code = self.start().wait(RUN_SECONDS)
        if code != 0:
            raise AssertionError(f"a rerun exited {code}: {self.folder}\n{self.log()}")
        return time.monotonic() - started

    def kill(self, after_seconds: float, victim: Victim) -> int:
        """Starts a run and kills `victim` after so long; returns the run's exit code, negative for a signal."""
        process = self.start()
        try:
            process.wait(after_seconds)
        except subprocess.TimeoutExpired:
            for pid in self.victims(process.pid, victim):
                end(pid)
        code = process.wait(RUN_SECONDS)
        if victim == "tap" and code not in (0, FAILED_CONNECTOR):
            raise AssertionError(f"a run whose tap was killed exited {code}: {self.folder}\n{self.log()}")
        self.wait_for_orphans()
        return code

    def victims(self, dativo: int, victim: Victim) -> list[int]:
        if victim == "dativo":
            return [dativo]
        tree = descendants(dativo)
        if victim == "tree":
            return [dativo, *tree]
        return [pid for pid in tree if str(self.folder / "tap.py") in command_line(pid).split("\0")[:3]]

    def wait_for_orphans(self) -> None:
        """Nothing of the trial may run any more; what a guardian is still ending gets a moment."""
        deadline = time.monotonic() + ORPHAN_SECONDS
        while left := [pid for pid in processes() if str(self.folder) in command_line(pid)]:
            if time.monotonic() > deadline:
                raise AssertionError(f"still running after {ORPHAN_SECONDS} s: {[command_line(pid) for pid in left]}")
            time.sleep(0.02)

    def left_over(self) -> list[str]:
        """Temporary files that the next run should have removed: configurations with secrets in them, above all."""
        return [str(path) for path in (self.folder / ".dativo" / "tmp").rglob("*") if path.name != "lock"]

    def sums(self) -> dict[str, Sum]:
        """What a reader sees in the target; a stream without a table is left out."""
        with duckdb.connect() as connection:
            # Text is summed as bytes: the value is compared, not how a target types it.
            tables = self.tables(connection)
            query = (
                'select count(*), count(distinct id), coalesce(sum(hash(id, amount::varchar, "text", epoch_us("at"))), 0) from '
            )
            return {stream: Sum(*connection.execute(query + table).fetchall()[0]) for stream, table in tables.items()}

    def tables(self, connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
        if self.setting.target == "duckdb":
            connection.execute(f"attach '{self.folder}/out.duckdb' as target (read_only)")
            found = connection.execute("select table_name from duckdb_tables() where database_name = 'target'").fetchall()
            return {name: f'target."{name}"' for (name,) in found if name in STREAMS}
        import dativo

        data = dativo.dataset(self.folder / "out")
        for table in data.tables:
            connection.register(f"rows_{table}", data.scan(table).read_all())
        return {table: f"rows_{table}" for table in data.tables}

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-3000:]


def processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]


def command_line(pid: int) -> str:
    """Its arguments, each ended by NUL; empty for one that has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""


def descendants(pid: int) -> list[int]:
    """Of the process, by the parents that the system names."""
    found: list[int] = []
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
        children = [int(child) for task in tasks for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
    except OSError:
        return found
    for child in children:
        found += [child, *descendants(child)]
    return found


def end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def choose_victim(random_source: random.Random) -> Victim:
    """Mostly Dativo itself; now and then everything at once, or only the tap."""
    return random_source.choices(["dativo", "tree", "tap"], weights=[70, 15, 15])[0]  # type: ignore[return-value]
