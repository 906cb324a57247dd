"""Control groups: limits for all processes of a run together, where this machine lets us set them.

Version 1 has one tree a controller, version 2 one for all. A group is made below our own, or, in version 2, where our own cannot
have children with controllers since it has processes itself, beside it. Where nothing can be made, resource limits are left,
which hold for each process or for all of a user.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from dativo_engines._guardian import remove_group

CONTROLLERS = ("memory", "pids", "cpu")
# In version 2, every group counts.
ACCOUNTING = "cpuacct"
PERIOD_MICROSECONDS = 100_000
# The kernel refuses less.
QUOTA_MICROSECONDS = 1_000


class Groups:
    """The control groups of one run.

    Args:
        name: Of the groups to make.
        memory_bytes: Of all processes together, temporary files included.
        pids: Processes and threads at once.
        cpus: Processors' worth of time.
        accounting: Whether to count their processor time, even where nothing limits it.
        mounts: What `/proc/self/mountinfo` says, and
        own: what `/proc/self/cgroup` says.
        note: Called with each directory before it is made.

    Attributes:
        held: The controllers that hold their limit now: of `memory`, `pids`, `cpu`.
        paths: Directories made.
    """

    def __init__(
        self,
        name: str,
        *,
        memory_bytes: int | None,
        pids: int | None,
        cpus: float | None,
        accounting: bool = False,
        mounts: str | None = None,
        own: str | None = None,
        note: Callable[[Path], None] = lambda path: None,
    ) -> None:
        self.held: set[str] = set()
        self.paths: list[Path] = []
        self._by_controller: dict[str, Path] = {}
        self._note = note
        wanted = {key: value for key, value in (("memory", memory_bytes), ("pids", pids), ("cpu", cpus)) if value is not None}
        with suppress(OSError):
            mounts = Path("/proc/self/mountinfo").read_text() if mounts is None else mounts
            own = Path("/proc/self/cgroup").read_text() if own is None else own
            trees = list(_trees(mounts, own))
            for controller in CONTROLLERS:
                if controller in wanted and controller in dict(trees):
                    self._make_v1(controller, dict(trees)[controller] / name, wanted[controller])
            rest = {key: value for key, value in wanted.items() if key not in self.held}
            if accounting and ACCOUNTING in dict(trees):
                path = dict(trees)[ACCOUNTING] / name
                # On many machines it shares its tree with `cpu`.
                if path in self.paths:
                    self._by_controller[ACCOUNTING] = path
                else:
                    self._make_v1(ACCOUNTING, path, 0)
            if rest and "" in dict(trees):
                mount = next(path for kind, path in trees if kind == "/")
                self._make_v2(dict(trees)[""], mount, name, rest)

    @property
    def joining(self) -> list[str]:
        """Files to write a process's number to."""
        return [str(path / "cgroup.procs") for path in self.paths]

    @property
    def mounts(self) -> dict[str, str]:
        """Where programs look for their limits: path inside, directory outside."""
        if any((path / "memory.limit_in_bytes").exists() or (path / "cpu.cfs_quota_us").exists() for path in self.paths):
            return {f"/sys/fs/cgroup/{name}": str(path) for name, path in self._by_controller.items()}
        return {"/sys/fs/cgroup": str(self.paths[0])} if self.paths else {}

    def kills(self) -> int:
        """How many processes were killed for want of memory."""
        return self._count("memory", "memory.oom_control", "memory.events", "oom_kill")

    def refusals(self) -> int:
        """How many processes or threads were not started because there were too many."""
        return self._count("pids", "pids.events", "pids.events", "max")

    def cpu_seconds(self) -> float | None:
        """Processor time of all processes together, also of those that ended; None where no group counts it."""
        with suppress(OSError, KeyError):
            return int((self._by_controller[ACCOUNTING] / "cpuacct.usage").read_text()) / 1e9
        for path in self.paths:
            with suppress(OSError, StopIteration):
                lines = (path / "cpu.stat").read_text().splitlines()
                return int(next(line for line in lines if line.startswith("usage_usec ")).split()[1]) / 1e6
        return None

    def remove(self) -> None:
        """Removes the groups; their processes must have ended. May be called twice."""
        for path in self.paths:
            remove_group(str(path))

    def _count(self, controller: str, first: str, second: str, key: str) -> int:
        path = self._by_controller.get(controller)
        for name in (first, second):
            if path is not None:
                with suppress(OSError):
                    for line in (path / name).read_text().splitlines():
                        if line.startswith(key + " "):
                            return int(line.split()[1])
        return 0

    def _make_v1(self, controller: str, path: Path, value: float) -> None:
        with suppress(OSError):
            self._note(path)
            path.mkdir()
            self._take(path, {controller: value}, _write_v1)

    def _make_v2(self, own: Path, mount: Path, name: str, wanted: Mapping[str, float]) -> None:
        # Our own may take controllers if it is a root; else the first above that has handed them down.
        with suppress(OSError):
            (own / "cgroup.subtree_control").write_text(" ".join(f"+{controller}" for controller in wanted))
        for parent in (own, *own.parents):
            if not parent.is_relative_to(mount):
                return
            handed_down = _words(parent / "cgroup.subtree_control")
            usable = {key: value for key, value in wanted.items() if key in handed_down}
            if not usable or not os.access(parent / "cgroup.procs", os.W_OK):
                continue
            with suppress(OSError):
                self._note(parent / name)
                (parent / name).mkdir()
                self._take(parent / name, usable, _write_v2)
                return

    def _take(self, path: Path, wanted: Mapping[str, float], write: Callable[[Path, str, float], None]) -> None:
        held = []
        for controller, value in wanted.items():
            with suppress(OSError):
                write(path, controller, value)
                held.append(controller)
        if not held or not os.access(path / "cgroup.procs", os.W_OK):
            remove_group(str(path))
            return
        self.paths.append(path)
        self.held.update(held)
        self._by_controller.update(dict.fromkeys(held, path))


