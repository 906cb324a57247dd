"""One trial of the matrix: a job in a folder of its own, run, interrupted in one way, run again, and its rows compared."""

from __future__ import annotations

import datetime as dt
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.crash.matrix.places import Place, fault_points
from tests.crash.sources import command_line, descendants, end, processes

DATIVO = Path(sys.executable).with_name("dativo")
TAP = Path(__file__).with_name("tap.py")
RUN_SECONDS = 300.0
ORPHAN_SECONDS = 15.0
LATER_SECONDS = 120.0
TRY_AGAIN = 75
MOST_COMMITS = 5
VARYING = {"_dativo_loaded_at", "_dativo_run_id", "_dativo_deleted_at", "run_id", "loaded_at", "id", "line"}
"""Columns that are of one run, in a quarantine also its own ids; of others only whether there is a value."""
FAILED = (-9, 0, 10, 20, TRY_AGAIN)
"""How an interrupted run may end: killed, too late, by its source, by its target, or with the advice to try again."""

Rows = Mapping[str, "Counter[Hashable]"]


@dataclass(frozen=True)
class Cell:
    """A target and a write mode.

    Attributes:
        rows: Of both streams.
        checkpoint_rows: Rows between two commits.
        reached: How often a run comes to each step of a commit, as far as it is known.
    """

    place: Place
    mode: str
    rows: int = 6_000
    checkpoint_rows: int = 900
    reached: dict[str, int] = field(default_factory=dict)

    @property
    def overlap(self) -> int:
        """Rows that are sent again by a source that is resumed, in modes that can tell them."""
        return 40 if self.mode in ("append_dedup", "merge") else 0

    def job(self, folder: Path, edition: int) -> dict[str, Any]:
        append = self.mode == "append"
        config = {
            "rows": self.rows,
            "keys": 10**9 if append else self.rows // 8,
            "state_every": 200,
            "overlap": self.overlap,
            "edition": edition,
            "pause_ms": 20,
        }
        deletes = "hard" if self.mode in ("merge", "scd2") else "ignore"
        return {
            "name": "matrix",
            "source": {"connector": f"singer:{self.tap(folder)}", "config": config, "discover": False},
            "target": {
                "connector": self.place.connector,
                "config": self.place.config(folder),
                "write": self.mode,
                "deletes": deletes,
                "metadata": ["loaded_at"],
            },
            "checkpoint": {"rows": self.checkpoint_rows},
            "retry": {"attempts": 1},
        }

    def tap(self, folder: Path) -> Path:
        """A copy of the tap, so that every process of the trial can be told by the folder's name."""
        tap = folder / "tap.py"
        if not tap.exists():
            tap.write_bytes(TAP.read_bytes())
            tap.chmod(0o755)
        return tap

    def kills(self) -> list[str]:
        """The ways to interrupt a run."""
        ways = [f"at {point}" for point in fault_points(self.place)] + ["dativo", "tree", "source"]
        return [*ways, "server", "network"] if self.place.server else ways


class Trial:
    """A job in a folder."""

    def __init__(self, cell: Cell, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.cell, self.folder = cell, folder
        self._server_is_away = False
        self.edit(1)

    def edit(self, edition: int) -> None:
        """Gives the source other values from now on."""
        (self.folder / "job.yaml").write_text(json.dumps(self.cell.job(self.folder, edition)))

    def start(self, fault: str = "") -> subprocess.Popen[bytes]:
        environment = {**os.environ, **({"DATIVO_FAULT_POINT": fault} if fault else {})}
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [str(DATIVO), "run", "job.yaml"],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )

    def finish(self) -> float:
        """Runs to the end, also when it is told to try again later, as by a server that is not quite back; the seconds it took.

        Fails when it does not end well.
        """
        began = time.monotonic()
        deadline = began + LATER_SECONDS
        while (code := self.start().wait(RUN_SECONDS)) == TRY_AGAIN and time.monotonic() < deadline:
            time.sleep(1)
        if code != 0:
            raise AssertionError(f"a rerun exited {code}: {self.folder}\n{self.log()}")
        return time.monotonic() - began

    def interrupt(self, way: str, seconds: float, chance: random.Random) -> int:
        """Starts a run and interrupts it; its exit code, negative for a signal."""
        if way.startswith("at "):
            number = chance.randint(1, self.cell.reached.setdefault(way, MOST_COMMITS))
            code = self.start(f"{way[3:]}#{number}").wait(RUN_SECONDS)
            if code == 0:
                self.cell.reached[way] = max(number - 1, 1)
        else:
            process = self.start()
            try:
                process.wait(chance.uniform(0.1, 1) * seconds)
            except subprocess.TimeoutExpired:
                self._strike(way, process.pid)
            code = process.wait(RUN_SECONDS)
        self._wait_for_orphans()
        if self._server_is_away and self.cell.place.server:
            self.cell.place.server.start()
            self._server_is_away = False
        if code not in FAILED:
            raise AssertionError(f"a run interrupted by `{way}` exited {code}: {self.folder}\n{self.log()}")
        return code

    def _strike(self, way: str, pid: int) -> None:
        place = self.cell.place
        if way == "server" and place.server:
            place.server.kill()
            self._server_is_away = True
        elif way == "network" and place.proxy:
            place.proxy.cut()
        elif way == "source":
            for child in descendants(pid):
                if str(self.folder / "tap.py") in command_line(child):
                    end(child)
        else:
            for each in [pid, *(descendants(pid) if way == "tree" else [])]:
                end(each)

    def _wait_for_orphans(self) -> None:
        deadline = time.monotonic() + ORPHAN_SECONDS
        while left := [pid for pid in processes() if str(self.folder) in command_line(pid)]:
            if time.monotonic() > deadline:
                raise AssertionError(f"still running after {ORPHAN_SECONDS} s: {[command_line(pid) for pid in left]}")
            time.sleep(0.02)

    def rows(self) -> Rows:
        """Every table's rows as values that can be compared, each with how often it is there."""
        found = {name: _counted(name, table) for name, table in self.cell.place.tables(self.folder).items()}
        if self.cell.overlap:
            # What is sent again is rejected again: a quarantine keeps what came.
            found |= {name: Counter(set(rows)) for name, rows in found.items() if name.endswith(" rejected")}
        return found

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-3000:]


def _counted(name: str, table: pa.Table) -> Counter[Hashable]:
    varying = VARYING if name.endswith(" rejected") else VARYING - {"id", "line"}
    return Counter(
        tuple((column, value is None if column in varying else _plain(value)) for column, value in sorted(row.items()))
        for row in table.to_pylist()
    )


def _plain(value: Any) -> Hashable:
    """The value, whatever type its target gives it."""
    if isinstance(value, dt.datetime):
        return (value if value.tzinfo else value.replace(tzinfo=dt.UTC)).timestamp()
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, (Decimal, float, int)) and not isinstance(value, bool):
        return round(float(value), 6)
    if isinstance(value, (dict, list)):
        return json.dumps(value, default=str)
    return str(value) if value is not None else None


def differences(expected: Rows, found: Rows) -> tuple[int, int]:
    """Rows that lack, and rows that are too many."""
    lost = sum((count - found.get(name, Counter())).total() for name, count in expected.items())
    more = sum((count - expected.get(name, Counter())).total() for name, count in found.items())
    return lost, more
