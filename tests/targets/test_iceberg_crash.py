"""Iceberg tables, their writer killed with SIGKILL at each fault point and around what changes the disk, then run again.

Run as a script this module is the victim's side: it forks a writer for each instant, so that pyiceberg is imported once.
`python tests/targets/test_iceberg_crash.py calls 0 1` tries every instant; the tests take every fault point, and some calls.
"""

from __future__ import annotations

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

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.targets.killed_writers import forked, kill_at, kill_at_point

JOB = JobKey("acme", "crash")
ORDERS, ITEMS, USERS = (StreamId(name) for name in ("orders", "items", "users"))
STREAMS = {
    ORDERS: ConfiguredStream(ORDERS, "merge", ("id",), "at", "hard", "gone"),
    ITEMS: ConfiguredStream(ITEMS),
    USERS: ConfiguredStream(USERS, "overwrite"),
}
STEPS = 3
POINTS = ["staged", "intent", "applied", "applied#2", "applied#3", "applied#5", "applied#10", "intent#2", "intent#4", "committed"]
CALLS = ("link", "unlink", "fsync")


def load(root: Path, run: str) -> None:
    """Resumes where the committed state says; a checkpoint is a step of rows in two streams; a third stream is overwritten."""
    from dativo.targets.iceberg import IcebergWriter

    writer = IcebergWriter()
    config = {"path": str(root), "partition_by": {"items": ["bucket(2, id)"]}}
    state = writer.initialize(config, WriteCatalog(JOB, run, dict(STREAMS)))
    try:
        send(writer, USERS, range(7, 10), 0)
        for step in range(int(state or b"0"), STEPS):
            for stream in (ORDERS, ITEMS):
                send(writer, stream, range(step * 5, step * 5 + 10), step)
            reject = pa.record_batch({"line": [step], "column": ["id"], "reason": ["bad"], "record": [b"{}"]})
            writer.write_rejects(Rejects(ORDERS, reject, 1))
            writer.commit(b"%d" % (step + 1))
        writer.commit(None, final=True)
    finally:
        writer.close()


def send(writer: Any, stream: StreamId, ids: range, turn: int) -> None:
    columns: dict[str, Any] = {"id": list(ids), "at": [turn] * len(ids), "gone": [number % 4 == turn % 4 for number in ids]}
    # A column that comes in the second step, and one that becomes text in the third.
    columns |= {"new": [f"{number}" if turn > 1 else number for number in ids]} if turn else {}
    data = pa.record_batch(columns)
    writer.write_batch(Batch(stream, data, data.num_rows, data.nbytes))


def tables(root: Path) -> dict[str, list[str]]:
    """All rows, and whether each data file that is there is one that a snapshot names."""
    from pyiceberg.catalog import load_catalog

    catalog = load_catalog("dativo", type="sql", uri=f"sqlite:///{root}/catalog.db")
    found = {}
    for identifier in catalog.list_tables("default"):
        table = catalog.load_table(identifier)
        arrow = table.scan().to_arrow()
        own = {"id", "loaded_at", "run_id"} if identifier[-1].endswith("__quarantine") else set()
        kept = [name for name in arrow.schema.names if name not in own]
        found[identifier[-1]] = sorted(map(repr, arrow.select(sorted(kept)).to_pylist()))
        named = {entry.removeprefix("file://") for entry in table.inspect.all_files()["file_path"].to_pylist()}
        found[f"{identifier[-1]} left over"] = sorted(
            {str(file) for file in root.glob(f"default/{identifier[-1]}/data/*")} - named
        )
    found["staged"] = [str(file) for file in root.glob("_dativo/staging/*")]
    catalog.close()
    return found


def torture(prepare: Callable[[], None], expected: Path) -> bool:
    """One killed run, a second one to the end, and what is there then; false when the first one came to its end."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory) / "lake"

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

        assert forked(after) == 0
        return True


def undisturbed(expected: Path) -> None:
    with tempfile.TemporaryDirectory() as directory:
        load(Path(directory) / "lake", "only")
        expected.write_text(repr(tables(Path(directory) / "lake")))


def main(what: str, *numbers: str) -> int:
    # Loaded before the forks; nothing is called, for threads would not be there in the children.
    import pyiceberg.catalog.sql
    import pyiceberg.io.pyarrow  # noqa: F401

    import dativo.targets.iceberg._format  # noqa: F401

    with tempfile.TemporaryDirectory() as directory:
        expected = Path(directory) / "expected"
        assert forked(partial(undisturbed, expected)) == 0
        assert "left over': []" in expected.read_text()
        if what == "points":
            for point in POINTS:
                assert torture(partial(kill_at_point, f"iceberg.{point}"), expected), f"`{point}` was not reached"
            return len(POINTS)
        instant, stride = map(int, numbers)
        while torture(partial(kill_at, CALLS, instant), expected):
            instant += stride
        return instant


@pytest.mark.parametrize(("arguments", "least"), [(("points",), len(POINTS)), (("calls", "5", "41"), 100)])
def test_a_run_killed_at_any_step_and_run_again_gives_the_rows_of_an_undisturbed_one(
    arguments: tuple[str, ...], least: int
) -> None:
    done = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= least


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
