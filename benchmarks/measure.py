"""Times a whole process with everything it starts."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

SAMPLE_SECONDS = 0.02
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Measurement:
    """One run.

    Attributes:
        wall_seconds: From start to exit.
        cpu_seconds: User and system time of the process and of all descendants that were waited for.
        peak_bytes: Largest sum of resident memory over the process tree, sampled every 20 ms; pages that processes share count
            once for each of them.
        server_seconds: User and system time of the database server meanwhile.
    """

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    server_seconds: float = 0.0

    def __str__(self) -> str:
        server = f" {self.server_seconds:8.2f} CPU s of the server" if self.server_seconds else ""
        return f"{self.wall_seconds:8.2f} s {self.cpu_seconds:8.2f} CPU s {self.peak_bytes / 2**20:7.0f} MiB{server}"


class OverdueError(Exception):
    """A command was ended because it took too long."""


def descendants(pid: int) -> list[int]:
    """A process and its descendants now."""
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
        children = [child for task in tasks for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
    except OSError:
        return [pid]
    return [pid, *(below for child in children for below in descendants(int(child)))]


def tree_seconds(pid: int) -> float:
    """User and system time so far of a process, of its descendants, and of those that ended."""
    ticks = 0
    for one in descendants(pid):
        with contextlib.suppress(OSError):
            ticks += sum(map(int, Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def tree_bytes(pid: int) -> int:
    """Resident memory of a process and its descendants now; 0 when it has ended."""
    try:
        resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES
        tasks = os.listdir(f"/proc/{pid}/task")
        children = [child for task in tasks for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
    except OSError:
        return 0
    return resident + sum(tree_bytes(int(child)) for child in children)


def measure(
    command: list[str],
    folder: Path,
    environment: dict[str, str] | None = None,
    limit_seconds: float = float("inf"),
    server: int | None = None,
) -> Measurement:
    """Runs `command` in `folder`; its output goes to `folder/log`.

    Whatever the shell says, Python programs find their modules compiled, as after any ordinary installation.

    Args:
        server: The process of a database server whose time counts beside the command's.

    Raises:
        OverdueError: It was ended after `limit_seconds`.
        RuntimeError: It exited with another code than 0.
    """
    peak, ended, overdue = 0, threading.Event(), False
    served = tree_seconds(server) if server else 0.0

    def sample(pid: int) -> None:
        nonlocal peak, overdue
        while not ended.wait(SAMPLE_SECONDS):
            peak = max(peak, tree_bytes(pid))
            if not overdue and time.perf_counter() - started > limit_seconds:
                overdue = True
                for one in descendants(pid):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(one, signal.SIGKILL)

    environ = os.environ | (environment or {})
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with (folder / "log").open("wb") as log:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environ)
        sampler = threading.Thread(target=sample, args=(process.pid,), daemon=True)
        sampler.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        ended.set()
        sampler.join()
    if overdue:
        raise OverdueError(f"ended after {wall:.0f} s, not done; {peak / 2**20:.0f} MiB")
    if process.returncode != 0:
        tail = (folder / "log").read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{' '.join(command)} exited {process.returncode}\n{tail}")
    return Measurement(wall, usage.ru_utime + usage.ru_stime, peak, tree_seconds(server) - served if server else 0.0)
