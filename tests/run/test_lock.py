from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from dativo_protocols import DativoError, StateError
from dativo_sdk import JobKey

from dativo._lock import JobLock

JOB = JobKey("acme", "orders")
HOLD = (
    "import sys, time, pathlib; from dativo._lock import JobLock; from dativo_sdk import JobKey;"
    "lock = JobLock(pathlib.Path(sys.argv[1]), JobKey('acme', 'orders'), 'first'); lock.__enter__();"
    "print('held', flush=True); time.sleep(60)"
)


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


def test_the_second_run_is_told_who_is_first(tmp_path: Path, holder: subprocess.Popen[bytes]) -> None:
    with pytest.raises(
        DativoError, match=f"`acme/orders` is running already: run first, process {holder.pid}, started"
    ) as caught:
        JobLock(tmp_path, JOB, "second").__enter__()
    assert caught.value.exit_code == 75
    assert caught.value.facts["run_id"] == "first"


def test_waiting_ends(tmp_path: Path, holder: subprocess.Popen[bytes]) -> None:
    started = time.monotonic()
    with pytest.raises(DativoError, match=r"already after 0.3 s"):
        JobLock(tmp_path, JOB, "second", wait_seconds=0.3).__enter__()
    assert time.monotonic() - started >= 0.3


def test_waiting_succeeds_when_the_first_is_killed(tmp_path: Path, holder: subprocess.Popen[bytes]) -> None:
    os.kill(holder.pid, signal.SIGKILL)
    with JobLock(tmp_path, JOB, "second", wait_seconds=30) as lock:
        assert f'"pid": {os.getpid()}' in lock.path.read_text()


def test_other_jobs_and_tenants_go_on(tmp_path: Path, holder: subprocess.Popen[bytes]) -> None:
    with JobLock(tmp_path, JobKey("acme", "other"), "r"), JobLock(tmp_path, JobKey("other", "orders"), "r"):
        pass


def test_a_lock_that_was_left_can_be_taken_again(tmp_path: Path) -> None:
    for run in ("first", "second"):
        with JobLock(tmp_path, JOB, run):
            pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_project_that_cannot_be_written_is_an_error_with_a_hint(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StateError, match=r"cannot write `.*acme@orders.lock`: Permission denied") as caught:
        JobLock(tmp_path / "locks", JOB, "r").__enter__()
    assert caught.value.hint is not None


def test_a_disk_without_room_for_the_lock_is_no_bug(tmp_path: Path) -> None:
    # A limit on the size of files stands in for the full disk.
    script = (
        "import resource, sys, pathlib; from dativo._lock import JobLock; from dativo_sdk import JobKey;"
        "from dativo_protocols import StateError;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0));"
        "lock = JobLock(pathlib.Path(sys.argv[1]), JobKey('acme', 'orders'), 'first')\n"
        "try: lock.__enter__()\n"
        "except StateError as error: print(error.message)"
    )
    said = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True).stdout
    assert said == f"cannot write `{tmp_path}/acme@orders.lock`: File too large\n"
