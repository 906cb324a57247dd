"""The sandbox confines a plugin as well where Dativo runs as an ordinary user, or has no namespaces, or no control groups.

Everything that is attacked belongs to that very user.
"""

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

from tests.plugins.hostile import ATTACKS
from tests.plugins.test_hostile import ENDED

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else"),
    pytest.mark.usefixtures("strict"),
]
ROOT = Path(__file__).parents[2]
CONFINED = ROOT / "tests" / "sandbox" / "confined.py"
NOBODY = 65534
ATTEMPTS = """
import json, pathlib, sys, time
from dativo_engines import SandboxFile, SandboxOptions
from dativo_engines.plugins import Means, _runtime, means
from dativo_protocols import SandboxError
from tests.plugins.host import host
from tests.plugins.plugin import HOSTILE, Plugin
from tests.plugins.test_hostile import SMALL
folder, level, *names = sys.argv[1:]
folder = pathlib.Path(folder)
if level == "landlock":
    less = Means(None, means().landlock, True, {"bwrap": SandboxError("there is no `bwrap` in this test")})
    _runtime.means = lambda: less
said = {}
with host(folder / "host") as (config, service):
    files = (SandboxFile(pathlib.Path(config["writable"]), writable=True),)
    for name in names:
        seconds = {"seconds": 2.0} if name == "never_end" else {}
        plugin = Plugin(HOSTILE, folder, SandboxOptions(**{**SMALL, "files": files, **seconds}))
        answer = plugin.attack(name, config)
        said[name] = answer.stdout.decode()[:500] if answer.exit.code == 0 else answer.failure.message
        if name == "outlive_its_parent":
            alive = pathlib.Path(config["writable"], "alive")
            before = alive.stat().st_size
            time.sleep(0.4)
            said[name] = [before > 0, alive.stat().st_size == before]
    said["level"], said["log"] = plugin.level, [line for level, line in plugin.log if level == "warning"]
    said["arrived"] = len(service.arrived)
print(json.dumps(said))
"""
Try = Callable[..., dict[str, Any]]


@pytest.fixture
def attacks() -> Iterator[Try]:
    """Lets the hostile plugin try, in a process with these options of `confined.py`."""
    folder = Path(tempfile.mkdtemp(prefix="dativo-test-"))

    def run(*names: str, options: list[str], level: str = "strict") -> dict[str, Any]:
        if any(option.startswith("--user") for option in options):
            os.chown(folder, NOBODY, NOBODY)
        seen = [f"--show={path}" for path in (sys.base_prefix, sys.prefix, ROOT)]
        command = [
            sys.executable,
            str(CONFINED),
            *seen,
            *options,
            "--",
            sys.executable,
            "-c",
            ATTEMPTS,
            str(folder),
            level,
            *names,
        ]
        environment = {**os.environ, "HOME": str(folder), "SECRET": "half-of-the-host"}
        ended = subprocess.run([*command, *names], capture_output=True, text=True, cwd=ROOT, env=environment)
        assert ended.returncode == 0, ended.stderr
        found: dict[str, Any] = json.loads(ended.stdout)
        return found

    yield run
    shutil.rmtree(folder)


def failed(said: dict[str, Any], names: list[str]) -> list[str]:
    """The attacks that did."""
    return [name for name in names if "failed: cannot " in said[name]]


# Only a control group counts the time of a child that lives for a moment.
HELD = [name for name in ENDED if name != "use_processors_without_end"]
REFUSED = [name for name in ATTACKS if name not in (*ENDED, "reach_past_a_declared_host", "outlive_its_parent")]


def test_every_attack_fails_for_an_ordinary_users_plugin(attacks: Try) -> None:
    said = attacks(*REFUSED, "outlive_its_parent", *HELD, options=[f"--user={NOBODY}"])
    assert {name: said[name] for name in REFUSED if name not in failed(said, REFUSED)} == {}
    assert said["outlive_its_parent"] == [True, True]
    assert (said["level"], said["arrived"]) == ("strict", 0)
    memory = {"fill_memory": "out of memory: its limit is 192 MiB for each process"}
    assert {name: said[name] for name in HELD if {**ENDED, **memory}[name] not in said[name]} == {}


@pytest.mark.parametrize("user", [[f"--user={NOBODY}"], []], ids=["nobody", "root"])
def test_landlock_alone_holds_what_it_says(attacks: Try, user: list[str]) -> None:
    # What there is no namespace for: it sees names of processes; a process that left its group lives until the run ends.
    names = [name for name in REFUSED if name not in ("fill_tmp", "read_homes")]
    said = attacks(*names, "outlive_its_parent", options=user, level="landlock")
    assert {name: said[name] for name in names if name not in failed(said, names)} == {}
    assert said["outlive_its_parent"] == [True, True]
    assert (said["level"], said["arrived"]) == ("landlock", 0)


def test_without_control_groups_processes_limits_hold_for_roots_plugin(attacks: Try) -> None:
    names = ["fork_without_end", "start_threads_without_end", "fill_memory"]
    said = attacks(*names, options=["--hide=/sys/fs/cgroup"])
    assert failed(said, names) == names[:2]
    assert "out of memory: its limit is 192 MiB for each process" in said["fill_memory"]
    assert said["log"] == ["no control group can be made: the memory limit of 192 MiB holds for each process by itself"]
