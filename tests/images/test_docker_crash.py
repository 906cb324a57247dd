"""Dativo is killed while it reads from a container: a rerun ends with the rows of a run that was left alone."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dativo_engines.containers import _ownership

from tests.images.sources import Source
from tests.project import DATIVO, Project

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("docker")]
ROWS = 10_000


@pytest.fixture
def job(source: Callable[..., Source], project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A read of about two seconds, with many checkpoints."""
    monkeypatch.setenv("DATIVO_CACHE", str(tmp_path / "cache"))
    read = {
        "connector": f"airbyte:{source('hostile').image}",
        "config": {"attempt": "count", "rows": ROWS, "pause_seconds": 0.02},
        "container": {"network": "none"},
        "streams": {"attempt": {"mode": "incremental", "write": "append"}},
    }
    target = {"connector": "duckdb", "config": {"path": str(project.duckdb_path)}}
    path = project.folder / "job.yaml"
    path.write_text(json.dumps({"name": "crash", "source": read, "target": target, "checkpoint": {"rows": 500}}))
    return path


def committed(project: Project) -> int:
    with contextlib.suppress(Exception):
        return int(project.rows("select count(*) from attempt")[0][0])
    return 0


@pytest.mark.parametrize("seconds", [0.0, 1.0, 2.0])
def test_a_killed_run_is_taken_up_where_it_was(job: Path, project: Project, engine: Any, seconds: float) -> None:
    process = subprocess.Popen(
        [DATIVO, "run", job.name], cwd=project.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    mine = {"label": f"{_ownership.PID}={process.pid}"}
    while not engine.containers(filters=mine) and process.poll() is None:
        time.sleep(0.05)
    time.sleep(seconds)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = committed(project)
    report = json.loads(project.dativo("run", job.name, "--json"))
    assert report["rows_in"] == ROWS - before
    assert project.rows("select count(*), count(distinct id) from attempt") == [(ROWS, ROWS)]
    assert engine.containers(all=True, filters=mine) == []
