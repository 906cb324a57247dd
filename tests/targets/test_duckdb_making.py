"""A DuckDB file is made whole or not at all."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from dativo.targets.duckdb._config import DuckDBConfig
from dativo.targets.duckdb._database import Database

KILLED = """
import os, signal, sys
import duckdb

def killed(path, **_):
    open(path, "wb").close()
    os.kill(os.getpid(), signal.SIGKILL)

duckdb.connect = killed
from dativo.targets.duckdb._config import DuckDBConfig
from dativo.targets.duckdb._database import Database
Database(DuckDBConfig(path=sys.argv[1])).open()
"""


def test_a_run_that_is_killed_while_it_makes_the_file_leaves_none_that_cannot_be_opened(tmp_path: Path) -> None:
    path = tmp_path / "out.duckdb"
    ended = subprocess.run([sys.executable, "-c", KILLED, str(path)], capture_output=True)
    assert ended.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1
    database = Database(DuckDBConfig(path=str(path)))
    database.open()
    assert database.run("SELECT 1") == [(1,)]
    database.close()
    assert [file.name for file in tmp_path.iterdir()] == ["out.duckdb"]
