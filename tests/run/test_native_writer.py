"""Jobs whose target is a writer of one's own: the example in Python, wherever it runs."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from base64 import b64encode
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dativo_engines.plugins import _runtime, means
from dativo_protocols import ConfigError, SandboxError, TargetError

import dativo
from tests.processes import running
from tests.project import Project

WRITER = Path(__file__).parents[2] / "examples" / "python-writer" / "encrypted_files.py"
KEY = b64encode(bytes(range(32))).decode()
SCHEMA = {
    "type": "SCHEMA",
    "stream": "orders",
    "schema": {"type": "object", "properties": {"id": {"type": "integer"}, "name": {"type": "string"}}},
    "key_properties": [],
}
KILLING = """
import os, signal, subprocess, sys, time
from encrypted_files import EncryptedFiles

class Killing(EncryptedFiles):
    def commit(self, state, *, final=False):
        if os.path.exists("kill"):
            os.remove("kill")
            os.kill(os.getpid(), signal.SIGKILL)
        return super().commit(state, final=final)

class Failing(EncryptedFiles):
    def commit(self, state, *, final=False):
        raise ZeroDivisionError("no commit with " + self._key)

    def initialize(self, config, catalog):
        self._key = config["key"]
        return super().initialize(config, catalog)

class Newer(EncryptedFiles):
    __api_version__ = "1.9"

class Hanging(EncryptedFiles):
    def commit(self, state, *, final=False):
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(985.25)"], start_new_session=True)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(984.25)

class Deaf(EncryptedFiles):
    def write_batch(self, batch):
        time.sleep(983.25)

class Slow(EncryptedFiles):
    def commit(self, state, *, final=False):
        for _ in range(8):
            time.sleep(0.4)
            print("still at it", file=sys.stderr, flush=True)
        return super().commit(state, final=final)

class Refusing(EncryptedFiles):
    refuses = frozenset({"nul"})
