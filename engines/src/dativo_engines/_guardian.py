"""The process between Dativo and a connector: it starts the connector, and nothing of the connector outlives it.

Run as `python -I -S _guardian.py OPTIONS… -- PATH ARGV…` with the standard library's smallest parts only: it costs
every connector this program's memory and start-up time.

- fd 0, control: the byte `T` asks for SIGTERM, then SIGKILL after the grace; `K` for SIGKILL now. End of file means that
  Dativo is dead, however it died: the same as `T`, with a short grace; the private directory is then removed as well. A
  connector that is only a wrapper does not get the SIGTERM, but what it started does.
- fd 1, status, lines of text: `started PID`, or `failed ERRNO`; then `exited STATUS MAX_RSS_KIB USER_S SYSTEM_S` with
  wait's status; then `all MAX_RSS_KIB USER_S SYSTEM_S` with what it left behind as well. End of file comes when nothing of the
  connector is left.
- fd 2 is the connector's stderr; the fds given as options become its stdin and its stdout. A stdin of -1 is one without input.

The connector leads a session of its own. On Linux the guardian is a child subreaper: whatever a descendant does (setsid,
double fork), its orphans become the guardian's children, so they are found. Should the guardian itself be killed, the
connector gets SIGKILL from the kernel (PR_SET_PDEATHSIG). Elsewhere only the connector's process group is ended.
"""

import contextlib
import ctypes
import os
import select
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
ORPHAN_GRACE_SECONDS = 2.0
LINUX = sys.platform == "linux"


def prctl(option: int, value: int) -> None:
    """Does nothing where there is no such call: the guarantees are then those of process groups."""
    if LINUX:
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), 0, 0, 0)


def report(line: str) -> None:
    with contextlib.suppress(OSError):
        os.write(1, line.encode() + b"\n")


def start(path: str, argv: list[str], stdin: int, stdout: int) -> int:
    """Starts the connector and returns its pid; raises OSError when it cannot be executed."""
    guardian = os.getpid()
    failure_read, failure_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != guardian:
                os._exit(127)
            os.dup2(os.open(os.devnull, os.O_RDONLY) if stdin < 0 else stdin, 0)
            os.dup2(stdout, 1)
            # Also those that whoever started Dativo ignored, as a shell does with SIGQUIT for what it runs in the background.
            for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
                with contextlib.suppress(OSError):
                    signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, [])
            os.execve(path, argv, os.environ)
        except OSError as error:
            os.write(failure_write, str(error.errno).encode())
        finally:
            os._exit(127)
    os.close(failure_write)
    os.close(stdout)
    if stdin >= 0:
        # Who writes to it learns when the connector does not read any more.
        os.close(stdin)
    failure = os.read(failure_read, 16)
    os.close(failure_read)
    if failure:
        os.waitpid(pid, 0)
        raise OSError(int(failure), "")
    return pid


def descendants() -> list[int]:
    """Every living descendant of this process, by the parents that /proc names."""
    children: dict[int, list[int]] = {}
    names: list[str] = []
    with contextlib.suppress(OSError):
        names = os.listdir("/proc")
    for name in names:
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as stat:
                # The program's name stands in parentheses and may hold any byte.
                parent = int(stat.read().rpartition(b")")[2].split()[1])
                children.setdefault(parent, []).append(int(name))
    found: list[int] = []
    pending = [os.getpid()]
    while pending:
        born = children.get(pending.pop(), [])
        found += born
        pending += born
    return found


def ask_wrapped(leader: int) -> bool:
    """Sends SIGTERM to all that the connector started, and not to itself; returns whether there is anything."""
    pids = [pid for pid in descendants() if pid != leader]
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGTERM)
    return bool(pids)


def send(number: int, leader: int, *, leader_ended: bool) -> None:
    """Signals the connector's group and all that it started."""
    # Once the leader was collected, its number may come to name somebody else's group.
    if not leader_ended or not LINUX:
        with contextlib.suppress(OSError):
            os.killpg(leader, number)
    if LINUX:
        for pid in descendants():
            # The group has had the signal; a second SIGTERM can cut a clean end short.
            with contextlib.suppress(OSError):
                if leader_ended or number == signal.SIGKILL or os.getpgid(pid) != leader:
                    os.kill(pid, number)


