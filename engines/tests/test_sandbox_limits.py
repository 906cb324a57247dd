"""Control groups of either version where they can be made, and what is left where they cannot."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import pytest
from dativo_engines import ContainerOptions
from dativo_engines.sandbox import _groups, _limits
from dativo_engines.sandbox._groups import Groups
from dativo_engines.sandbox._limits import Limits, size

MEMORY, PIDS, CPUS = 512 << 20, 66, 1.5


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree of files in place of the kernel's: a new directory gets the files that the kernel would put there."""
    files = {
        "v1": "memory.limit_in_bytes memory.memsw.limit_in_bytes pids.max cpu.cfs_period_us cpu.cfs_quota_us cgroup.procs",
        "v2": "memory.max memory.swap.max pids.max cpu.max cgroup.procs cgroup.subtree_control",
    }
    made = Path.mkdir

    def mkdir(self: Path, *arguments: Any, **more: Any) -> None:
        made(self, *arguments, **more)
        for version, names in files.items():
            if version in self.parts:
                [(self / name).touch() for name in names.split()]

    monkeypatch.setattr(Path, "mkdir", mkdir)
    monkeypatch.setattr(_groups, "remove_group", lambda path: None)
    return tmp_path


def groups(mounts: str, own: str, **more: Any) -> Groups:
    return Groups("dativo-x", memory_bytes=MEMORY, pids=PIDS, cpus=CPUS, mounts=mounts, own=own, **more)


def v1(kernel: Path) -> tuple[str, str]:
    mounts = [f"1 0 0:1 / {kernel}/v1/{name} rw - cgroup cgroup rw,{name}\n" for name in ("memory", "pids", "cpu", "freezer")]
    for name in ("memory", "pids", "cpu"):
        (kernel / "v1" / name / "user").mkdir(parents=True)
    return "".join(mounts), "3:memory:/user\n2:pids:/elsewhere\n1:cpu,cpuacct:/user\n0::/\n"


def v2(kernel: Path, own: str, handed_down: dict[str, str]) -> tuple[str, str]:
    (kernel / "v2" / own.lstrip("/")).mkdir(parents=True)
    for path, controllers in handed_down.items():
        (kernel / "v2" / path.lstrip("/") / "cgroup.subtree_control").write_text(controllers)
        (kernel / "v2" / path.lstrip("/") / "cgroup.procs").touch()
    return f"1 0 0:1 / {kernel}/v2 rw - cgroup2 cgroup2 rw\n", f"0::{own}\n"


def text(path: Path) -> str:
    return path.read_text()


def test_version_1_has_a_group_in_each_tree(kernel: Path) -> None:
    made = groups(*v1(kernel))
    memory, pids, cpu = (kernel / "v1" / path / "dativo-x" for path in ("memory/user", "pids", "cpu/user"))
    assert made.held == {"memory", "pids", "cpu"}
    assert made.joining == [str(path / "cgroup.procs") for path in (memory, pids, cpu)]
    assert [text(memory / f"memory.{name}limit_in_bytes") for name in ("", "memsw.")] == [str(MEMORY)] * 2
    assert (text(pids / "pids.max"), text(cpu / "cpu.cfs_quota_us")) == ("66", "150000")


def test_version_2_has_one_group_beside_our_own(kernel: Path) -> None:
    own = "/user.slice/user@1.service/app.scope"
    made = groups(*v2(kernel, own, {own: "", "/user.slice/user@1.service": "memory pids", "/user.slice": "memory pids cpu"}))
    group = kernel / "v2/user.slice/user@1.service/dativo-x"
    assert (made.held, made.joining) == ({"memory", "pids"}, [str(group / "cgroup.procs")])
    assert [text(group / name) for name in ("memory.max", "memory.swap.max", "pids.max")] == [str(MEMORY), "0", "66"]


def test_a_group_that_may_have_children_takes_the_controllers_itself(kernel: Path) -> None:
    made = groups(*v2(kernel, "/", {"/": ""}))
    # The file takes what is written; the kernel would list it without the signs.
    assert text(kernel / "v2/cgroup.subtree_control") == "+memory +pids +cpu"
    assert made.held == set()


def test_every_directory_is_noted_before_it_is_made(kernel: Path) -> None:
    noted: list[bool] = []
    groups(*v1(kernel), note=lambda path: noted.append(path.exists()))
    assert noted == [False] * 3


