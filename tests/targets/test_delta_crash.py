"""Delta tables, their writer killed with SIGKILL at each fault point, and around calls that change the disk; then run again.

Run as a script this module is the victim's side: it forks a writer for each instant, so that pyarrow is imported once.
`python tests/targets/test_delta_crash.py calls 0 1` tries every instant; the tests take every fault point, and some instants.
"""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from dativo_protocols import Batch, Rejects, StreamId
from dativo_sdk import ConfiguredStream, JobKey, WriteCatalog

pytest.importorskip("deltalake", reason="the package `deltalake` is not installed")

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.targets.killed_writers import forked, kill_at, kill_at_point

JOB = JobKey("acme", "crash")
ORDERS, ITEMS, USERS, PRICES = (StreamId(name) for name in ("orders", "items", "users", "prices"))
STREAMS = {
    ORDERS: ConfiguredStream(ORDERS, "merge", ("id",), "at", "hard", "gone"),
    ITEMS: ConfiguredStream(ITEMS),
    USERS: ConfiguredStream(USERS, "overwrite"),
    PRICES: ConfiguredStream(PRICES, "scd2", ("id",), "at"),
}
STEPS = 3
POINTS = ["staged", "intent", "intent#2", "intent#3", "applied", "applied#2", "applied#4", "applied#6", "committed#3"]
CALLS = ("link", "unlink", "fsync")


def load(root: Path, run: str) -> None:
    """Resumes where the committed state says; a checkpoint is a step; a fourth stream is overwritten."""
    from dativo.targets.delta import DeltaWriter

    writer = DeltaWriter()
    state = writer.initialize({"path": str(root), "checkpoint_every": 3}, WriteCatalog(JOB, run, dict(STREAMS)))
    try:
        send(writer, USERS, range(7, 10), 0)
        for step in range(int(state or b"0"), STEPS):
            for part in range(2):
                ids = range(step * 5 + part * 5, step * 5 + part * 5 + 10)
                for stream in (ORDERS, ITEMS, PRICES):
                    send(writer, stream, ids, step * 2 + part)
            reject = pa.record_batch({"line": [step], "column": ["id"], "reason": ["bad"], "record": [b"{}"]})
            writer.write_rejects(Rejects(ORDERS, reject, 1))
            writer.commit(b"%d" % (step + 1))
        writer.commit(None, final=True)
    finally:
        writer.close()


def send(writer: Any, stream: StreamId, ids: range, turn: int) -> None:
    moment = dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(days=turn)
    columns: dict[str, Any] = {"id": list(ids), "v": [number // 3 + turn // 2 for number in ids], "at": [moment] * len(ids)}
    columns |= {"gone": [number % 4 == turn % 4 for number in ids]} if stream == ORDERS else {}
    # A column that comes in the second step, and one that widens in the third.
    columns |= {"new": [0.5 * number if turn > 3 else number for number in ids]} if turn > 1 else {}
    data = pa.record_batch(columns)
    writer.write_batch(Batch(stream, data, data.num_rows, data.nbytes))


def tables(root: Path) -> dict[str, list[str]]:
    from deltalake import DeltaTable

    found = {}
    for folder in sorted(root.glob("*/_delta_log")):
        table = pa.table(DeltaTable(folder.parent).to_pyarrow_table())
        varying = {"loaded_at", "run_id", "id"} if folder.parent.name.endswith("__quarantine") else set()
        kept = [name for name in table.schema.names if name not in varying]
        found[folder.parent.name] = sorted(map(repr, table.select(sorted(kept)).to_pylist()))
    return found


def left_over(root: Path) -> list[str]:
    """Files that no version of a table has named, of commits that did not happen."""
    import json

    named: set[str] = set()
    for entry in root.glob("*/_delta_log/*.json"):
        for line in entry.read_text().splitlines():
            action = json.loads(line)
            named |= {f"{entry.parent.parent.name}/{action[kind]['path']}" for kind in ("add", "remove") if kind in action}
    files = {str(file.relative_to(root)) for file in root.glob("*/*.parquet")}
    return sorted((files - named) | {str(file) for file in root.glob("_dativo/staging/*")})


def torture(prepare: Callable[[], None], expected: Path, before: str | None = None) -> bool:
    """One killed run, a second one to the end, and what is there then; false when the first one came to its end.

    Args:
        before: A point at which an even earlier run is killed, so that the killed one begins with that one's commit.
    """
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory) / "lake"
        if before is not None:

            def earlier() -> None:
                kill_at_point(f"delta.{before}")
                load(root, "earlier")

            assert os.WIFSIGNALED(forked(earlier))

        def doomed() -> None:
            prepare()
            load(root, "first")

        status = forked(doomed)
        if status == 0:
            return False
        assert os.WIFSIGNALED(status), "the run failed by itself"

        def after() -> None:
            load(root, "second")
            assert repr(tables(root)) == expected.read_text(), tables(root)
            load(root, "third")
            assert repr(tables(root)) == expected.read_text()
            assert left_over(root) == []

        assert forked(after) == 0
        return True


def undisturbed(expected: Path) -> None:
    with tempfile.TemporaryDirectory() as directory:
        load(Path(directory) / "lake", "only")
        expected.write_text(repr(tables(Path(directory) / "lake")))


def main(what: str, *numbers: str) -> int:
    # Loaded before the forks; nothing is called, for threads would not be there in the children.
    import deltalake  # noqa: F401

    import dativo.targets.delta  # noqa: F401

    with tempfile.TemporaryDirectory() as directory:
        expected = Path(directory) / "expected"
        assert forked(partial(undisturbed, expected)) == 0
        if what == "points":
            for point in POINTS:
                assert torture(partial(kill_at_point, f"delta.{point}"), expected), f"`{point}` was not reached"
            return len(POINTS)
        instant, stride = int(numbers[0]), int(numbers[1])
        before = "intent#2" if what == "recovery" else None
        while torture(partial(kill_at, CALLS, instant), expected, before):
            instant += stride
        return instant


@pytest.mark.parametrize(
    ("arguments", "least"),
    [(("points",), len(POINTS)), (("calls", "3", "41"), 100), (("recovery", "0", "31"), 60)],
)
def test_a_run_killed_at_any_step_and_run_again_gives_the_rows_of_an_undisturbed_one(
    arguments: tuple[str, ...], least: int
) -> None:
    done = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= least


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
