"""A writer of encrypted files killed at every step of its commits, then run again: the rows of a run that was never killed, and
no plaintext in anything that the dead one left.

Run as a script this module is the victim's side: it forks a writer for each step, so that pyarrow is imported once.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from dativo_protocols import Batch, Rejects, StreamId
from dativo_sdk import JobKey, WriteCatalog

import dativo
from dativo import _faults
from dativo.keys._local import add_key
from dativo.targets import _staging
from dativo.targets._files import FilesWriter
from dativo.targets.jsonl import JsonLinesWriter
from dativo.targets.parquet import ParquetWriter

MARK = b"PLAINTEXT-MARKER"
POINTS = ("files.staged", "files.synced", "files.record_written", "files.committed")
KINDS: dict[str, type[FilesWriter]] = {"parquet": ParquetWriter, "jsonl": JsonLinesWriter}
STREAMS = [StreamId(f"table{i}") for i in range(4)]
STEPS = 2
ROWS = 60


def encryption(folder: Path) -> dict[str, Any]:
    kms = {"type": "local", "file": str(folder / "keys.json")}
    return {"kms": kms, "footer_key": "footer", "quarantine_key": "pii", "audit": str(folder / "audit.jsonl")}


def load(kind: str, folder: Path, run: str) -> None:
    """Resumes where the committed state says; hardly any memory, so that rows are parked."""
    _staging.BUFFERED_BYTES = 1 << 13
    target = KINDS[kind]()
    state = target.initialize(
        {"path": str(folder / "out"), "encryption": encryption(folder)}, WriteCatalog(JobKey("acme", "crash"), run)
    )
    try:
        for step in range(int(state or b"0"), STEPS):
            for part in range(3):
                numbers = range(step * ROWS + part * ROWS // 3, step * ROWS + (part + 1) * ROWS // 3)
                data = pa.record_batch({"id": list(numbers), "email": [f"{MARK.decode()}-{i}" for i in numbers]})
                for stream in STREAMS:
                    target.write_batch(Batch(stream, data, data.num_rows, data.nbytes))
            reject = pa.record_batch({"line": [step], "column": ["id"], "reason": ["bad"], "record": [MARK]})
            target.write_rejects(Rejects(STREAMS[0], reject, 1))
            target.commit(b"%d" % (step + 1), final=step + 1 == STEPS)
    finally:
        target.close()


def child(kind: str, folder: Path, run: str, point: str = "", count: int = 1) -> int:
    """Loads in a process of its own, to be killed at a step; its wait status."""
    pid = os.fork()
    if pid == 0:
        _faults._wanted, _faults._left = point, count
        try:
            load(kind, folder, run)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1]


def kill_everywhere(kind: str) -> int:
    """How many runs were killed, over all steps; fails at the first one that does not come right."""
    kills = 0
    for point in POINTS:
        for count in range(1, STEPS + 1):
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                for key_id in ("footer", "pii"):
                    add_key(folder / "keys.json", key_id)
                status = child(kind, folder, "first", point, count)
                where = f"{kind}, {point} for the {count}. time"
                if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
                    raise AssertionError(f"{where}: not killed: {status}")
                check_plaintext(folder, where)
                if child(kind, folder, "second") != 0:
                    raise AssertionError(f"{where}: the second run failed")
                check_plaintext(folder, where)
                data = dativo.dataset(folder / "out", keys=encryption(folder))
                for stream in STREAMS:
                    if data.to_arrow(stream)["id"].to_pylist() != list(range(STEPS * ROWS)):
                        raise AssertionError(f"{where}: other rows in `{stream}`")
                if data.quarantine(STREAMS[0]).to_arrow()["line"].to_pylist() != list(range(STEPS)):
                    raise AssertionError(f"{where}: other rejected rows")
            kills += 1
    return kills


def check_plaintext(folder: Path, where: str) -> None:
    leaking = [str(path) for path in folder.rglob("*") if path.is_file() and MARK in path.read_bytes()]
    if leaking:
        raise AssertionError(f"{where}: plaintext in {leaking}")


@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_every_step(kind: str) -> None:
    ended = subprocess.run([sys.executable, __file__, kind], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == f"{len(POINTS) * STEPS} kills\n"


if __name__ == "__main__":
    print(f"{kill_everywhere(sys.argv[1])} kills")