"""

spec = importlib.util.spec_from_file_location("encrypted_files_of_tests", WRITER)
assert spec is not None
assert spec.loader is not None
encrypted_files = importlib.util.module_from_spec(spec)
spec.loader.exec_module(encrypted_files)

everywhere = pytest.mark.parametrize("isolation", ["in_process", "process", "sandbox"])


def record(number: int) -> dict[str, Any]:
    return {"type": "RECORD", "stream": "orders", "record": {"id": number, "name": f"secret name {number}"}}


def state(number: int) -> dict[str, Any]:
    return {"type": "STATE", "value": {"bookmarks": {"orders": {"id": number}}}}


def target(isolation: str, writer: str = f"{WRITER}:EncryptedFiles", **more: Any) -> dict[str, Any]:
    Path("out").mkdir(exist_ok=True)
    found = {"connector": f"native:{writer}", "isolation": isolation, "config": {"path": "out/shop", "key": KEY}, **more}
    return {"sandbox": {"files": [{"path": "out", "write": True}]}, **found} if isolation == "sandbox" else found


def ids(stream: str = "orders") -> list[int]:
    return sorted(encrypted_files.read(Path("out/shop"), "default.shop", KEY, stream).column("id").to_pylist())


def hostile(name: str) -> str:
    folder = Path("mine").absolute()
    folder.mkdir(exist_ok=True)
    (folder / "mine.py").write_text(KILLING)
    (folder / "encrypted_files.py").write_text(WRITER.read_text())
    (folder / "dativo-plugin.yaml").write_text("name: mine\nkind: writer\nentry: mine.py:Killing\n")
    return f"{folder / 'mine.py'}:{name}"


@everywhere
def test_rows_are_encrypted_and_a_second_run_adds_to_them(isolation: str, project: Path, tap: Any) -> None:
    tap.says(SCHEMA, record(1), state(1), record(2), state(2))
    report = dativo.run(tap.job(target(isolation)))
    assert (report.streams[0].written, ids()) == (2, [1, 2])
    assert not any(b"secret name" in file.read_bytes() for file in Path("out").rglob("*.aes"))
    tap.says(SCHEMA, record(3), state(3))
    dativo.run(tap.job(target(isolation)))
    assert ids() == [1, 2, 3]
    assert json.loads(tap.handed_state) == {"bookmarks": {"orders": {"id": 2}}}


@everywhere
def test_an_overwrite_is_swapped_at_the_end(isolation: str, project: Path, tap: Any) -> None:
    tap.says(SCHEMA, record(1))
    dativo.run(tap.job(target(isolation, write="overwrite")))
    tap.says(SCHEMA, record(2))
    dativo.run(tap.job(target(isolation, write="overwrite")))
    assert ids() == [2]


@everywhere
def test_rejected_rows_are_kept_beside(isolation: str, project: Path, tap: Any) -> None:
    bad = {"type": "RECORD", "stream": "orders", "record": {"id": "no number", "name": "x"}}
    tap.says(SCHEMA, record(1), bad)
    report = dativo.run(tap.job(target(isolation)))
    assert (report.streams[0].written, report.streams[0].quarantined) == (1, 1)


def test_a_writer_that_is_killed_fails_the_run_and_a_rerun_is_right(project: Path, tap: Any) -> None:
    tap.says(SCHEMA, record(1), state(1), record(2), state(2))
    job = tap.job(target("process", hostile("Killing")), checkpoint={"rows": 1}, retry={"attempts": 1})
    dativo.run({**job, "checkpoint": {"rows": 1}})
    assert ids() == [1, 2]
    Path("kill").touch()
    tap.says(SCHEMA, record(3), state(3))
    with pytest.raises(TargetError, match="was ended by SIGKILL") as caught:
        dativo.run(job)
    assert (caught.value.exit_code, ids()) == (20, [1, 2])
    dativo.run(job)
    assert ids() == [1, 2, 3]


@pytest.mark.parametrize("isolation", ["in_process", "process"])
def test_what_it_raises_is_an_error_of_the_target_without_secrets(isolation: str, project: Path, tap: Any) -> None:
    tap.says(SCHEMA, record(1))
    logged: list[str] = []
    with pytest.raises(TargetError, match=r"ZeroDivisionError: no commit with \*\*\*") as caught:
        dativo.run(tap.job(target(isolation, hostile("Failing"))), log=lambda level, line: logged.append(line))
    assert KEY not in str(caught.value) + "".join(logged)
    assert any("ZeroDivisionError" in line for line in logged)


@pytest.mark.parametrize("isolation", ["in_process", "process"])
def test_one_of_a_newer_api_is_refused_before_anything_runs(isolation: str, project: Path, tap: Any) -> None:
    tap.says(SCHEMA, record(1))
    with pytest.raises(ConfigError, match=r"version 1\.9 of the plugin API"):
        dativo.run(tap.job(target(isolation, hostile("Newer"))))
    assert not list(Path("out").iterdir())


@pytest.mark.parametrize("isolation", ["in_process", "process"])
def test_a_wrong_configuration_has_exit_code_2(isolation: str, project: Path, tap: Any) -> None:
    tap.says(SCHEMA, record(1))
    with pytest.raises(ConfigError, match="`key` is no key"):
        dativo.run(tap.job(target(isolation, config={"path": "out/shop", "key": "none"})))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"connector": "native:./x.py"}, "is no reader in"),
        ({"connector": "singer:target-x"}, "engine `singer` runs no writers"),
        ({"connector": "program:/bin/true", "isolation": "in_process"}, "always a process of its own"),
        ({"connector": "duckdb", "isolation": "process"}, "runs in Dativo's own process"),
    ],
)
def test_what_cannot_be_is_an_error_of_the_job(wrong: dict[str, Any], message: str, project: Path, tap: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        dativo.run(tap.job({**target("process"), **wrong}))
    assert message in caught.value.message


def test_a_program_that_is_killed_has_exit_code_20_and_a_rerun_ends_with_the_same_rows(project: Path, tap: Any) -> None:
    Path("out").mkdir()
    whole = {"connector": program("Killing"), "config": {"path": "out/shop", "key": KEY}}
    tap.says(SCHEMA, record(1), state(1), record(2), state(2))
    Path("job.yaml").write_text(json.dumps(tap.job(whole, checkpoint={"rows": 1}, retry={"attempts": 1})))
    Project(project).dativo("run", "job.yaml")
    Path("kill").touch()
    tap.says(SCHEMA, record(3), state(3), record(4), state(4))
    report = json.loads(Project(project).dativo("run", "job.yaml", "--json", code=20))
    assert "was ended by SIGKILL" in report["error"]["message"]
    assert ids() == [1, 2]
    Project(project).dativo("run", "job.yaml")
    assert ids() == [1, 2, 3, 4]


@pytest.mark.parametrize("how", ["process", "sandbox", "program"])
def test_a_writer_that_hangs_is_ended_with_all_that_it_started(how: str, project: Path, tap: Any) -> None:
    tap.says(SCHEMA, record(1), state(1))
    named = {**target("process"), "connector": program("Hanging")} if how == "program" else target(how, hostile("Hanging"))
    named.pop("isolation", None) if how == "program" else None
    source = {"timeouts": {"stall_seconds": 2, "stop_seconds": 1}}
    Path("job.yaml").write_text(json.dumps(tap.job(named, source=source, retry={"attempts": 1})))
    report = json.loads(Project(project).dativo("run", "job.yaml", "--json", code=75))
    assert "said nothing for 2 s and was ended" in report["error"]["message"]
    assert "stall_seconds" in report["error"]["hint"]
    for mark in ("time.sleep(985.25)", str(project / "mine" / "mine.py")):
        assert _eventually(lambda mark=mark: not running(mark)), mark
    assert not list((project / ".dativo" / "tmp").glob("*/"))


def test_a_writer_that_takes_nothing_is_ended_although_the_pipe_is_full(project: Path, tap: Any) -> None:
    rows = [{"type": "RECORD", "stream": "orders", "record": {"id": n, "name": "x" * 100_000}} for n in range(200)]
    tap.says(SCHEMA, *rows, state(1))
    source = {"timeouts": {"stall_seconds": 2, "stop_seconds": 1}}
    with pytest.raises(TargetError, match="said nothing for 2 s") as caught:
        dativo.run(tap.job(target("process", hostile("Deaf")), source=source, retry={"attempts": 1}))
    assert caught.value.retryable


def test_a_writer_that_logs_while_it_commits_is_not_taken_for_hanging(project: Path, tap: Any) -> None:
    tap.says(SCHEMA, record(1), state(1))
    dativo.run(tap.job(target("process", hostile("Slow")), source={"timeouts": {"stall_seconds": 2}}))
    assert ids() == [1]


@pytest.mark.parametrize("how", ["in_process", "process", "program"])
def test_what_it_refuses_is_dealt_with_before_it_gets_it(how: str, project: Path, tap: Any) -> None:
    nul = {"type": "RECORD", "stream": "orders", "record": {"id": 2, "name": "a\0b"}}
    tap.says(SCHEMA, record(1), nul)
    named = {**target("process"), "connector": program("Refusing")} if how == "program" else target(how, hostile("Refusing"))
    report = dativo.run(tap.job(named))
    assert (report.streams[0].written, report.streams[0].quarantined, ids()) == (1, 1, [1])


@pytest.mark.parametrize("place", ["source", "target"])
def test_a_level_that_cannot_be_had_is_refused_before_anything_runs(
    place: str, project: Path, tap: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = means()
    lacking = {**found.missing, "bwrap": SandboxError("there is no `bwrap` in this test", hint="install bwrap")}
    monkeypatch.setattr(_runtime, "means", lambda: replace(found, bwrap=None, missing=lacking))
    sandbox = {"level": "strict", "files": [{"path": "out", "write": True}]}
    tap.says(SCHEMA, record(1))
    wanted = target("sandbox", hostile("Hanging"), sandbox=sandbox)
    whole = tap.job(wanted if place == "target" else None)
    if place == "source":
        whole["source"] = {"connector": f"native:{hostile('Hanging')}", "isolation": "sandbox", "sandbox": {"level": "strict"}}
    with pytest.raises(SandboxError, match="no sandbox of the level `strict`: there is no `bwrap`") as caught:
        dativo.run(whole)
    assert (caught.value.exit_code, list(Path("out").iterdir())) == (2, [])


def test_a_run_that_is_killed_leaves_no_writer_behind(project: Path, tap: Any) -> None:
    tap.says(SCHEMA, *(record(number) for number in range(3)), "#sleep 30")
    Path("jobs").mkdir()
    job = Path("jobs/shop.yaml")
    job.write_text(json.dumps(tap.job(target("process"), source={"discover": False})))
    process = subprocess.Popen([str(Path(sys.executable).with_name("dativo")), "run", "shop"], stderr=subprocess.DEVNULL)
    writers = _eventually(lambda: _running("encrypted_files.py"))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert writers
    assert _eventually(lambda: not _running("encrypted_files.py"))


def program(name: str) -> str:
    """A writer as a program of its own."""
    Path("writer").write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m dativo_sdk.program "{hostile(name)}" "$@"\n')
    Path("writer").chmod(0o755)
    return "program:./writer"


def _running(name: str) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode(errors="replace")
            if f"{WRITER.parent}/{name}" in command and "\0write\0" in command and os.getcwd() == os.readlink(process / "cwd"):
                found.append(command)
        except OSError:
            continue
    return found


def _eventually(condition: Any, seconds: float = 15.0) -> Any:
    import time

    deadline = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found
