"""Images of one static program, made here: how they are started, and what they see."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from dativo_engines import ContainerOptions
from dativo_engines._failure import connector_failure

from engines.tests.sandbox_archives import Entry, ImageFiles, directory, file, layer, link, write_tar
from tests.sandbox.sources import SandboxSource

Run = Callable[..., str]
SHELL = ["/bin/sh", "-c"]
LINKS = ("sh", "cat", "echo", "env", "grep", "hostname", "id", "ls", "nslookup", "ps", "pwd", "sleep", "stat", "wget", "nc")


@pytest.fixture(scope="session")
def busybox() -> Path:
    found = shutil.which("busybox")
    if found is None or "not a dynamic" not in subprocess.run(["ldd", found], capture_output=True, text=True).stderr:
        pytest.skip("a static busybox is not installed: `apt install busybox-static`")
    return Path(found)


@pytest.fixture
def small(busybox: Path, source: Callable[..., SandboxSource], tmp_path: Path) -> Callable[..., SandboxSource]:
    """Makes a source from a script for the shell and an image's configuration."""

    def make(script: str | Sequence[str], *entries: Entry, config: dict[str, Any] | None = None, **options: Any) -> SandboxSource:
        programs = [file("bin/busybox", busybox.read_bytes(), mode=0o755)]
        programs += [link(f"bin/{name}", "busybox") for name in LINKS]
        command = [*SHELL, script, "sh"] if isinstance(script, str) else list(script)
        image = ImageFiles([layer(*programs, *entries)], {"Entrypoint": command, "User": "1000:1000", **(config or {})})
        return source(str(write_tar(tmp_path / "small.tar", image.oci())), **options)

    return make


def said(source: SandboxSource, **files: Any) -> list[str]:
    answer = source.run("spec", **files)
    assert answer.exit.code == 0, answer
    return answer.stdout.decode().splitlines()


def test_it_sees_only_its_own_processes(small: Callable[..., SandboxSource]) -> None:
    _, first, *others = said(small("ps -o args; true"))
    assert first.startswith("bwrap ")
    assert [line.split()[0].strip("{}") for line in others] == ["/bin/sh", "ps"]


def test_it_has_the_standard_files_open_and_nothing_else(small: Callable[..., SandboxSource]) -> None:
    names = said(small("ls /proc/self/fd; cat <&0"), config={"a": 1})
    assert sorted(names)[:3] == ["0", "1", "2"]
    assert len(names) == 4


def test_arguments_and_files(small: Callable[..., SandboxSource]) -> None:
    lines = said(small('echo "$@"; cat "$3"; stat -c "%a %u" "$3"; ls /dativo'), config={"a": 1})
    assert lines == ["spec --config /dativo/config.json", '{"a": 1}400 1000', "config.json"]


def test_user_directory_environment_and_name_are_the_images(small: Callable[..., SandboxSource]) -> None:
    config = {"WorkingDir": "/made/here", "Env": ["A=image", "B=image=2"], "User": "airbyte"}
    passwd = file("etc/passwd", "airbyte:x:123:456::/home/airbyte:/bin/sh\n")
    made = small(
        "id -u; id -g; pwd; hostname; echo $A $B $HOME; echo x > $HOME/x", passwd, config=config, environment={"A": "job"}
    )
    assert said(made) == ["123", "456", "/made/here", "dativo", "job image=2 /home/airbyte"]


def test_mounts_are_read_only_or_in_memory_with_a_limit(small: Callable[..., SandboxSource]) -> None:
    mounts = [line.split() for line in said(small("cat /proc/self/mounts"))]
    writable = {
        mount[1]: mount for mount in mounts if "ro" not in mount[3].split(",") and mount[2] not in ("proc", "devpts", "devtmpfs")
    }
    assert set(writable) == {"/tmp", "/dev/shm"}
    assert all("nosuid" in mount[3] and "nodev" in mount[3] and "size=" in mount[3] for mount in writable.values())


