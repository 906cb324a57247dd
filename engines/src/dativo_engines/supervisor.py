"""Runs a process so that it cannot outlive Dativo, and knows how it ended."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dativo_protocols import ConfigError, ConnectorError

from dativo_engines import _guardian
from dativo_engines._environ import clean_environment
from dativo_engines._private import PROCESS_MARK, PrivateDirectory, end_marked
from dativo_engines._redaction import Redactor
from dativo_engines._running import Exit, Started, StderrLines

PIPE_BYTES = 1024 * 1024
LEFTOVER_GRACE_SECONDS = 1.0


class Process(Started):
    """A running program, its stdout to read from `stdout`, its stderr drained into the log.

    It starts in the current directory (configurations name files relative to it), in a session of its own, with a clean
    environment, stdin from /dev/null unless it takes input, and no other open file. It ends, with everything it started, when
    `close` is called, when the `with` block is left, and when this process dies in whatever way.

    Args:
        command: Path or name on PATH, then the arguments.
        directory: Private directory of the run; removed by the guardian if this process dies.
        environment: Added to the clean environment.
        stop_timeout_seconds: From SIGTERM to SIGKILL.
        redactor: Masks stderr.
        log: Called with level and masked line for each line of stderr, from another thread.
        passed: Prefixes of variables that are passed on besides the clean environment.
        is_wrapper: The program only holds the connector, and would end it unheard at SIGTERM: that goes to what it started.
        takes_input: Whether its stdin is a pipe that this process writes to.

    Attributes:
        stdin: File descriptor to write to where it takes input, else -1; closed by `close`.
        stdout: File descriptor to read from; closed by `close`, unless set to -1 by who took it.
        pid: Of the program.

    Raises:
        ConfigError: There is no such program, or it cannot be executed.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        directory: PrivateDirectory,
        environment: Mapping[str, str] | None = None,
        stop_timeout_seconds: float = 10.0,
        redactor: Redactor | None = None,
        log: Callable[[str, str], None] | None = None,
        passed: tuple[str, ...] = (),
        is_wrapper: bool = False,
        takes_input: bool = False,
    ) -> None:
        self.command = tuple(command)
        self.mark = directory.mark
        super().__init__(StderrLines(redactor or Redactor(), log))
        self._exit: Exit | None = None
        self._stop_timeout = stop_timeout_seconds
        self._ended = threading.Event()
        self._gone = threading.Event()
        environ = clean_environment(environment or {}, prefixes=passed)
        path = find_program(command[0], environ.get("PATH"))
        environ[PROCESS_MARK] = self.mark

        self.stdout, stdout_write = open_pipe(PIPE_BYTES)
        stderr_read, stderr_write = open_pipe()
        status_read, status_write = open_pipe()
        control_read, self._control = open_pipe()
        stdin_read, self.stdin = open_pipe(PIPE_BYTES) if takes_input else (-1, -1)
        given = (stdout_write,) if stdin_read < 0 else (stdin_read, stdout_write)
        graces = (stop_timeout_seconds, LEFTOVER_GRACE_SECONDS)
        options = [stdin_read, stdout_write, os.getpid(), *graces, is_wrapper, directory.path]
        try:
            self._guardian = subprocess.Popen(
                [sys.executable, "-I", "-S", _guardian.__file__, *map(str, options), "--", path, *command],
                stdin=control_read,
                stdout=status_write,
                stderr=stderr_write,
                pass_fds=given,
                env=environ,
                start_new_session=True,
            )
        except BaseException:
            for fd in (self.stdout, stderr_read, status_read, self._control, *([self.stdin] if takes_input else [])):
                os.close(fd)
            raise
        finally:
            for fd in (*given, stderr_write, status_write, control_read):
                os.close(fd)
        self._status = _Lines(status_read)
        self._thread = threading.Thread(
            target=self._drain, args=(stderr_read, status_read), name="dativo-supervisor", daemon=True
        )
        try:
            first = self._status.read_first()
            self._thread.start()
        except BaseException:
            # The guardian takes that for the death of this process.
            os.close(self._control)
            raise
        if not first.startswith("started "):
            self.close()
            raise _start_error(path, first, self.stderr_tail)
        self.pid = int(first.split()[1])

    @property
    def exit(self) -> Exit | None:
        """How it ended; None while it runs."""
        return self._exit

    def wait(self, timeout: float | None = None) -> Exit | None:
        """How the program ended, with its stderr complete; None when it is still running after `timeout` seconds.

        Raises:
            ConnectorError: The process that watched over it was killed.
        """
        if not self._ended.wait(timeout):
            return None
        if self._exit is None:
            raise ConnectorError(
                f"the guardian of `{Path(self.command[0]).name}` was killed, and the connector with it",
                hint="run it again; if it happens again, look for an out-of-memory killer",
                retryable=True,
            )
        # Leftovers may hold stderr open: the guardian ends them in a moment.
        self._gone.wait(LEFTOVER_GRACE_SECONDS + 1.0)
        return self.exit

    def stop(self) -> None:
        """Asks the program and everything it started to end, and kills what is left after the stop timeout. Does not wait."""
        self._ask(b"T")

    def close(self) -> None:
        """Ends the program and everything it started, and waits for it. May be called twice."""
        self.close_input()
        if self.stdout >= 0:
            os.close(self.stdout)
            self.stdout = -1
        if not self._gone.is_set():
            self._ask(b"T")
            if not self._gone.wait(self._stop_timeout + 5.0):
                self._ask(b"K")
                self._gone.wait(5.0)
        if self._control >= 0:
            os.close(self._control)
            self._control = -1

    def close_input(self) -> None:
        """The end of file for a program that takes input. May be called twice."""
        if self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1

    def _ask(self, what: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(self._control, what)

    def _drain(self, stderr: int, status: int) -> None:
        """Until the guardian is gone: stderr into the log, its reports into `exit`."""
        poll = select.poll()
        poll.register(stderr, select.POLLIN)
        poll.register(status, select.POLLIN)
        deadline: float | None = None
        open_fds = {stderr, status}
        while open_fds:
            remaining = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
            ready = poll.poll(remaining)
            if not ready and deadline is not None:
                break
            for fd, _ in ready:
                data = os.read(fd, 65536)
                if not data:
                    poll.unregister(fd)
                    open_fds.discard(fd)
                    if fd == status:
                        # Whoever still holds stderr is not the connector.
                        deadline = time.monotonic() + 1.0
                        self._guardian.wait()
                        if self._exit is None and self._status.started:
                            end_marked(self.mark)
                elif fd == stderr:
                    self._stderr.feed(data)
                else:
                    for line in self._status.feed(data):
                        self._note(line)
        self._stderr.end()
        os.close(stderr)
        os.close(status)
        self._gone.set()
        self._ended.set()

    def _note(self, line: str) -> None:
        name, *values = line.split()
        if name == "exited":
            code = os.waitstatus_to_exitcode(int(values[0]))
            self._exit = Exit(
                code=code if code >= 0 else None,
                signal=-code if code < 0 else None,
                max_rss_bytes=int(values[1]) * 1024,
                cpu_seconds=float(values[2]) + float(values[3]),
            )
            self._ended.set()
        elif name == "all" and self._exit is not None:
            # A wrapper may end before what it started.
            rss, cpu = int(values[0]) * 1024, float(values[1]) + float(values[2])
            self._exit = replace(self._exit, max_rss_bytes=rss, cpu_seconds=cpu)


class _Lines:
    """The guardian's reports."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._rest = b""
        self.started = False

    def feed(self, data: bytes) -> list[str]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [line.decode() for line in lines]

    def read_first(self) -> str:
        """The first report, or nothing when the guardian could not even start."""
        line = b""
        # One byte a time: what follows the first line belongs to the thread.
        while not line.endswith(b"\n"):
            byte = os.read(self._fd, 1)
            if not byte:
                break
            line += byte
        self.started = line.startswith(b"started")
        return line.decode().strip()


def find_program(name: str, path: str | None) -> str:
    """The program's path: of one on the search path, else of one that was installed beside this Python.

    Raises:
        ConfigError: There is none.
    """
    if os.sep not in name:
        found = shutil.which(name, path=path) or shutil.which(name, path=os.path.dirname(sys.executable))
        if found is None:
            raise ConfigError(
                f"no program `{name}` on PATH",
                hint=f"install it, name its path, or let Dativo install its package: `{name}==VERSION`",
                facts={"program": name},
            )
        return found
    if not os.path.exists(name):
        raise ConfigError(f"no such program: `{name}`", hint="check the path", facts={"program": name})
    if os.path.isdir(name):
        raise ConfigError(f"`{name}` is a directory, not a program", hint="name the program in it", facts={"program": name})
    return name


def _start_error(path: str, report: str, stderr: list[str]) -> ConfigError | ConnectorError:
    facts: dict[str, object] = {"program": path}
    if not report.startswith("failed "):
        facts["stderr"] = stderr[-50:]
        return ConnectorError(f"cannot start `{path}`: {stderr[-1] if stderr else 'its guardian ended at once'}", facts=facts)
    number = int(report.split()[1])
    facts["errno"] = errno.errorcode.get(number, str(number))
    if number == errno.ENOENT:
        with contextlib.suppress(OSError), open(path, "rb") as file:
            first = file.readline(512)
            if first.startswith(b"#!"):
                interpreter = first[2:].decode(errors="replace").strip()
                return ConfigError(
                    f"cannot start `{path}`: its interpreter `{interpreter}` does not exist",
                    hint="the environment it was installed into has moved or lost its Python: install it again",
                    facts=facts,
                )
        return ConfigError(f"no such program: `{path}`", hint="check the path", facts=facts)
    if number == errno.EACCES:
        return ConfigError(
            f"cannot start `{path}`: permission denied", hint=f"make it executable: `chmod +x {path}`", facts=facts
        )
    if number == errno.ENOEXEC:
        return ConfigError(
            f"cannot start `{path}`: it is not a program",
            hint="a script needs `#!` and its interpreter as the first line; a binary must be built for this machine",
            facts=facts,
        )
    return ConnectorError(
        f"cannot start `{path}`: {os.strerror(number)}",
        facts=facts,
        retryable=number in (errno.EAGAIN, errno.ENOMEM, errno.ETXTBSY),
    )


def open_pipe(size: int = 0) -> tuple[int, int]:
    """A pipe of about `size` bytes, clear of the standard descriptors even where these are closed."""
    ends = []
    for fd in os.pipe():
        ends.append(fd if fd > 2 else fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3))
        if fd <= 2:
            os.close(fd)
    if size and hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError, ValueError):
            size = min(size, int(Path("/proc/sys/fs/pipe-max-size").read_text()))
        while size > 65536:
            try:
                fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, size)
                break
            except OSError:
                size //= 2
    return ends[0], ends[1]
