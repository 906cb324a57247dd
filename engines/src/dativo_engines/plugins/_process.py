"""A plugin's process: watched for what neither the kernel's limits nor the pipe hold."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dativo_engines._running import Exit
from dativo_engines._sandbox_options import SandboxOptions
from dativo_engines.sandbox._limits import Limits, size
from dativo_engines.sandbox._runtime import SandboxedProcess
from dativo_engines.supervisor import PIPE_BYTES, open_pipe

LOOK_SECONDS = 0.2
# More than anybody reads, less than fills a disk.
LOG_BYTES = 16 << 20
_TICKS = os.sysconf("SC_CLK_TCK")


class PluginProcess(SandboxedProcess):
    """A `SandboxedProcess` that is ended when it has run, computed or written more than it may.

    Args:
        options: What it may.
        limits: Removed when it is closed.
        process: As for a `Process`.
    """

    def __init__(self, command: Sequence[str], options: SandboxOptions, limits: Limits, **process: Any) -> None:
        self._options = options
        self._excess: tuple[str, str] | None = None
        self._metered: threading.Thread | None = None
        super().__init__(command, limits, **process)
        if options.output_bytes is not None:
            source, self.stdout = self.stdout, -1
            self.stdout, sink = open_pipe(PIPE_BYTES)
            self._metered = threading.Thread(target=self._meter, args=(source, sink), name="dativo-output", daemon=True)
            self._metered.start()
        if options.seconds is not None or options.cpu_seconds is not None:
            threading.Thread(target=self._watch, name="dativo-watch", daemon=True).start()

    def close(self) -> None:
        """Ends it and waits for that. May be called twice."""
        super().close()
        if self._metered is not None:
            self._metered.join(5.0)

    def _explain(self, ended: Exit) -> Exit:
        if self._excess is not None:
            cause, hint = self._excess
            # It may have come to its end before it was ended: too late.
            ended = replace(ended, code=None, signal=int(signal.SIGKILL)) if ended.code == 0 else ended
            return replace(ended, cause=cause, hint=hint)
        explained = super()._explain(ended)
        seconds = self._options.cpu_seconds
        if explained.cause is None and ended.code != 0 and seconds is not None and ended.cpu_seconds >= seconds:
            cause, hint = _cpu(seconds)
            return replace(ended, cause=cause, hint=hint)
        return explained

    def _end(self, cause: str, hint: str) -> None:
        self._excess = (cause, hint)
        self._ask(b"K")

    def _meter(self, source: int, sink: int) -> None:
        """Moves the pages of one pipe to the other, without looking at them."""
        left = self._options.output_bytes or 0
        try:
            with contextlib.suppress(OSError):
                while moved := os.splice(source, sink, min(left, PIPE_BYTES)) if left else len(os.read(source, 1)):
                    if not left:
                        limit = size(self._options.output_bytes or 0)
                        self._end(f"more output than its limit of {limit}", f"raise `sandbox: {{output: …}}` above {limit}")
                        break
                    left -= moved
        finally:
            os.close(source)
            os.close(sink)

    def _watch(self) -> None:
        began = time.monotonic()
        options = self._options
        counted = ProcessorTime(self.pid)
        while not self._ended.wait(LOOK_SECONDS):
            if options.seconds is not None and time.monotonic() - began > options.seconds:
                cause = f"it ran longer than its limit of {options.seconds:g} seconds"
                self._end(cause, "raise `sandbox: {time: …}`")
                return
            if options.cpu_seconds is not None and self._cpu_seconds(counted) > options.cpu_seconds:
                self._end(*_cpu(options.cpu_seconds))
                return

    def _cpu_seconds(self, otherwise: ProcessorTime) -> float:
        seconds = self._limits.groups.cpu_seconds()
        return otherwise.seconds() if seconds is None else seconds


class QuietLog:
    """A log that ends where a plugin says too much.

    Args:
        log: Called with level and line.
    """

    def __init__(self, log: Callable[[str, str], None]) -> None:
        self._log = log
        self._left = LOG_BYTES

    def __call__(self, level: str, line: str) -> None:
        if self._left < 0:
            return
        self._left -= len(line) + 1
        if self._left >= 0:
            self._log(level, line)
        else:
            self._log("warning", f"it has logged more than {size(LOG_BYTES)}: the rest is not kept")


class ProcessorTime:
    """Counts the processor time of a process and all below it, where no control group does.

    A child that nobody waits for leaves no trace of its time, so that what was seen of it while it lived is remembered; of one
    that lives shorter than it takes to look again, nothing is.

    Args:
        leader: The process.
    """

    def __init__(self, leader: int) -> None:
        self._leader = leader
        self._own: dict[tuple[int, int], float] = {}

    def seconds(self) -> float:
        """So far."""
        with_waited_for: dict[int, float] = {}
        own: dict[int, tuple[tuple[int, int], float]] = {}
        children: dict[int, list[int]] = {}
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, IndexError):
                fields = list(map(int, (process / "stat").read_bytes().rpartition(b")")[2].split()[1:20]))
                pid, started = int(process.name), fields[18]
                children.setdefault(fields[0], []).append(pid)
                own[pid] = (pid, started), sum(fields[10:12]) / _TICKS
                with_waited_for[pid] = sum(fields[10:14]) / _TICKS
        total, pending = 0.0, [self._leader]
        while pending:
            pid = pending.pop()
            if pid in own:
                self._own.update([own[pid]])
                total += with_waited_for[pid]
            pending += children.get(pid, [])
        return max(total, sum(self._own.values()))


def _cpu(seconds: float) -> tuple[str, str]:
    return f"more processor time than its limit of {seconds:g} seconds", "raise `sandbox: {cpu_seconds: …}`"
