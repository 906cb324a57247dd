"""What happens to whole runs when the disk, the permissions, the clock or another run are against them: one body for all targets.

Servers and networks that fail are in `tests/crash/matrix`.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.crash.matrix.places import Place, opened
from tests.servers.postgres import PostgresServer

DATIVO = Path(sys.executable).with_name("dativo")
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
FILES = ("parquet", "jsonl", "csv", "arrow")
LOCAL = ("duckdb", *FILES, "delta", "iceberg")
TARGETS = [*LOCAL, pytest.param("postgres", marks=pytest.mark.server)]
ROWS, STOP, KEYS = 1200, 600, 900
TARGET_ERROR, TRY_AGAIN = 20, 75
AS_OTHERS = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.getuid() == 0 else ()
"""Has root's process held to modes, as everybody's are."""
SECONDS = 60.0
SMALL = {"parquet": "2m", "arrow": "2m"}
"""Sizes of disks that are full in the middle."""

TAP = """#!/usr/bin/env python3
import base64, json, pathlib, random, sys, time
arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
config = json.loads(pathlib.Path(arguments["--config"]).read_text())
state = json.loads(pathlib.Path(arguments["--state"]).read_text()) if "--state" in arguments else {}
schema = {"properties": {"id": {"type": "integer"}, "n": {"type": "integer"}, "note": {"type": "string"}}}
cursor = {"bookmark_properties": ["n"]} if config["cursor"] else {}
def say(**message):
    sys.stdout.write(json.dumps(message) + "\\n")
say(type="SCHEMA", stream="orders", schema=schema, key_properties=["id"], **cursor)
for n in range(state.get("n", 0), config["rows"]):
    if n == config["stop"] > 0:
        meeting = pathlib.Path(config["meeting"])
        (meeting / "here").touch()
        while not (meeting / "go").exists():
            time.sleep(0.02)
    note = base64.b64encode(random.Random(n).randbytes(config["bytes"])).decode()
    say(type="RECORD", stream="orders", record={"id": n % config["keys"], "n": n, "note": note})
    if (n + 1) % 100 == 0:
        say(type="STATE", value={"n": n + 1})
        sys.stdout.flush()
        time.sleep(0.02)