def group_exists(leader: int) -> bool:
    try:
        os.killpg(leader, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True


class Guard:
    """The time between a connector's start and the end of the last process it left behind."""

    def __init__(self, leader: int, parent: int, grace: float, leftover_grace: float, *, is_wrapper: bool) -> None:
        self.leader = leader
        self.parent = parent
        self.grace = grace
        self.leftover_grace = leftover_grace
        self.is_wrapper = is_wrapper
        self.leader_ended = False
        self.orphaned = False
        self.terminate_at: float | None = None
        self.kill_at: float | None = None
        self.kill_pause = 0.02
        self.used = (0, 0.0, 0.0)

    def reap(self) -> bool:
        """Collects ended children; returns whether anything is left."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return not LINUX and group_exists(self.leader)
            if pid == 0:
                return True
            rss = usage.ru_maxrss if LINUX else usage.ru_maxrss // 1024
            self.used = (max(self.used[0], rss), self.used[1] + usage.ru_utime, self.used[2] + usage.ru_stime)
            if pid == self.leader:
                self.leader_ended = True
                report(f"exited {status} {rss} {usage.ru_utime:.3f} {usage.ru_stime:.3f}")
                if self.terminate_at is None:
                    self.terminate_at = time.monotonic() + self.leftover_grace
                    self.grace = min(self.grace, ORPHAN_GRACE_SECONDS)

    def stop(self, grace: float) -> None:
        now = time.monotonic()
        self.terminate_at = now if self.terminate_at is None else min(self.terminate_at, now)
        self.grace = min(self.grace, grace)
        if self.kill_at is not None:
            self.kill_at = min(self.kill_at, now + grace)

    def act(self) -> float:
        """Sends what is due and returns the seconds until the next look."""
        now = time.monotonic()
        if self.kill_at is not None:
            if now < self.kill_at:
                return self.kill_at - now
            send(signal.SIGKILL, self.leader, leader_ended=self.leader_ended)
            self.kill_pause = min(self.kill_pause * 1.5, 1.0)
            return self.kill_pause
        if self.terminate_at is None:
            return 2.0
        if now < self.terminate_at:
            return self.terminate_at - now
        self.kill_at = now + self.grace
        if self.grace > 0 and not (self.is_wrapper and not self.leader_ended and LINUX and ask_wrapped(self.leader)):
            send(signal.SIGTERM, self.leader, leader_ended=self.leader_ended)
        return self.grace

    def watch(self, wakeup: int) -> None:
        poll = select.poll()
        poll.register(0, select.POLLIN)
        poll.register(wakeup, select.POLLIN)
        while self.reap():
            # A process forked off Dativo may hold the control pipe open: its end of file is then not the only sign.
            if not self.orphaned and os.getppid() != self.parent:
                self.orphaned = True
                self.stop(ORPHAN_GRACE_SECONDS)
            for fd, _ in poll.poll(min(self.act(), 2.0) * 1000 + 1):
                data = os.read(fd, 4096)
                if fd == wakeup:
                    if signal.SIGTERM in data:
                        self.stop(self.grace)
                elif not data:
                    poll.unregister(0)
                    self.orphaned = True
                    self.stop(ORPHAN_GRACE_SECONDS)
                else:
                    self.stop(0.0 if b"K" in data else self.grace)


def remove_group(path: str) -> None:
    """Removes a control group, which can be done a moment after its last process ended."""
    for _ in range(50):
        with contextlib.suppress(OSError):
            os.rmdir(path)
        if not os.path.isdir(path):
            return
        time.sleep(0.02)


def remove_folder(path: str) -> None:
    """Removes a folder with all that is in it, and follows no link."""
    for folder, folders, files in os.walk(path, topdown=False):
        for name in files:
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(folder, name))
        for name in folders:
            inner = os.path.join(folder, name)
            with contextlib.suppress(OSError):
                os.unlink(inner) if os.path.islink(inner) else os.rmdir(inner)
    with contextlib.suppress(OSError):
        os.rmdir(path)


def remove_what_is_elsewhere(directory: str) -> None:
    """Removes what a run has outside of its private directory: links named `group-…` and `folder-…` there lead to it."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(directory):
            if entry.is_symlink():
                if entry.name.startswith("group-"):
                    remove_group(os.readlink(entry.path))
                elif entry.name.startswith("folder-"):
                    remove_folder(os.readlink(entry.path))


def remove(directory: str) -> None:
    """Removes Dativo's private directory of this run: flat, as Dativo makes it."""
    remove_what_is_elsewhere(directory)
    with contextlib.suppress(OSError):
        for entry in os.scandir(directory):
            with contextlib.suppress(OSError):
                os.unlink(entry.path)
        os.rmdir(directory)


def main(options: list[str], command: list[str]) -> None:
    """`options`: stdin's fd or -1, stdout's fd, Dativo's pid, grace in seconds, grace for leftovers in seconds, whether the
    connector is a wrapper (`True`), private directory or nothing.
    """
    stdin, stdout, parent, grace, leftover_grace, is_wrapper, directory = options
    for fd in (int(stdin), int(stdout)):
        if fd >= 0:
            os.set_inheritable(fd, False)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    wakeup_read, wakeup_write = os.pipe()
    os.set_blocking(wakeup_write, False)
    signal.set_wakeup_fd(wakeup_write, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    path, *argv = command
    try:
        leader = start(path, argv, int(stdin), int(stdout))
    except OSError as error:
        report(f"failed {error.errno}")
        return
    # Else its end of file would wait for the guardian's own.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    report(f"started {leader}")
    guard = Guard(leader, int(parent), float(grace), float(leftover_grace), is_wrapper=is_wrapper == "True")
    try:
        guard.watch(wakeup_read)
    except BaseException:
        with contextlib.suppress(OSError):
            os.killpg(leader, signal.SIGKILL)
        raise
    report("all {} {:.3f} {:.3f}".format(*guard.used))
    if guard.orphaned and directory:
        remove(directory)


if __name__ == "__main__":
    separator = sys.argv.index("--")
    main(sys.argv[1:separator], sys.argv[separator + 1 :])
