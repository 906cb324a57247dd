"""The strongest level that a machine has is used; one that is demanded and cannot be had is refused, with what is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from dativo_engines import SandboxFile, SandboxOptions
from dativo_engines.plugins import Means
from dativo_protocols import SandboxError

from tests.plugins.conftest import Make

STATUS = """
import json, os
fields = dict(line.split(":", 1) for line in open(f"/proc/{os.getpid()}/status") if ":" in line)
print(json.dumps({name: fields[name].strip() for name in ("CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")}))
"""
READS = """
import json, socket, sys
def tried(action):
    try:
        action()
    except OSError as error:
        return error.strerror
    return "done"
secret, written = sys.argv[1:]
print(json.dumps([
    tried(lambda: open(secret)),
    tried(lambda: open(written, "w")),
    tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)),
]))
"""
NONE = "0" * 16


def test_the_strongest_level_holds_a_plugin_by_all_there_is(plugin: Make, strict: Means) -> None:
    made = plugin(STATUS)
    assert made.run().got == {"CapEff": NONE, "CapBnd": NONE, "CapAmb": NONE, "NoNewPrivs": "1", "Seccomp": "2"}
    assert (made.level, [line for level, line in made.log if level == "warning"]) == ("strict", [])


@pytest.mark.parametrize(
    ("missing", "level"),
    [
        (["landlock"], "namespaces"),
        (["seccomp"], "namespaces"),
        (["bwrap"], "landlock"),
        (["bwrap", "landlock"], "process"),
        (["bwrap", "seccomp"], "process"),
    ],
)
def test_what_is_missing_makes_it_weaker_and_the_log_says_so(
    missing: list[str], level: str, plugin: Make, without: Callable[..., None], strict: Means
) -> None:
    without(*missing)
    made = plugin("print(1)")
    assert (made.run().got, made.level) == (1, level)
    (said, *_) = [line for severity, line in made.log if severity == "warning"]
    reasons = "; ".join(f"there is no `{name}` in this test" for name in missing)
    assert said == f"the plugin's sandbox is only of the level `{level}`: {reasons}"


def test_a_level_that_cannot_be_had_is_refused(plugin: Make, without: Callable[..., None], strict: Means) -> None:
    without("bwrap")
    with pytest.raises(SandboxError) as caught:
        plugin("print(1)", sandbox=SandboxOptions(level="strict")).run()
    assert caught.value.message == "this machine has no sandbox of the level `strict`: there is no `bwrap` in this test"
    assert caught.value.hint == "install bwrap; or demand less: `level: landlock`"
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("level", ["process", "landlock", "namespaces", "strict"])
def test_a_weaker_demand_gets_the_strongest(level: str, plugin: Make, strict: Means) -> None:
    made = plugin("print(1)", sandbox=SandboxOptions(level=level))  # type: ignore[arg-type]
    assert (made.run().got, made.level) == (1, "strict")


def test_landlock_alone_keeps_a_plugin_from_files_and_networks(
    plugin: Make, without: Callable[..., None], strict: Means, tmp_path: Path
) -> None:
    without("bwrap")
    secret, written = tmp_path / "secret", tmp_path / "written"
    secret.write_text("x")
    refused = ["Permission denied", "Permission denied", "Address family not supported by protocol"]
    assert plugin(READS).run(str(secret), str(written)).got == refused
    folder = tmp_path / "out"
    folder.mkdir(mode=0o777)
    declared = SandboxOptions(files=(SandboxFile(secret), SandboxFile(folder, writable=True)), network="all")
    made = plugin(READS, sandbox=declared)
    assert made.run(str(secret), str(folder / "written")).got[0::2] == ["done", "done"]
    assert ("warning", "`network: all`: the plugin shares this machine's network") in made.log


def test_nothing_is_left_of_a_plugin_without_a_system_of_its_own(
    plugin: Make, without: Callable[..., None], strict: Means
) -> None:
    without("bwrap", "landlock")
    code = "import os, json; os.makedirs(os.environ['HOME'] + '/a/b'); print(json.dumps(os.environ['HOME']))"
    home = Path(plugin(code).run().got)
    assert (home.name, home.exists(), home.parent.exists()) == ("tmp", False, False)