@pytest.mark.parametrize(("mounts", "own"), [("", ""), ("1 0 0:1 / /nowhere rw - cgroup2 cgroup2 rw\n", "0::/x\n")])
def test_without_control_groups_nothing_is_held(mounts: str, own: str) -> None:
    made = groups(mounts, own)
    assert (made.held, made.joining, made.kills(), made.refusals()) == (set(), [], 0, 0)


@pytest.mark.parametrize("shared", [True, False])
def test_version_1_counts_processor_time_in_a_tree_of_its_own_or_in_that_of_cpu(kernel: Path, shared: bool) -> None:
    mounts, own = v1(kernel)
    tree = kernel / "v1" / ("cpu" if shared else "cpuacct")
    mounts += f"1 0 0:1 / {tree} rw - cgroup cgroup rw,{'cpu,' if shared else ''}cpuacct\n"
    (tree / "user").mkdir(parents=True, exist_ok=True)
    made = groups(mounts, own, accounting=True)
    assert made.cpu_seconds() is None
    (tree / "user" / "dativo-x" / "cpuacct.usage").write_text("2500000000\n")
    assert made.cpu_seconds() == 2.5
    assert len(made.paths) == (3 if shared else 4)


def test_version_2_counts_processor_time_in_every_group(kernel: Path) -> None:
    made = groups(*v2(kernel, "/a", {"/a": "", "/": "memory pids"}), accounting=True)
    assert made.cpu_seconds() is None
    (kernel / "v2" / "dativo-x" / "cpu.stat").write_text("nr_periods 0\nusage_usec 1500000\n")
    assert made.cpu_seconds() == 1.5


def test_kills_and_refusals_are_counted(kernel: Path) -> None:
    made = groups(*v1(kernel))
    (kernel / "v1/memory/user/dativo-x/memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    (kernel / "v1/pids/dativo-x/pids.events").write_text("max 7\n")
    assert (made.kills(), made.refusals()) == (2, 7)


def limits(monkeypatch: pytest.MonkeyPatch, user: int | None, held: set[str], **options: Any) -> Limits:
    class Made:
        def __init__(self, *arguments: Any, **more: Any) -> None:
            self.held, self.kills, self.refusals = held, lambda: 0, lambda: 0

    monkeypatch.setattr(_limits, "Groups", Made)
    return Limits(ContainerOptions(**options), name="x", user=user, note=lambda path: None)


def test_what_control_groups_do_not_hold_each_process_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    made = limits(monkeypatch, 12345, set(), memory_bytes=MEMORY, pids=64, cpus=0.5)
    known = dict(made.resources)
    assert (known[resource.RLIMIT_DATA], known[resource.RLIMIT_AS]) == (MEMORY, 4 * MEMORY)
    assert (known[resource.RLIMIT_NPROC], len(made.processors or ())) == (66, 1)
    assert made.weaker == [
        "the memory limit of 512 MiB holds for each process by itself",
        "it stays on 1 processors, unless it chooses others itself",
    ]


def test_a_user_that_has_other_processes_counts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    made = limits(monkeypatch, None, {"memory", "cpu"}, pids=64)
    assert dict(made.resources)[resource.RLIMIT_NPROC] > 66
    assert "holds for all of the user's, who has " in made.weaker[0]


def test_what_control_groups_hold_is_not_limited_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    made = limits(monkeypatch, None, {"memory", "pids", "cpu"}, cpus=1.0)
    assert (made.weaker, made.processors) == ([], None)
    assert {number for number, _ in made.resources} == {resource.RLIMIT_CORE, resource.RLIMIT_NOFILE}


def test_memory_refused_rather_than_killed_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    made = limits(monkeypatch, None, set(), memory_bytes=MEMORY)
    assert made.cause(1, MEMORY - (10 << 20))[0] == "out of memory: its limit is 512 MiB for each process"
    assert (made.cause(1, MEMORY // 2), made.cause(0, MEMORY)) == ((None, None), (None, None))


@pytest.mark.parametrize(
    ("count", "said"), [(1 << 30, "1 GiB"), (1536 << 20, "1.5 GiB"), (512 << 20, "512 MiB"), (10, "10 bytes")]
)
def test_sizes(count: int, said: str) -> None:
    assert size(count) == said
