"""A real tap that dies: the run fails, what was committed stays, the next run completes it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

import pytest

from tests.crash.trial import command_line, descendants
from tests.project import DATIVO, Project
from tests.taps import sources, taps
from tests.taps.servers import Server

pytestmark = [pytest.mark.network, pytest.mark.server, pytest.mark.xdist_group("taps-postgres")]

ROWS = 200_000


def tap_process(dativo: int, timeout_seconds: float = 60) -> int:
    """The tap that reads, below the process `dativo`."""
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        for pid in descendants(dativo):
            arguments = command_line(pid).split("\0")
            if "--catalog" in arguments and any(argument.endswith("bin/tap-postgres") for argument in arguments[:2]):
                return pid
        time.sleep(0.02)
    raise AssertionError("the tap was not started")


def test_a_killed_tap_fails_the_run_and_a_rerun_ends_with_every_row_once(postgres: Server, project: Project) -> None:
    source = sources.postgres_database(postgres, database="DATABASE", filter_schemas=["shop"])
    database = postgres.within(source.config["database"])
    database.sql(f"truncate shop.orders; insert into shop.orders select n, n, 1 from generate_series(1, {ROWS}) n;")
    streams = {"shop-orders": {"mode": "incremental", "cursor": "id"}}
    job = {
        "name": "dying",
        "source": {"connector": taps.POSTGRES.reference, "config": source.config, "streams": streams},
        "target": {"connector": "duckdb", "config": {"path": str(project.duckdb_path)}},
        "checkpoint": {"rows": 1000},
    }
    (project.folder / "job.yaml").write_text(json.dumps(job))
    with subprocess.Popen([str(DATIVO), "run", "job.yaml"], cwd=project.folder, stderr=subprocess.PIPE, text=True) as running:
        tap = tap_process(running.pid)
        wait_for_state(project, running)
        os.kill(tap, signal.SIGKILL)
        _, errors = running.communicate(timeout=60)
    assert running.returncode == 10
    assert "SIGKILL" in errors
    committed = project.rows("select count(*), count(distinct id) from shop_orders")[0]
    assert 0 < committed[0] == committed[1] < ROWS
    again = json.loads(project.dativo("run", "job.yaml", "--json"))
    assert again["rows_in"] < ROWS
    assert project.rows("select count(*), count(distinct id), sum(id) from shop_orders") == [(ROWS, ROWS, ROWS * (ROWS + 1) // 2)]


def wait_for_state(project: Project, running: subprocess.Popen[str]) -> None:
    """Until a checkpoint was committed, by what the state store says."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and running.poll() is None:
        shown = subprocess.run([str(DATIVO), "state", "show", "job.yaml"], cwd=project.folder, capture_output=True, text=True)
        if "replication_key_value" in shown.stdout:
            return
    raise AssertionError(f"no checkpoint was made (exit code {running.poll()})")