"""


class Job:
    """A job in a folder, whose target is on a disk of its own."""

    def __init__(self, place: Place, folder: Path, disk: Path | None = None) -> None:
        self.place, self.folder, self.disk = place, folder, disk or folder / "disk"
        folder.mkdir(exist_ok=True)
        self.disk.mkdir(exist_ok=True)
        tap = folder / "tap"
        tap.write_text(TAP)
        tap.chmod(0o755)
        self.set()

    @property
    def append(self) -> bool:
        return self.place.name in FILES

    def set(self, rows: int = ROWS, *, stop: int = 0, size: int = 30, write: str = "", config: Mapping[str, Any] = {}) -> None:
        """What the next run reads and how it writes.

        Args:
            stop: Before it sends this row, the tap waits for `go_on`; 0 for never.
            size: Bytes of a row, about.
        """
        self.write = write or ("append" if self.append else "merge")
        options = {"rows": rows, "stop": stop, "bytes": size, "keys": KEYS, "meeting": str(self.folder)}
        options |= {"cursor": write != "scd2"}
        target = {"connector": self.place.connector, "config": {**self.place.config(self.disk), **config}, "write": self.write}
        job = {
            "name": "adversity",
            "source": {"connector": f"singer:{self.folder / 'tap'}", "config": options, "discover": False},
            "target": target,
            "checkpoint": {"rows": 200},
            "retry": {"attempts": 1},
        }
        (self.folder / "job.yaml").write_text(json.dumps(job))

    def start(self, prefix: Sequence[str] = (), **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*prefix, str(DATIVO), "run", "job.yaml"],
            cwd=self.folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, code: int | tuple[int, ...] = 0, prefix: Sequence[str] = (), **environment: str) -> str:
        """Runs to the end; what it said, which is never a traceback, and after a failure has an advice."""
        return said(self.start(prefix, **environment), code)

    @contextlib.contextmanager
    def halfway(self) -> Iterator[subprocess.Popen[str]]:
        """A run whose tap waits after `STOP` rows, or before it sends any if they are there already."""
        self.set(stop=STOP)
        with _ended(self.start()) as process:
            until(lambda: (self.folder / "here").exists() or process.poll() is not None)
            yield process

    def go_on(self) -> None:
        """Lets the tap send the rest."""
        (self.folder / "go").touch()

    def rows(self) -> list[tuple[int, int]]:
        """`id` and `n` of every row that is there."""
        return sorted((row["id"], row["n"]) for row in self.table())

    def table(self) -> list[dict[str, Any]]:
        table = self.place.tables(self.disk).get("orders")
        return [] if table is None else table.to_pylist()

    def expected(self, rows: int = ROWS) -> list[tuple[int, int]]:
        """What is there when nothing happens to a run."""
        sent = [(n % KEYS, n) for n in range(rows)]
        return sorted(sent if self.append else dict(sent).items())


@contextlib.contextmanager
def _ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """Ends it, whatever happens to the test."""
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def said(process: subprocess.Popen[str], code: int | tuple[int, ...] = 0) -> str:
    text, _ = process.communicate(timeout=SECONDS)
    assert process.returncode in (code if isinstance(code, tuple) else (code,)), f"exited {process.returncode}\n{text}"
    assert "Traceback" not in text
    assert process.returncode == 0 or "hint" in text, text
    return text


def until(done: Any, seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Place]]:
    """Places that have a server, each opened once."""
    with contextlib.ExitStack() as stack:

        class Opened(dict[str, Place]):
            def __missing__(self, name: str) -> Place:
                self[name] = stack.enter_context(opened(name))
                return self[name]

        yield Opened()


@pytest.fixture
def job(target: str, servers: dict[str, Place], tmp_path: Path) -> Job:
    return Job(servers[target], tmp_path / "project", tmp_path / "disk")


@contextlib.contextmanager
def mounted(what: Sequence[str], path: Path) -> Iterator[None]:
    mount = subprocess.run(["mount", *what, path], capture_output=True, text=True)
    if mount.returncode:
        pytest.skip(f"needs the right to mount: {mount.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", path], check=True)


def remount(path: Path, options: str) -> bool:
    return not subprocess.run(["mount", "-o", f"remount,{options}", path], capture_output=True).returncode


@contextlib.contextmanager
def small_disk_of(job: Job, size: str) -> Iterator[Path]:
    """The target's data is on a disk of its own; its path."""
    server = job.place.server
    if not isinstance(server, PostgresServer):
        with mounted(["-t", "tmpfs", "-o", f"size={size}", "tmpfs"], job.disk):
            yield job.disk
        return
    disk = server.log.parent / "small"
    disk.mkdir()
    with mounted(["-t", "tmpfs", "-o", f"size={size}", "tmpfs"], disk):
        owner = server.log.parent / "data"
        space = disk / "tablespace"
        space.mkdir(mode=0o700)
        shutil.chown(space, owner.owner(), owner.group())
        server.sql(f"create tablespace small location '{space}'")
        server.sql("alter database postgres set default_tablespace = small")
        try:
            yield disk
        finally:
            server.sql("alter database postgres reset default_tablespace")
            server.sql(f'drop schema "{job.place.config(job.disk)["schema"]}" cascade')
            server.sql("drop tablespace small")


@contextlib.contextmanager
def read_only(job: Job) -> Iterator[None]:
    """The target's disk or server."""
    if isinstance(job.place.server, PostgresServer):
        with job.place.server.connect() as connection:
            connection.execute("alter system set default_transaction_read_only = on")
            connection.execute("select pg_reload_conf()")
            yield
            connection.execute("set default_transaction_read_only = off")
            connection.execute("alter system reset default_transaction_read_only")
            connection.execute("select pg_reload_conf()")
    else:
        # The disk itself cannot be made read-only while files are open for writing, as locks are; what lies above it can.
        with mounted(["--bind", str(job.disk)], job.disk):
            assert remount(job.disk, "ro,bind")
            yield


@contextlib.contextmanager
def forbidden(path: Path) -> Iterator[None]:
    """Nobody may write there, and to no file or folder below it."""
    if os.getuid() == 0 and not shutil.which("setpriv"):
        pytest.skip("root may write anywhere, unless it drops that right with `setpriv`")
    modes = {each: each.stat().st_mode for each in (path, *path.rglob("*"))}
    try:
        for each, mode in modes.items():
            each.chmod(mode & ~0o222)
        yield
    finally:
        for each, mode in modes.items():
            each.chmod(mode)


@pytest.mark.parametrize("target", TARGETS)
def test_a_disk_that_becomes_full(job: Job) -> None:
    with small_disk_of(job, SMALL.get(job.place.name, "3m")) as disk:
        job.set(rows=300)
        job.run()
        job.set(size=3000)
        text = job.run(TRY_AGAIN)
        assert "is full" in text or (f"`{job.disk}" in text and "No space left on device" in text)
        assert "free some space" in text
        assert job.rows() == job.expected(300)

        assert remount(disk, "size=200m")
        job.run()
        assert job.rows() == job.expected()


