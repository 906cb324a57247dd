"""Becomes a sandbox: limits itself, gives up what it may, and turns into `bwrap`, or into the program itself where there is none.

Run by the supervisor as `python -I -S _launcher.py PLAN COMMAND…`, with the standard library's smallest parts only: each start
waits for it, and `json` or `signal` alone would take longer than all the rest. PLAN is a file in the run's private directory,
written by `marshal`:

- `bwrap`: its path, or null; `environment`: of the program; `arguments`: what `bwrap` is told, besides what follows from the
  rest. One that is `{"source": PATH, "owner": [USER, GROUP]}` is a path that must be seen from outside; with an owner, what is
  his belongs to the sandbox's user inside. `last`: what it is told at the end
- `directory`: to start in, where there is no `bwrap`
- `files`: by path in the sandbox, the files to put there for its user alone
- `seccomp`: path of a filter for `bwrap`, or null
- `groups`: control groups to join; `limits`: resource limits by number; `cpus`: processors to stay on, or null
- `user`: to run as outside, when this is root, or null
- `relay`: what `_relay.py` is told, with its own path as `program`, or null; the entrance finds its end as descriptor `RELAY`

Only root needs what follows it: an unprivileged user cannot enter the directories of the image's store, or those of root's own,
so root makes what is needed visible in a mount namespace of its own, and becomes that user there.
"""

from __future__ import annotations

import ctypes
import marshal
import os
import resource
import stat
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PR_SET_PDEATHSIG = 1
SIGKILL = 9
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
# Above what anything opened here, so that it is nobody else's number.
RELAY = 60

# Since Linux 5.12; elsewhere a file's owner stays who he is.
OPEN_TREE, MOVE_MOUNT, MOUNT_SETATTR = 428, 429, 442
CLONE_NEWUSER = 0x10000000
OPEN_TREE_FLAGS = 1 | os.O_CLOEXEC | 0x8000
AT_EMPTY_PATH_RECURSIVE = 0x1000 | 0x8000
MOUNT_ATTR_IDMAP = 0x00100000
MOVE_MOUNT_F_EMPTY_PATH = 4
AT_FDCWD = -100


def call(name: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def syscall(number: int, *arguments: object) -> int:
    longs = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    result = int(ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(number), *longs))
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


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


def stage(sources: list[dict[str, Any]], user: int) -> list[str]:
    """Makes these visible below the stage, for this process and those it starts; returns where each is."""
    call("unshare", CLONE_NEWNS)
    call("mount", b"none", b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None)
    opened = [os.open(each["source"], os.O_PATH) for each in sources]
    owned = {tuple(each["owner"]) for each in sources if each.get("owner")}
    owners = {owner: user_namespace(owner[0], owner[1], user) for owner in owned}
    trees = [owned_tree(each["source"], owners[tuple(each["owner"])]) if each.get("owner") else None for each in sources]
    call("mount", b"dativo", STAGE.encode(), b"tmpfs", ctypes.c_ulong(MS_NOSUID_NODEV), b"size=64k,mode=755")
    places = []
    for number, (source, tree) in enumerate(zip(opened, trees, strict=True)):
        place = f"{STAGE}/{number}"
        if stat.S_ISDIR(os.fstat(source).st_mode):
            os.mkdir(place, 0o755)
        else:
            os.close(os.open(place, os.O_CREAT | os.O_WRONLY))
        if tree is None:
            origin = f"/proc/self/fd/{source}".encode()
            call("mount", origin, place.encode(), None, ctypes.c_ulong(MS_BIND | MS_REC), None)
        else:
            syscall(MOVE_MOUNT, tree, b"", AT_FDCWD, place.encode(), MOVE_MOUNT_F_EMPTY_PATH)
            os.close(tree)
        os.close(source)
        places.append(place)
    return places