@pytest.mark.parametrize("network", ["none", "bridge"])
def test_names_are_resolved_as_this_machine_does_where_there_is_a_network(
    small: Callable[..., SandboxSource], network: str
) -> None:
    script = "cat /etc/resolv.conf; echo --; grep -c . /etc/hosts; cat /etc/hostname; echo x 2>&1 > /etc/hosts; true"
    lines = said(small(script, container=ContainerOptions(network=network)))
    here = Path("/etc/resolv.conf").read_text().splitlines()
    assert lines[: lines.index("--")] == ([] if network == "none" else here)


def test_it_can_look_up_its_own_limit_and_not_raise_it(small: Callable[..., SandboxSource], control_groups: None) -> None:
    script = """
    cd /sys/fs/cgroup; [ -d memory ] && cd memory
    cat memory.limit_in_bytes memory.max 2>/dev/null; grep -c . cgroup.procs
    for f in memory.limit_in_bytes memory.max; do [ -f $f ] && echo 9999999999 > $f; done; echo $?
    """
    lines = said(small(script, container=ContainerOptions(network="none", memory_bytes=128 << 20)))
    assert (lines[0], lines[-1]) == (str(128 << 20), "1")


def test_links_that_point_outside_lead_inside(small: Callable[..., SandboxSource]) -> None:
    made = small("cat /host /up; ls /out", link("host", "/etc/shadow"), link("up", "../../../etc/shadow"), link("out", "/../.."))
    answer = made.run("spec")
    assert (answer.exit.code, "No such file or directory" in answer.stderr[0]) == (0, True)
    assert "dativo" in answer.stdout.decode().split()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["/missing"], "cannot start the image's program `/missing`: no such file or directory"),
        (["/etc/text"], "cannot start the image's program `/etc/text`: permission denied"),
        (["/foreign"], "the image's program `/foreign` is built for another processor"),
    ],
)
def test_a_program_that_cannot_be_started_says_why(small: Callable[..., SandboxSource], command: list[str], message: str) -> None:
    # The header of an ELF file for s390x; such an image's shell is no better.
    foreign = b"\x7fELF\x02\x02\x01" + bytes(9) + b"\x00\x02\x00\x16\x00\x00\x00\x01" + bytes(40)
    made = small(command, file("etc/text", "x"), file("foreign", foreign, mode=0o755), file("bin/sh", foreign, mode=0o755))
    answer = made.run("spec")
    error = connector_failure("source", answer.exit, answer.stderr)
    assert (message in error.message, error.exit_code) == (True, 10)


def test_it_can_end_well_when_it_is_asked_to_end(small: Callable[..., SandboxSource]) -> None:
    script = "trap 'sleep 0.3; echo a state; exit 5' TERM; echo started; while true; do sleep 0.1; done"
    with small(script).running("spec") as running:
        heard = os.read(running.stdout, 8)
        running.stop()
        ended = running.wait(20)
        while part := os.read(running.stdout, 100):
            heard += part
    assert heard == b"started\na state\n"
    assert ended is not None
    assert ended.code == 5


def test_one_that_does_not_heed_that_is_killed_after_the_stop_timeout(small: Callable[..., SandboxSource]) -> None:
    script = "trap '' TERM; echo started; while true; do sleep 0.1; done"
    with small(script, stop_timeout_seconds=0.5).running("spec") as running:
        os.read(running.stdout, 8)
        began = time.monotonic()
        running.stop()
        assert running.wait(20) is not None
    assert 0.4 < time.monotonic() - began < 5


def test_processes_left_behind_end_with_it(small: Callable[..., SandboxSource]) -> None:
    answer = small("(sleep 1000 &) ; (sleep 1000 &); echo done").run("spec")
    assert (answer.stdout, answer.exit.code) == (b"done\n", 0)


def test_the_image_is_as_it_was_after_a_run(small: Callable[..., SandboxSource]) -> None:
    made = small("echo x > /x; echo x > /data/x; echo $?", directory("data"))
    assert said(made) == ["1"]
    with made.prepared() as runtime:
        root = runtime._image.info.root
        assert sorted(path.name for path in root.iterdir()) == ["bin", "data", "dativo", "dev", "etc", "proc", "sys", "tmp"]
        assert list((root / "data").iterdir()) == []
