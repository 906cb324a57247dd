"""The sandbox confines as well where Dativo runs as an ordinary user, and where it may make no control groups."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
ROOT = Path(__file__).parents[2]
NOBODY = 65534
ATTEMPTS = """
import json, pathlib, sys
from dativo_engines import ContainerOptions
from tests.sandbox.sources import SandboxSource
image, folder, *attempts = sys.argv[1:]
container = ContainerOptions(network="none", memory_bytes=256 << 20, pids=64, tmp_bytes=16 << 20, cpus=1.0)
source = SandboxSource(image, pathlib.Path(folder), cache=pathlib.Path(folder), container=container)
answers = {name: source.attempt(name, half="x", host="192.0.2.1", port=80) for name in attempts}
said = {name: [answer.error, answer.exit.cause] for name, answer in answers.items()}
print(json.dumps({**said, "log": [line for level, line in source.log if level == "warning"]}))
"""
Try = Callable[..., dict[str, Any]]


@pytest.fixture
def attempts(image: Callable[[str], Path]) -> Iterator[Try]:
    """Lets the misbehaving source try, in a process with these options of `confined.py`."""
    folder = Path(tempfile.mkdtemp(prefix="dativo-test-"))
    os.chown(folder, NOBODY, NOBODY)
    archive = image("hostile")

    def run(*names: str, options: list[str]) -> dict[str, Any]:
        seen = [f"--show={path}" for path in (sys.base_prefix, sys.prefix, ROOT, archive.parent)]
        command = [sys.executable, str(Path(__file__).with_name("confined.py")), *seen, *options, "--"]
        command += [sys.executable, "-c", ATTEMPTS, str(archive), str(folder), *names]
        ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, "HOME": str(folder)})
        assert ended.returncode == 0, ended.stderr
        found: dict[str, Any] = json.loads(ended.stdout)
        return found

    yield run
    shutil.rmtree(folder)


def test_an_ordinary_users_sandbox_confines_too(attempts: Try) -> None:
    names = ("write_root", "write_disk", "own_file", "network", "setuid", "capabilities", "other_run", "fork", "fill_tmp")
    said = attempts(*names, options=[f"--user={NOBODY}"])
    assert [name for name in names if not said[name][0].startswith("cannot ")] == []
    assert said["capabilities"][0].endswith(f"CapEff {0:016}, CapBnd {0:016}, CapPrm {0:016}, NoNewPrivs 1, Seccomp 2")


@pytest.mark.parametrize("user", [[f"--user={NOBODY}"], []], ids=["nobody", "root"])
def test_without_control_groups_processes_limits_hold_and_the_log_says_what_is_weaker(attempts: Try, user: list[str]) -> None:
    said = attempts("memory", "fork", options=[*user, "--hide=/sys/fs/cgroup"])
    assert said["memory"][1] == "out of memory: its limit is 256 MiB for each process"
    assert said["fork"][0].startswith("cannot fork after ")
    assert said["log"][0] == "no control group can be made: the memory limit of 256 MiB holds for each process by itself"
    assert ("holds for all of the user's" in said["log"][1]) == bool(user)


def test_a_machine_without_user_namespaces_is_told_what_to_set(attempts: Try, image: Callable[[str], Path]) -> None:
    setting = Path("/proc/sys/user/max_user_namespaces")
    code = f"""
import ctypes, os, pathlib
from dativo_engines.sandbox._bubblewrap import probe
from dativo_protocols import SandboxError
libc = ctypes.CDLL(None)
uid = os.getuid()
assert libc.unshare(0x10000000) == 0
pathlib.Path("/proc/self/uid_map").write_text(f"0 {{uid}} 1")
pathlib.Path({str(setting)!r}).write_text("0")
try:
    probe("/usr/bin/bwrap", None)
except SandboxError as error:
    print(error.message, error.hint)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "the kernel does not allow user namespaces" in said.stdout, said
    assert "as root: `sysctl -w user.max_user_namespaces=15000`" in said.stdout
