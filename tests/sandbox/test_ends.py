"""However a run ends, nothing of its sandbox is left: no process, no control group, no mount, no file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dativo_engines import ContainerOptions
from dativo_engines._private import PrivateDirectory

from tests.sandbox.sources import SandboxSource, cache_dir

Make = Callable[..., SandboxSource]
RUN = """
import contextlib, os, pathlib, sys, time
from tests.sandbox.sources import SandboxSource
image, folder, cache, attempt = sys.argv[1:]
source = SandboxSource(image, pathlib.Path(folder), cache=pathlib.Path(cache))
with source.running(config={"attempt": attempt, "deaf": True}) as running:
    os.read(running.stdout, 1)
    print(running.pid, flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        time.sleep(600)
"""


def groups(folder: Path) -> list[Path]:
    """The control groups of the runs that keep their private files in this folder."""
    return [link.readlink() for link in folder.glob("private/run-*/group-*")]


def gone(look: Callable[[], object], seconds: float = 15.0) -> bool:
    """Whether there is nothing to see any more, soon."""
    until = time.monotonic() + seconds
    while look() and time.monotonic() < until:
        time.sleep(0.05)
    return not look()


@pytest.fixture
def dativo(image: Callable[[str], Path], tmp_path: Path, source: Make) -> Iterator[subprocess.Popen[str]]:
    """A run in a process of its own; its source is deaf to SIGTERM and waits for ever."""
    source("hostile").attempt("identity")
    command = [sys.executable, "-c", RUN, str(image("hostile")), str(tmp_path), str(cache_dir()), "wait"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip().isdigit()
        assert len(children(process.pid)) == 4
        made = groups(tmp_path)
        assert os.geteuid() != 0 or all(path.exists() for path in made)
        yield process
        process.send_signal(signal.SIGINT)
    assert gone(lambda: [group for group in made if group.exists()])


def children(pid: int) -> list[int]:
    """Every descendant: the guardian, bwrap outside and inside, the program."""
    born = [int(word) for task in Path(f"/proc/{pid}/task").iterdir() for word in (task / "children").read_text().split()]
    return born + [further for child in born for further in children(child)]


def test_killing_dativo_ends_everything(dativo: subprocess.Popen[str], tmp_path: Path) -> None:
    started = children(dativo.pid)
    dativo.kill()
    assert gone(lambda: [pid for pid in started if Path(f"/proc/{pid}").exists()])
    assert gone(lambda: list((tmp_path / "private").glob("run-*")))
    assert str(cache_dir()) not in Path("/proc/self/mountinfo").read_text()


def test_killing_the_guardian_ends_the_sandbox(dativo: subprocess.Popen[str]) -> None:
    guardian, *sandboxed = children(dativo.pid)
    os.kill(guardian, signal.SIGKILL)
    assert gone(lambda: [pid for pid in sandboxed if Path(f"/proc/{pid}").exists()])


def test_what_two_killings_at_once_leave_the_next_run_removes(dativo: subprocess.Popen[str], tmp_path: Path) -> None:
    guardian, *sandboxed = children(dativo.pid)
    dativo.send_signal(signal.SIGSTOP)
    os.kill(guardian, signal.SIGKILL)
    dativo.kill()
    assert gone(lambda: [pid for pid in sandboxed if Path(f"/proc/{pid}").exists()])
    left = list((tmp_path / "private").glob("run-*"))
    assert len(left) == 1
    PrivateDirectory(tmp_path / "private").close()
    assert not left[0].exists()


def test_leaving_the_block_ends_it(source: Make, tmp_path: Path) -> None:
    with source("hostile").running(config={"attempt": "wait", "deaf": True}) as running:
        os.read(running.stdout, 1)
        started = [running.pid, *children(running.pid)]
        assert len(started) == 3
        made = groups(tmp_path)
    assert [pid for pid in started if Path(f"/proc/{pid}").exists()] == []
    assert ([group for group in made if group.exists()], list((tmp_path / "private").glob("run-*"))) == ([], [])


def test_a_stop_ends_it_and_says_so(source: Make) -> None:
    with source("hostile").running(config={"attempt": "wait"}) as running:
        os.read(running.stdout, 1)
        running.stop()
        ended = running.wait(20)
    assert ended is not None
    assert (ended.code, ended.signal) in ((None, signal.SIGTERM), (128 + signal.SIGTERM, None))


@pytest.mark.parametrize(("leave", "code"), [({"code": 7}, 7), ({"signal": 11}, 139), ({"signal": 9}, 137)])
def test_the_exit_code_is_the_programs(source: Make, leave: dict[str, int], code: int) -> None:
    answer = source("hostile").attempt("leave", **leave, words="ERROR the key is wrong")
    assert (answer.exit.code, answer.exit.cause) == (code, None)
    assert answer.stderr == ["ERROR the key is wrong"]


def test_what_it_used_is_known(source: Make) -> None:
    ended = source("hostile", container=ContainerOptions(network="none", memory_bytes=1 << 30)).attempt("fill_tmp").exit
    assert ended.max_rss_bytes > 4 << 20
    assert ended.cpu_seconds > 0.01


def test_two_runs_at_once_share_the_image_and_nothing_else(source: Make) -> None:
    first, second = source("hostile"), source("hostile")
    with (
        first.running(config={"attempt": "wait", "name": 1}) as one,
        second.running(config={"attempt": "wait", "name": 2}) as two,
    ):
        users = []
        for running in (one, two):
            os.read(running.stdout, 1)
            users.append(Path(f"/proc/{running.pid}").stat().st_uid)
    assert os.geteuid() != 0 or (users[0] != users[1] and 0 not in users)


def test_a_slow_reader_holds_it_back(source: Make) -> None:
    with source("hostile").running(config={"attempt": "flood", "tell": 1 << 18}) as running:
        time.sleep(1.0)
        written = [int(line.split()[1]) for line in running.stderr_tail if line.startswith("written ")]
        assert max(written) <= 2 << 20


def test_a_long_line_comes_whole(source: Make) -> None:
    assert len(source("hostile").attempt("long_line", bytes=5 << 20).got) == 5 << 20
