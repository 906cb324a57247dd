"""A writer killed with SIGKILL before and after every system call that changes the disk, then run again.

Run as a script this module is the victim's side: it forks a writer for each instant, so that pyarrow is imported once.
`python tests/targets/test_files_crash.py parquet first 0 1` tries every instant; the tests take some of them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from dativo_protocols import Batch, Rejects, StreamId
from dativo_sdk import ConfiguredStream, JobKey, WriteCatalog

from dativo._dataset import dataset

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.targets.killed_writers import forked, kill_at

JOB = JobKey("acme", "crash")
ORDERS, ITEMS, USERS = StreamId("orders"), StreamId("items"), StreamId("users")
STEPS = 3
ROWS = 40
CALLS = ("open", "link", "unlink", "mkdir", "fsync", "rename")


def writer(kind: str) -> Any:
    from dativo.targets.arrow import ArrowWriter
    from dativo.targets.csv import CsvWriter
    from dativo.targets.jsonl import JsonLinesWriter
    from dativo.targets.parquet import ParquetWriter

    return {"arrow": ArrowWriter, "csv": CsvWriter, "jsonl": JsonLinesWriter, "parquet": ParquetWriter}[kind]()


def load(kind: str, root: Path, run: str) -> None:
    """Resumes where the committed state says; a checkpoint is a step of 40 rows in two streams; a third stream is overwritten."""
    catalog = WriteCatalog(JOB, run, {USERS: ConfiguredStream(USERS, "overwrite")})
    target = writer(kind)
    state = target.initialize({"path": str(root), "file_size_bytes": 1500, "keep_replaced_seconds": 0}, catalog)
    try:
        send(target, USERS, [7 + int(run == "first"), 8, 9])
        for step in range(int(state or b"0"), STEPS):
            for part in range(4):
                rows = list(range(step * ROWS + part * 10, step * ROWS + part * 10 + 10))
                send(target, ORDERS, rows)
                send(target, ITEMS, rows)
            reject = pa.record_batch({"line": [step], "column": ["id"], "reason": ["bad"], "record": [b"{}"]})
            target.write_rejects(Rejects(ORDERS, reject, 1))
            target.commit(b"%d" % (step + 1))
        target.commit(None, final=True)
    finally:
        target.close()


def send(target: Any, stream: StreamId, ids: list[int]) -> None:
    texts = [f"{stream.name} {number}" for number in ids]
    data = pa.record_batch({"id": pa.array(ids, pa.int64()), "text": pa.array(texts, pa.utf8())})
    target.write_batch(Batch(stream, data, data.num_rows, data.nbytes))


def check(root: Path, *, ended: bool) -> None:
    """What is committed is exactly what the state says, in every stream."""
    if not (root / "_dativo" / "commits").is_dir():
        assert not ended
        return
    data = dataset(root)
    steps = int(data.state(JOB) or b"0")
    assert not ended or steps == STEPS
    for stream in (ORDERS, ITEMS):
        ids = data[stream].to_arrow(["id"])["id"].to_pylist() if stream in data.streams else []
        assert ids == list(range(steps * ROWS)), (stream, steps, len(ids))
    assert (data.quarantine(ORDERS).num_rows if ORDERS in data.streams else 0) == steps
    users = data[USERS].to_arrow()["id"].to_pylist() if USERS in data.streams else []
    assert users in ([7, 8, 9], [8, 8, 9]) or not (users or ended), users


def left_over(root: Path) -> list[str]:
    data = dataset(root)
    live = {path for stream in data.streams for path in (*data.files(stream), *data.quarantine(stream).paths)}
    files = {
        str(path)
        for path in root.glob("**/*")
        if path.is_file() and path.suffix not in (".lock", ".json") and path.name != "lock"
    }
    return sorted(files - live)


def torture(kind: str, first: bool, instant: int, stride: int) -> int:
    """Kills at every so many-th instant of a first run or of one on an existing dataset; returns the first past the end."""
    while True:
        with tempfile.TemporaryDirectory() as directory:
            root = Path(directory) / "data"
            if not first:
                assert forked(partial(load, kind, root, "first")) == 0
                assert forked(partial(reset, root)) == 0

            def doomed(root: Path = root, instant: int = instant) -> None:
                kill_at(CALLS, instant)
                load(kind, root, "second")

            status = forked(doomed)
            if status == 0:
                return instant
            assert os.WIFSIGNALED(status), f"instant {instant}: the run failed by itself"

            def after(root: Path = root) -> None:
                check(root, ended=False)
                load(kind, root, "third")
                check(root, ended=True)
                load(kind, root, "fourth")
                assert left_over(root) == [path for path in left_over(root) if "/users/" in path]

            assert forked(after) == 0, f"instant {instant}"
            instant += stride


def reset(root: Path) -> None:
    """Back to state 0 by an overwrite, so that the next run has the same rows to write."""
    target = writer("parquet")
    modes = {stream: ConfiguredStream(stream, "overwrite") for stream in (ORDERS, ITEMS)}
    target.initialize({"path": str(root)}, WriteCatalog(JOB, "reset", modes))
    for stream in modes:
        send(target, stream, [])
        target.write_rejects(Rejects(stream, pa.record_batch({"line": pa.array([], pa.int64())}), 0))
    target.commit(b"0", final=True)
    target.close()


@pytest.mark.parametrize(
    ("kind", "which", "offset", "stride"),
    [
        ("parquet", "first", 0, 13),
        ("parquet", "later", 2, 13),
        ("jsonl", "first", 4, 13),
        ("jsonl", "later", 5, 13),
        ("csv", "first", 6, 29),
        ("arrow", "later", 7, 29),
    ],
)
def test_a_run_killed_at_any_step_and_run_again_gives_the_rows_of_an_undisturbed_one(
    kind: str, which: str, offset: int, stride: int
) -> None:
    arguments = [sys.executable, __file__, kind, which, str(offset), str(stride)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 60


@pytest.mark.parametrize("fault", ["files.staged#2", "files.synced", "files.record_written#3", "files.committed"])
def test_a_run_killed_at_a_named_step_and_run_again(fault: str, tmp_path: Path) -> None:
    command = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_files_crash as crash\n"
    command += f"crash.load('parquet', crash.Path({str(tmp_path / 'data')!r}), 'first')"
    done = subprocess.run([sys.executable, "-c", command], env=os.environ | {"DATIVO_FAULT_POINT": fault}, check=False)
    assert done.returncode == -signal.SIGKILL
    check(tmp_path / "data", ended=False)
    load("parquet", tmp_path / "data", "second")
    check(tmp_path / "data", ended=True)


if __name__ == "__main__":
    print(torture(sys.argv[1], sys.argv[2] == "first", int(sys.argv[3]), int(sys.argv[4])))