def user_namespace(owner: int, group: int, user: int) -> int:
    """A user namespace that says: what is this owner's and this group's is the sandbox's user's."""
    (made, made_write), (used, used_write) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        call("unshare", CLONE_NEWUSER)
        os.write(made_write, b"x")
        os.close(used_write)
        os.read(used, 1)
        os._exit(0)
    os.close(made_write)
    os.read(made, 1)
    for name, number in (("uid_map", owner), ("gid_map", group)):
        with open(f"/proc/{child}/{name}", "w") as file:
            file.write(f"{number} {user} 1")
    fd = os.open(f"/proc/{child}/ns/user", os.O_RDONLY)
    os.close(used_write)
    os.waitpid(child, 0)
    for pipe in (made, used):
        os.close(pipe)
    return fd


def owned_tree(path: str, owners: int) -> int | None:
    """A mount of a path on which owners are others; None where the kernel or the file system cannot do that."""
    try:
        tree = syscall(OPEN_TREE, AT_FDCWD, os.fsencode(path), OPEN_TREE_FLAGS)
        attributes = struct.pack("=QQQQ", MOUNT_ATTR_IDMAP, 0, 0, owners)
        syscall(MOUNT_SETATTR, tree, b"", AT_EMPTY_PATH_RECURSIVE, attributes, len(attributes))
    except OSError:
        return None
    return tree


def become(user: int) -> None:
    """Gives up being root, for good; the kernel then forgets to end this process with the one that watches over it."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    os.chdir("/")
    call("prctl", PR_SET_PDEATHSIG, ctypes.c_ulong(SIGKILL), 0, 0, 0)


def inherited(path: str) -> str:
    fd = os.open(path, os.O_RDONLY)
    os.set_inheritable(fd, True)
    return str(fd)


def start_relay(plan: dict[str, Any], user: int | None) -> None:
    """Starts what connects to declared hosts on behalf of the sandbox; it ends with the process that this one turns into."""
    import socket

    # Not by its path: the user may be unable to reach it.
    sys.path.insert(0, os.path.dirname(plan["program"]))
    import _relay  # type: ignore[import-not-found]

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    parent = os.getpid()
    if os.fork() == 0:
        theirs.close()
        try:
            if user is not None:
                become(user)
            call("prctl", PR_SET_PDEATHSIG, ctypes.c_ulong(SIGKILL), 0, 0, 0)
            if os.getppid() == parent:
                _relay.main(ours, plan["hosts"])
        finally:
            os._exit(0)
    ours.close()
    os.dup2(theirs.fileno(), RELAY, inheritable=True)
    theirs.close()


def placed(arguments: list[Any], user: int | None) -> list[str]:
    """The arguments with each source replaced by where it can be seen."""
    sources = [each for each in arguments if not isinstance(each, str)]
    places = iter([each["source"] for each in sources] if user is None else stage(sources, user))
    return [each if isinstance(each, str) else next(places) for each in arguments]


def main(path: str, command: list[str]) -> None:
    with open(path, "rb") as file:
        plan = marshal.load(file)
    user = plan["user"]
    # Before it has limits: what the relay uses is not the program's.
    if plan.get("relay"):
        start_relay(plan["relay"], user)
    limit(plan)
    if plan["bwrap"] is None:
        if user is not None:
            become(user)
        os.chdir(plan["directory"])
        os.execve(command[0], command, {MARK: os.environ.get(MARK, ""), **plan["environment"]})
    seccomp = ["--seccomp", inherited(plan["seccomp"])] if plan["seccomp"] else []
    files = []
    for inside, outside in plan["files"].items():
        files += ["--perms", "0444" if inside.startswith("/etc/") else "0400", "--ro-bind-data", inherited(outside), inside]
    bwrap = os.open(plan["bwrap"], os.O_RDONLY | os.O_CLOEXEC)
    arguments = placed(plan["arguments"], user)
    if user is not None:
        become(user)
    arguments += [*seccomp, *files, "--remount-ro", "/dativo", *plan.get("last", []), "--clearenv"]
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
