"""One trial of the crash test: a job in a folder of its own, run, killed at an instant, run again, its rows summed up."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import duckdb

from tests.crash.sources import STREAMS, Source, command_line, descendants, end, processes

Victim = Literal["dativo", "tree", "source", "both"]

DATIVO = Path(sys.executable).with_name("dativo")
ORPHAN_SECONDS = 15.0
RUN_SECONDS = 600.0
FAILED_CONNECTOR = 10
REJECTED = "rejected "


class Sum(NamedTuple):
    """A table: how many rows, how many different keys, and the sum of all rows' hashes."""

    rows: int
    keys: int
    hashes: int


@dataclass(frozen=True)
class Setting:
    """What all trials of one target share."""

    target: str
    source: Source
    checkpoint_rows: int

    def job(self, folder: Path) -> dict[str, Any]:
        path = folder / ("out.duckdb" if self.target == "duckdb" else "out")
        return {
            "name": "crash",
            "source": {**self.source.place(folder), "streams": {name: {"mode": "incremental"} for name in STREAMS}},
            "target": {"connector": self.target, "config": {"path": str(path)}, "write": "append"},
            "checkpoint": {"rows": self.checkpoint_rows},
            "retry": {"attempts": 1},
        }


class Trial:
    """A job in a folder.

    Attributes:
        resumed: Whether the last run that finished went on from a state.
    """

    def __init__(self, setting: Setting, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.setting, self.folder = setting, folder
        self.resumed = False
        self._started: list[int] = []
        (folder / "job.yaml").write_text(json.dumps(setting.job(folder)))

    def start(self) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            command = [str(DATIVO), "run", "job.yaml"]
            process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._started.append(process.pid)
        return process

    def finish(self) -> float:
        """Runs to the end; returns the seconds it took, and fails when it does not end well."""
        started = time.monotonic()
        said = len(self.log())
        code = self.start().wait(RUN_SECONDS)
        if code != 0:
            raise AssertionError(f"a rerun exited {code}: {self.folder}\n{self.log()[-3000:]}")
        self.resumed = "state before  none" not in self.log()[said:]
        return time.monotonic() - started

    def kill(self, after_seconds: float, victim: Victim, chance: random.Random) -> int:
        """Starts a run and kills `victim` after so long; returns the run's exit code, negative for a signal."""
        process = self.start()
        try:
            process.wait(after_seconds)
        except subprocess.TimeoutExpired:
            if victim in ("source", "both"):
                # It does not run all the time.
                while not self.setting.source.kill(self.folder, process.pid, chance) and process.poll() is None:
                    time.sleep(0.02)
            if victim != "source":
                tree = descendants(process.pid) if victim == "tree" else []
                for pid in [process.pid, *tree]:
                    end(pid)
            if victim == "tree":
                self.setting.source.kill(self.folder, process.pid, chance)
        code = process.wait(RUN_SECONDS)
        if victim == "source" and code not in (0, FAILED_CONNECTOR):
            raise AssertionError(f"a run whose source was killed exited {code}: {self.folder}\n{self.log()[-3000:]}")
        self.wait_for_orphans()
        return code

    def wait_for_orphans(self) -> None:
        """Nothing of the trial may run any more; what a guardian is still ending gets a moment."""
        deadline = time.monotonic() + ORPHAN_SECONDS
        while left := [pid for pid in processes() if str(self.folder) in command_line(pid)]:
            if time.monotonic() > deadline:
                raise AssertionError(f"still running after {ORPHAN_SECONDS} s: {[command_line(pid) for pid in left]}")
            time.sleep(0.02)

    def left_over(self) -> list[str]:
        """What the next run should have removed: temporary files, with secrets in them above all, and what the source left."""
        files = [str(path) for path in (self.folder / ".dativo" / "tmp").rglob("*") if path.name != "lock"]
        return [*files, *self.setting.source.left_over(self._started)]

    def state(self) -> Any:
        """The committed state, whatever order its streams are in."""
        said = subprocess.run([str(DATIVO), "state", "show", "crash"], cwd=self.folder, capture_output=True, check=True).stdout
        state = json.loads(said)
        return sorted(state, key=json.dumps) if isinstance(state, list) else state

    def sums(self) -> dict[str, Sum]:
        """What a reader sees in the target; a stream without a table is left out. Rejected rows count as a stream."""
        with duckdb.connect() as connection:
            # Text is summed as bytes: the value is compared, not how a target types it.
            columns = 'count(distinct id), coalesce(sum(hash(id, amount::varchar, "text", epoch_us("at"))), 0)'
            rejected = 'count(distinct record), coalesce(sum(hash("column", reason, record)), 0)'
            return {
                stream: Sum(
                    *connection.execute(
                        f"select count(*), {rejected if stream.startswith(REJECTED) else columns} from {table}"
                    ).fetchall()[0]
                )
                for stream, table in self.tables(connection).items()
            }

    def tables(self, connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
        if self.setting.target == "duckdb":
            connection.execute(f"attach '{self.folder}/out.duckdb' as target (read_only)")
            found = connection.execute("select table_name from duckdb_tables() where database_name = 'target'").fetchall()
            names = {name for (name,) in found}
            rows = {name: f'target."{name}"' for name in STREAMS if name in names}
            rejects = {name: f"{name}__quarantine" for name in STREAMS if f"{name}__quarantine" in names}
            return {**rows, **{REJECTED + name: f'target."{table}"' for name, table in rejects.items()}}
        import dativo

        data = dativo.dataset(self.folder / "out")
        for table in data.tables:
            connection.register(f"rows_{table}", data.scan(table).read_all())
            connection.register(f"rejects_{table}", data.quarantine(table).to_arrow())
        return {
            name: view
            for table in data.tables
            for name, view in ((table, f"rows_{table}"), (REJECTED + table, f"rejects_{table}"))
        }

    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""


def choose_victim(chance: random.Random) -> Victim:
    """Mostly Dativo itself; now and then everything at once, only the source, or the two without what watches over them."""
    return chance.choices(["dativo", "tree", "source", "both"], weights=[55, 15, 15, 15])[0]  # type: ignore[return-value]
