"""Becomes a sandbox: limits itself, gives up what it may, and turns into `bwrap`.

Run by the supervisor as `python -I -S _launcher.py PLAN COMMAND…`, with the standard library's smallest parts only. PLAN is a
JSON file in the run's private directory:

- `bwrap`: its path; `arguments`: what it is told, besides what follows from the rest; `environment`: of the program
- `root`: the image's root file system; `files`: by path in the sandbox, the files to put there for its user alone
- `seccomp`: path of a filter, or null
- `groups`: control groups to join; `limits`: resource limits by number; `cpus`: processors to stay on, or null
- `user`: to run as outside, when this is root, or null

Only root needs what follows it: an unprivileged user cannot enter the directories of the image's store, so root makes the image
visible in a mount namespace of its own, and becomes that user there.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PR_SET_PDEATHSIG = 1
CLONE_NEWNS = 0x00020000
MS_NOSUID_NODEV = 2 | 4
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
# Where bwrap works as well; in a mount namespace of its own, what was there is only hidden.
STAGE = "/tmp"
FAILED = 125
# By which processes of a run are found that somebody else left behind.
MARK = "DATIVO_PROCESS"


def call(name: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def limit(plan: dict[str, Any]) -> None:
    for procs in plan["groups"]:
        with open(procs, "w") as file:
            file.write("0")
    for number, value in plan["limits"]:
        hard = resource.getrlimit(number)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(number, (value, value))
    if plan["cpus"]:
        os.sched_setaffinity(0, plan["cpus"])


def stage(root: str) -> str:
    """Makes the root visible below the stage, for this process and those it starts."""
    call("unshare", CLONE_NEWNS)
    call("mount", b"none", b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None)
    source = os.open(root, os.O_PATH | os.O_DIRECTORY)
    call("mount", b"dativo", STAGE.encode(), b"tmpfs", ctypes.c_ulong(MS_NOSUID_NODEV), b"size=64k,mode=755")
    os.mkdir(f"{STAGE}/root", 0o755)
    call("mount", f"/proc/self/fd/{source}".encode(), f"{STAGE}/root".encode(), None, ctypes.c_ulong(MS_BIND), None)
    os.close(source)
    return f"{STAGE}/root"


def become(user: int) -> None:
    """Gives up being root, for good; the kernel then forgets to end this process with the one that watches over it."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    os.chdir("/")
    call("prctl", PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)


def inherited(path: str) -> str:
    fd = os.open(path, os.O_RDONLY)
    os.set_inheritable(fd, True)
    return str(fd)


def main(path: str, command: list[str]) -> None:
    with open(path) as file:
        plan = json.load(file)
    limit(plan)
    arguments = list(plan["arguments"])
    if plan["seccomp"]:
        arguments += ["--seccomp", inherited(plan["seccomp"])]
    files = []
    for inside, outside in plan["files"].items():
        files += ["--perms", "0444" if inside.startswith("/etc/") else "0400", "--ro-bind-data", inherited(outside), inside]
    bwrap = os.open(plan["bwrap"], os.O_RDONLY | os.O_CLOEXEC)
    root = plan["root"]
    if plan["user"] is not None:
        root = stage(root)
        become(plan["user"])
    arguments = ["--ro-bind", root, "/", *arguments, *files, "--remount-ro", "/dativo", "--clearenv"]
    for name, value in plan["environment"].items():
        arguments += ["--setenv", name, value]
    # Not on the command line, which other users can read.
    told = os.memfd_create("arguments", 0)
    os.write(told, "\0".join(arguments).encode("utf-8", "surrogateescape"))
    os.lseek(told, 0, os.SEEK_SET)
    os.execve(bwrap, ["bwrap", "--args", str(told), "--", *command], {MARK: os.environ.get(MARK, "")})


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2:])
    except OSError as error:
        where = f" `{error.filename}`" if error.filename else ""
        print(f"sandbox: {error.strerror}{where}", file=sys.stderr)
        sys.exit(FAILED)
