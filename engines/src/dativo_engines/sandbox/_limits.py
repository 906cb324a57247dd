"""The limits of one sandbox: by control groups where they can be made, else by what each process may have."""

from __future__ import annotations

import math
import os
import random
import resource
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from dativo_engines._engine import ContainerOptions
from dativo_engines.sandbox._groups import Groups

OPEN_FILES = 65536
# `bwrap` itself: outside, and as the first process inside.
OWN_PROCESSES = 2
# Programs reserve far more addresses than memory: thread stacks, allocators' heaps.
ADDRESSES_PER_BYTE = 4
# A range that neither systemd nor the tools for containers hand out.
FIRST_USER, USERS = 0x7000_0000, 0x0F00_0000
NOBODY = 65534
NEARLY = 0.9
_ROOTS_RIGHTS = (6, 7, 21)


class Limits:
    """What the sandbox may use, and what happened at the edges.

    Args:
        options: Of the run.
        name: For the control groups.
        user: Who the processes run as outside; None for this process's own user.
        note: Called with each control group's directory before it is made.
        key: Of the job, where the limits are set: `container`, `sandbox`.
        processes: The name of the limit of processes there.
        accounting: Whether processor time is to be counted.

    Attributes:
        groups: Made; they hold no process yet.
        resources: Number and value of each resource limit.
        processors: To stay on, or None for all.
        weaker: Which limits hold less than they should, one sentence each.
    """

    def __init__(
        self,
        options: ContainerOptions,
        *,
        name: str,
        user: int | None,
        note: Callable[[Path], None],
        key: str = "container",
        processes: str = "pids",
        accounting: bool = False,
    ) -> None:
        self._options = options
        self._key, self._processes = key, processes
        pids = None if options.pids is None else options.pids + OWN_PROCESSES
        wanted = {"memory_bytes": options.memory_bytes, "pids": pids, "cpus": options.cpus}
        self.groups = Groups(name, **wanted, accounting=accounting, note=note)  # type: ignore[arg-type]
        # One byte: no core in a file, and none for a program that the machine hands them to; zero would mean only the first.
        self.resources: list[tuple[int, int]] = [(resource.RLIMIT_CORE, 1), (resource.RLIMIT_NOFILE, OPEN_FILES)]
        self.processors: list[int] | None = None
        self.weaker: list[str] = []
        held = self.groups.held
        if options.memory_bytes is not None and "memory" not in held:
            self.resources.append((resource.RLIMIT_DATA, options.memory_bytes))
            self.resources.append((resource.RLIMIT_AS, options.memory_bytes * ADDRESSES_PER_BYTE))
            self.weaker.append(f"the memory limit of {size(options.memory_bytes)} holds for each process by itself")
        if pids is not None and "pids" not in held:
            others = 0 if user is not None else sum(_threads_of(os.getuid()))
            self.resources.append((resource.RLIMIT_NPROC, others + pids))
            if user is None:
                self.weaker.append(f"the limit of {options.pids} processes holds for all of the user's, who has {others} now")
        if options.cpus is not None and "cpu" not in held:
            there = sorted(os.sched_getaffinity(0))
            self.processors = random.sample(there, min(len(there), math.ceil(options.cpus)))
            self.weaker.append(f"it stays on {len(self.processors)} processors, unless it chooses others itself")

    def cause(self, code: int, max_rss_bytes: int) -> tuple[str | None, str | None]:
        """Why a program that ended with this code did not end well, and a hint: as far as the limits know."""
        limit = self._options.memory_bytes
        # Refused rather than killed, it may not even know why it failed.
        refused = limit is not None and "memory" not in self.groups.held and max_rss_bytes > NEARLY * limit
        if limit is not None and code != 0 and (refused or self.groups.kills()):
            memory = size(limit) + (" for each process" if refused else "")
            return (
                f"out of memory: its limit is {memory}",
                f"raise `{self._key}: {{memory: …}}` above {memory}, temporary files included",
            )
        if code != 0 and self.groups.refusals():
            raised = f"raise `{self._key}: {{{self._processes}: …}}`"
            return None, f"it reached its limit of {self._options.pids} processes and threads: {raised}"
        return None, None

    def close(self) -> None:
        """Removes the control groups. May be called twice."""
        self.groups.remove()


def outside_user() -> int | None:
    """For root: the number of a user that nobody else is, for one run. None when this is not root, or root has no such power."""
    if os.geteuid() != 0:
        return None
    with suppress(OSError, ValueError, StopIteration):
        status = Path("/proc/self/status").read_text()
        rights = int(next(line for line in status.splitlines() if line.startswith("CapEff:")).split()[1], 16)
        if not all(rights >> right & 1 for right in _ROOTS_RIGHTS):
            return None
        ranges = [list(map(int, line.split())) for line in Path("/proc/self/uid_map").read_text().splitlines()]
        for first, count in ((FIRST_USER, USERS), (NOBODY, 1)):
            if any(start <= first and first + count <= start + length for start, _, length in ranges):
                return first + random.randrange(count)
    return None


def size(count: int) -> str:
    """`512 MiB`, `2 GiB`."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= unit:
            return f"{count / unit:.4g} {name}"
    return f"{count} bytes"


def _threads_of(user: int) -> Iterator[int]:
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, StopIteration, ValueError):
            if process.stat().st_uid == user:
                lines = (process / "status").read_text().splitlines()
                yield int(next(line for line in lines if line.startswith("Threads:")).split()[1])
