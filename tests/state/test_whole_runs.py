"""Jobs and commands over a store that two machines share: each project folder here is a machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from dativo_sdk import JobKey

from dativo.state._lease_lock import LeaseLock
from tests.project import DATIVO, Project
from tests.state.conftest import Place

ORDERS = """\
{"type": "SCHEMA", "stream": "orders", "schema": {"properties": {"id": {"type": "integer"}}}, "key_properties": ["id"]}
{"type": "RECORD", "stream": "orders", "record": {"id": 1}}
{"type": "STATE", "value": {"bookmarks": {"orders": {"id": 1.10}}}}
"""
KEY = JobKey("default", "duckdb")


def machine(folder: Path) -> Project:
    folder.mkdir()
    project = Project(folder)
    (folder / "messages").write_text(ORDERS)
    return project


def test_a_history_is_seen_and_changed_from_every_machine(shared: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATIVO_STATE", shared.uri)
    one, two = machine(tmp_path / "one"), machine(tmp_path / "two")
    assert json.loads(one.dativo("runs", "--json"))["runs"] == []
    one.replay(one.folder / "messages")

    assert two.dativo("state", "show", "duckdb") == '{"bookmarks": {"orders": {"id": 1.10}}}'
    (two.folder / "new.json").write_text('{"n": 2}')
    two.dativo("state", "set", "duckdb", "new.json")
    two.dativo("state", "rollback", "duckdb")
    assert "3  " in one.dativo("state", "history", "duckdb")
    two.dativo("state", "clear", "duckdb")
    report = one.replay(one.folder / "messages")

    assert report["state_before"] == "{}"
    runs = json.loads(two.dativo("runs", "duckdb", "--json"))["runs"]
    assert [(run["status"], run["seq_before"], run["seq_after"]) for run in runs] == [("succeeded", 4, 5), ("succeeded", 0, 1)]
    assert json.loads(two.dativo("runs", "show", runs[0]["run_id"], "--json"))["written"] == 1
    assert not list(tmp_path.glob("*/.dativo/state.sqlite"))


def test_a_job_that_runs_elsewhere_is_refused_here(shared: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATIVO_STATE", shared.uri)
    here = machine(tmp_path / "here")
    here.replay(here.folder / "messages")
    with LeaseLock(shared.backend, KEY, "other"):  # type: ignore[arg-type]
        here.dativo("run", "job.yaml", code=75)
    here.dativo("run", "job.yaml")
    with shared.store() as store:
        assert [run.status for run in store.runs(KEY)] == ["succeeded", "succeeded"]


SLOW = """\
import sys, time, pathlib
lines = pathlib.Path(sys.argv[0]).with_name("messages").read_text().splitlines()
print(*lines, sep="\\n", flush=True)
time.sleep(float(pathlib.Path(sys.argv[0]).with_name("seconds").read_text()))
print(lines[1].replace("1}", "2}"), lines[2], sep="\\n", flush=True)
"""


def test_a_run_that_was_replaced_while_it_slept_commits_nothing_more(
    shared: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    separator = "&" if "?" in shared.uri else "?"
    monkeypatch.setenv("DATIVO_STATE", f"{shared.uri}{separator}lease_seconds=2")
    slept = machine(tmp_path / "slept")
    (slept.folder / "tap.py").write_text(SLOW)
    (slept.folder / "seconds").write_text("5")
    tap = slept.folder / "tap"
    tap.write_text(f"#!/bin/sh\nexec {sys.executable} {slept.folder}/tap.py\n")
    tap.chmod(0o755)
    job = {
        "name": "duckdb",
        "source": {"connector": f"singer:{tap}", "discover": False},
        "target": {"connector": "duckdb", "config": {"path": str(slept.duckdb_path)}},
        "checkpoint": {"rows": 1},
    }
    (slept.folder / "job.yaml").write_text(json.dumps(job))
    with subprocess.Popen(
        [str(DATIVO), "run", "job.yaml"], cwd=slept.folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as run:
        with shared.store() as store:
            while not store.history(KEY):
                assert run.poll() is None
        shared.pause(run.pid, KEY)
        try:
            with LeaseLock(shared.backend, KEY, "other", 30.0, ttl=5.0):  # type: ignore[arg-type]
                os.kill(run.pid, signal.SIGCONT)
                said = run.communicate(timeout=60)[1]
        finally:
            run.kill()
    assert run.returncode == 75, said
    assert "another run of job `default/duckdb` has taken over" in said
    assert slept.rows("select id from orders") == [(1,)]
