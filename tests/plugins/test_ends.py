"""However a run ends, nothing of its plugin is left: no process, no relay, no control group, no mount, no file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dativo_engines import SandboxOptions
from dativo_engines._private import PrivateDirectory

from tests.plugins.conftest import Make
from tests.sandbox.test_ends import children, gone

pytestmark = pytest.mark.usefixtures("strict")
ROOT = Path(__file__).parents[2]
DEAF = """
import os, signal, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
os.makedirs(os.environ["TMPDIR"] + "/a/b", exist_ok=True)
if os.fork() == 0:
    os.setsid()
    os.fork()
else:
    time.sleep(0.3)
    print("up", flush=True)
time.sleep(600)
"""
RUN = """
import contextlib, os, pathlib, sys, time
from dativo_engines import SandboxOptions
from dativo_engines.plugins import Means, _runtime, means
from dativo_protocols import SandboxError
from tests.plugins.plugin import Plugin
folder, level = pathlib.Path(sys.argv[1]), sys.argv[2]
if level == "landlock":
    less = Means(None, means().landlock, True, {"bwrap": SandboxError("none")})
    _runtime.means = lambda: less
plugin = Plugin(folder / "plugin.py", folder, SandboxOptions(network=("localhost:9",)), stop_timeout_seconds=1.0)
with plugin.running() as running:
    os.read(running.stdout, 1)
    print(running.pid, flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        time.sleep(600)
"""


@pytest.fixture(params=["strict", "landlock"])
def dativo(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A run in a process of its own; its plugin is deaf to signals, has left children, and has a relay where it is strict."""
    (tmp_path / "plugin.py").write_text(DEAF)
    command = [sys.executable, "-c", RUN, str(tmp_path), request.param]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip().isdigit()
        # The guardian, bwrap outside and inside, the relay, and the plugin's three; without bwrap, the guardian and the three.
        assert len(children(process.pid)) == (7 if request.param == "strict" else 4)
        elsewhere = [link.readlink() for link in tmp_path.glob("private/run-*/*-*") if link.is_symlink()]
        assert os.geteuid() != 0 or elsewhere
        yield process
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
    assert gone(lambda: [path for path in elsewhere if path.exists()])


def test_killing_dativo_ends_everything(dativo: subprocess.Popen[str], tmp_path: Path) -> None:
    started = children(dativo.pid)
    dativo.kill()
    assert gone(lambda: [pid for pid in started if Path(f"/proc/{pid}").exists()])
    assert gone(lambda: list((tmp_path / "private").glob("run-*")))


def test_killing_the_guardian_ends_the_sandbox_and_the_rest_goes_with_the_run(dativo: subprocess.Popen[str]) -> None:
    guardian, *others = children(dativo.pid)
    os.kill(guardian, signal.SIGKILL)
    assert gone(lambda: [pid for pid in others if Path(f"/proc/{pid}").exists()])


def test_what_two_killings_at_once_leave_the_next_run_removes(dativo: subprocess.Popen[str], tmp_path: Path) -> None:
    guardian, *others = children(dativo.pid)
    dativo.send_signal(signal.SIGSTOP)
    os.kill(guardian, signal.SIGKILL)
    dativo.kill()
    dativo.wait()
    PrivateDirectory(tmp_path / "private").close()
    assert gone(lambda: [pid for pid in others if Path(f"/proc/{pid}").exists()])
    assert list((tmp_path / "private").glob("run-*")) == []


def test_an_interrupted_run_leaves_nothing(dativo: subprocess.Popen[str], tmp_path: Path) -> None:
    started = children(dativo.pid)
    dativo.send_signal(signal.SIGINT)
    assert dativo.wait(20) == 0
    assert [pid for pid in started if Path(f"/proc/{pid}").exists()] == []
    assert list((tmp_path / "private").glob("run-*")) == []


@pytest.mark.parametrize("missing", [(), ("bwrap",)], ids=["strict", "landlock"])
def test_a_plugin_can_end_well_when_it_is_asked_to(plugin: Make, without: Callable[..., None], missing: tuple[str, ...]) -> None:
    if missing:
        without(*missing)
    code = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b"last words\\n"), sys.exit(5)))
print("up", flush=True)
time.sleep(60)
"""
    with plugin(code, sandbox=SandboxOptions(network=("localhost:9",))).running() as process:
        heard = os.read(process.stdout, 3)
        process.stop()
        ended = process.wait(20)
        while data := os.read(process.stdout, 100):
            heard += data
    assert (heard, ended and ended.code) == (b"up\nlast words\n", 5), process.stderr_tail


def test_a_run_with_a_relay_ends_at_once(plugin: Make) -> None:
    made = plugin("print(1)", sandbox=SandboxOptions(network=("localhost:9",)))
    with made.running() as process:
        assert os.read(process.stdout, 10) == b"1\n"
        assert process.wait(20) is not None
        ended = time.monotonic()
    assert time.monotonic() - ended < 0.8