@pytest.mark.parametrize("target", TARGETS)
def test_a_disk_that_becomes_read_only(job: Job) -> None:
    job.set(rows=STOP)
    job.run()
    with job.halfway() as process, read_only(job):
        job.go_on()
        text = said(process, TARGET_ERROR)
        assert "ead-only" in text or "no permission" in text
        assert job.place.server or f"`{job.disk}" in text
    assert job.rows() == job.expected(STOP)
    job.run()
    assert job.rows() == job.expected()


# What a run may not write to.
REFUSED = [
    ("duckdb", "disk"),
    ("duckdb", "disk/out.duckdb"),
    *((target, "disk/out") for target in (*FILES, "delta", "iceberg")),
    ("parquet", "disk/out/orders"),
    ("parquet", "disk/out/_dativo/lock"),
    ("jsonl", "disk/out/_dativo/commits"),
    ("csv", "disk/out/_dativo/jobs"),
    ("delta", "disk/out/_dativo/staging"),
    ("delta", "disk/out/orders/_delta_log"),
    ("iceberg", "disk/out/catalog.db"),
    ("iceberg", "disk/out/default/orders/metadata"),
    ("jsonl", "project/.dativo/locks"),
    ("jsonl", "project/.dativo/state.sqlite"),
]


@pytest.mark.parametrize(("target", "path"), REFUSED)
def test_no_permission(job: Job, tmp_path: Path, path: str) -> None:
    job.set(rows=STOP)
    job.run()
    with forbidden(tmp_path / path):
        job.set()
        text = job.run(TARGET_ERROR, AS_OTHERS)
        assert str(tmp_path / path).removesuffix("/metadata") in text
    assert job.rows() == job.expected(STOP)
    job.run()
    assert job.rows() == job.expected()


@pytest.mark.parametrize("target", ["duckdb", "csv", "delta", "iceberg"])
def test_no_permission_to_make_the_first_folder(job: Job) -> None:
    with forbidden(job.disk):
        assert f"`{job.disk}" in job.run(TARGET_ERROR, AS_OTHERS)
    job.run()
    assert job.rows() == job.expected()


@pytest.mark.parametrize("target", TARGETS)
def test_two_runs_at_once_from_two_projects(job: Job, tmp_path: Path) -> None:
    """One project's lock is not seen by the other: the target itself decides, and either it refuses the second or the first."""
    other = Job(job.place, tmp_path / "other", job.disk)
    with job.halfway() as first, _ended(other.start()) as second:
        second.wait(SECONDS)
        job.go_on()
        said(first, TRY_AGAIN if second.returncode == 0 else 0)
        said(second, (0, TRY_AGAIN))
    assert job.rows() == job.expected()
    job.run()
    assert job.rows() == job.expected()


def test_two_runs_at_once_in_one_project(tmp_path: Path) -> None:
    with opened("jsonl") as place:
        job = Job(place, tmp_path / "project")
        with job.halfway() as first:
            assert "is running already" in job.run(TRY_AGAIN)
            job.go_on()
            said(first)
    assert job.rows() == job.expected()


def an_hour_back() -> dict[str, str]:
    """The environment of a process for which it is an hour earlier."""
    if FAKETIME is None:
        pytest.skip("needs Debian's package `faketime`, which `scripts/servers.sh` installs")
    return {"LD_PRELOAD": str(FAKETIME), "FAKETIME": "-1h", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


@pytest.mark.parametrize("target", TARGETS)
def test_a_clock_that_is_set_back(job: Job) -> None:
    """An hour back for the second of three runs, and right again for the last."""
    for rows, environment in ((500, {}), (1000, an_hour_back()), (ROWS, {})):
        job.set(rows)
        said(job.start((), **environment))
        assert job.rows() == job.expected(rows)


@pytest.mark.parametrize("target", ["duckdb", "delta", "iceberg"])
def test_versions_of_rows_when_the_clock_is_set_back(job: Job) -> None:
    """Without a cursor, versions get the moment of their commit. PostgreSQL takes it from the server's clock."""
    for rows, environment in ((100, {}), (1000, an_hour_back()), (1900, {})):
        job.set(rows, write="scd2")
        said(job.start((), **environment))
    versions: dict[int, list[dict[str, Any]]] = {}
    for row in sorted(job.table(), key=lambda row: row["n"]):
        versions.setdefault(row["id"], []).append(row)
    assert [row["n"] for row in versions[0]] == [0, 900, 1800]
    for rows_of_one in versions.values():
        for row, after in itertools.pairwise(rows_of_one):
            assert row["_dativo_valid_from"] <= row["_dativo_valid_to"] == after["_dativo_valid_from"]
        assert rows_of_one[-1]["_dativo_valid_to"] is None