def held_controllers() -> set[str]:
    """What can be limited for several processes together here: of `memory`, `pids`, `cpu`. Makes a group, and removes it."""
    groups = Groups(f"dativo-trial-{os.getpid()}", memory_bytes=1 << 30, pids=100, cpus=1.0)
    groups.remove()
    return groups.held


def _write_v1(path: Path, controller: str, value: float) -> None:
    if controller == "memory":
        (path / "memory.limit_in_bytes").write_text(str(int(value)))
        if (path / "memory.memsw.limit_in_bytes").exists():
            (path / "memory.memsw.limit_in_bytes").write_text(str(int(value)))
    elif controller == "pids":
        (path / "pids.max").write_text(str(int(value)))
    elif controller == "cpu":
        (path / "cpu.cfs_period_us").write_text(str(PERIOD_MICROSECONDS))
        (path / "cpu.cfs_quota_us").write_text(str(_quota(value)))


def _write_v2(path: Path, controller: str, value: float) -> None:
    if controller == "memory":
        (path / "memory.max").write_text(str(int(value)))
        if (path / "memory.swap.max").exists():
            (path / "memory.swap.max").write_text("0")
    elif controller == "pids":
        (path / "pids.max").write_text(str(int(value)))
    else:
        (path / "cpu.max").write_text(f"{_quota(value)} {PERIOD_MICROSECONDS}")


def _quota(cpus: float) -> int:
    return max(QUOTA_MICROSECONDS, int(cpus * PERIOD_MICROSECONDS))


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def _trees(mounts: str, own: str) -> Iterator[tuple[str, Path]]:
    """Controller and our own directory in its tree; for version 2 under the name `""`, its mount point under `/`."""
    places = {}
    for line in own.splitlines():
        _, controllers, path = line.split(":", 2)
        places.update(dict.fromkeys(controllers.split(","), path))
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        root, mount = before.split()[3:5]
        kind, _, options = after.split(" ", 2)
        if kind == "cgroup":
            for controller in (*CONTROLLERS, ACCOUNTING):
                if controller in options.split(","):
                    yield controller, _own(Path(mount), root, places.get(controller, "/"))
        elif kind == "cgroup2":
            yield "/", Path(mount)
            yield "", _own(Path(mount), root, places.get("", "/"))


def _own(mount: Path, root: str, path: str) -> Path:
    """Our group's directory; the mount point where it is not visible, as in many containers."""
    inside = os.path.relpath(path, root)
    found = mount if inside.startswith("..") else mount / inside
    return found if found.is_dir() else mount
