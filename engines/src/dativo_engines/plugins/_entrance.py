"""The last step before a plugin's program: gives up, from inside, what cannot be taken from outside.

Run as `python -I -S entrance.py PLAN COMMAND…` in the sandbox, or in the plugin's own process where there are no namespaces, with
the standard library's smallest parts only. PLAN is a file that `marshal` wrote:

- `landlock`: the kernel's version of it, 0 for none; `readable`, `writable`: paths; `listable`: folders whose names can be read;
  `devices`: files to write to; what is missing is left out; `ports`: TCP ports to connect to, or null for no rule about TCP
- `seccomp`: path of a filter, or null where `bwrap` has installed it
- `relay`: file descriptor that takes the listening sockets, or null; `hosts`: address and port of each; `addresses`: those that
  the loopback interface is to have besides its own
- `limits`: resource limits by number, which are lowered and never raised; `folder`: to start in, else `directory`

Landlock is asked by system calls, whose numbers are the same for all processors.
"""

from __future__ import annotations

import ctypes
import marshal
import os
import resource
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
RULE_PATH, RULE_PORT = 1, 2
EXECUTE, WRITE_FILE, READ_FILE, READ_DIRECTORY = 1, 2, 4, 8
# Removing, and making everything but device nodes; moving between directories; truncating.
MAKE_AND_REMOVE = 0b0001_0111_1011_0000
REFER, TRUNCATE, IOCTL_DEVICE = 1 << 13, 1 << 14, 1 << 15
MAKE_DEVICES = 1 << 6 | 1 << 11
READ = EXECUTE | READ_FILE | READ_DIRECTORY
# What a rule about a file, not a directory, may say.
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEVICE
BIND_TCP, CONNECT_TCP = 1, 2
ABSTRACT_UNIX_SOCKETS, SIGNALS = 1, 2
IPV6_FREEBIND = 78

PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
PR_CAPBSET_DROP, PR_SET_SECUREBITS, PR_SET_NO_NEW_PRIVS = 24, 28, 38
PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
CAPABILITY_VERSION = 0x20080522
# No privileges for being root, locked; no ambient ones, locked.
SECUREBITS = 0b1111_1111 & ~0b0001_0000 & ~0b0010_0000
FAILED = 125


def syscall(number: int, *arguments: object) -> int:
    longs = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    result = int(LIBC.syscall(ctypes.c_long(number), *longs))
    if result == -1:
        raise failure("landlock")
    return result


def call(name: str, *arguments: object) -> None:
    longs = [ctypes.c_ulong(each) if isinstance(each, int) else each for each in arguments]
    if getattr(LIBC, name)(*longs) == -1:
        raise failure(name)


def failure(name: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{name}: {os.strerror(number)}")


def handled(version: int) -> tuple[int, int, int]:
    """What this version of Landlock can forbid: about files, about TCP, about others."""
    files = READ | WRITE_FILE | MAKE_AND_REMOVE | MAKE_DEVICES
    files |= (REFER if version >= 2 else 0) | (TRUNCATE if version >= 3 else 0) | (IOCTL_DEVICE if version >= 5 else 0)
    return files, BIND_TCP | CONNECT_TCP if version >= 4 else 0, ABSTRACT_UNIX_SOCKETS | SIGNALS if version >= 6 else 0


def restrict(plan: dict[str, Any]) -> None:
    """Only these paths from now on, for this process and all it starts."""
    version = plan["landlock"]
    files, tcp, others = handled(version)
    if plan["ports"] is None:
        tcp = 0
    attributes = struct.pack("=QQQ", files, tcp, others)[: 8 if version < 4 else 16 if version < 6 else 24]
    rules = syscall(LANDLOCK_CREATE_RULESET, attributes, len(attributes), 0)
    write = READ_FILE | READ_DIRECTORY | WRITE_FILE | MAKE_AND_REMOVE | REFER | TRUNCATE
    kinds = {"readable": READ, "writable": write, "listable": READ_DIRECTORY, "devices": READ_FILE | WRITE_FILE}
    for kind, access in kinds.items():
        for path in plan[kind]:
            try:
                fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except OSError:
                continue
            allowed = access & files & (-1 if os.path.isdir(path) else OF_FILES)
            syscall(LANDLOCK_ADD_RULE, rules, RULE_PATH, struct.pack("=Qi", allowed, fd), 0)
            os.close(fd)
    for port in (plan["ports"] or []) if tcp else []:
        syscall(LANDLOCK_ADD_RULE, rules, RULE_PORT, struct.pack("=QQ", CONNECT_TCP, port), 0)
    syscall(LANDLOCK_RESTRICT_SELF, rules, 0)
    os.close(rules)


def listen(plan: dict[str, Any]) -> None:
    """Takes the addresses by which the declared hosts are known here, and leaves those who come to the relay outside."""
    import array
    import fcntl
    import socket

    for number, address in enumerate(plan["addresses"]):
        if ":" in address:
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as any_socket:
                request = socket.inet_pton(socket.AF_INET6, address) + struct.pack("=Ii", 128, socket.if_nametoindex("lo"))
                fcntl.ioctl(any_socket, 0x8916, request)
        else:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
                name = f"lo:{number}".encode().ljust(16, b"\0")
                for what, value in ((0x8916, address), (0x891C, "255.255.255.255")):
                    request = name + struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(value))
                    fcntl.ioctl(any_socket, what, request)
    listening = []
    for address, port in plan["hosts"]:
        listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        if ":" in address:
            # The kernel makes sure for a moment that nobody else has the address.
            listener.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
        listener.bind((address, port))
        listener.listen(128)
        listening.append(listener)
    fds = array.array("i", [each.fileno() for each in listening])
    with socket.socket(fileno=plan["relay"]) as relay:
        relay.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
    for each in listening:
        each.close()


def give_up_privileges() -> None:
    """For good: those of a user, those that root would have again with the next program, those to be inherited."""
    for number in range(64):
        if LIBC.prctl(PR_CAPBSET_DROP, ctypes.c_ulong(number), 0, 0, 0) == -1:
            break
    # Refused to whoever has no privileges to lose.
    LIBC.prctl(PR_SET_SECUREBITS, ctypes.c_ulong(SECUREBITS), 0, 0, 0)
    LIBC.prctl(PR_CAP_AMBIENT, ctypes.c_ulong(PR_CAP_AMBIENT_CLEAR_ALL), 0, 0, 0)
    call("capset", struct.pack("=Ii", CAPABILITY_VERSION, 0), bytes(24))
    call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def refuse_calls(path: str) -> None:
    with open(path, "rb") as file:
        program = file.read()
    instructions = ctypes.create_string_buffer(program, len(program))
    told = struct.pack("@HP", len(program) // 8, ctypes.addressof(instructions))
    call("prctl", PR_SET_SECCOMP, SECCOMP_MODE_FILTER, told, 0, 0)


def main(path: str, command: list[str]) -> None:
    with open(path, "rb") as file:
        plan = marshal.load(file)
    if plan["relay"] is not None:
        listen(plan)
    give_up_privileges()
    for number, value in plan["limits"]:
        hard = resource.getrlimit(number)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(number, (value, value))
    if plan["landlock"]:
        restrict(plan)
    if plan["seccomp"]:
        refuse_calls(plan["seccomp"])
    try:
        os.chdir(plan["folder"] or plan["directory"])
    except OSError:
        os.chdir(plan["directory"])
    try:
        os.execve(command[0], command, os.environ)
    except OSError as error:
        # As `bwrap` says it.
        print(f"sandbox: execvp {command[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    LIBC = ctypes.CDLL(None, use_errno=True)
    try:
        main(sys.argv[1], sys.argv[2:])
    except OSError as error:
        print(f"sandbox: {error.strerror}" + (f" `{error.filename}`" if error.filename else ""), file=sys.stderr)
        sys.exit(FAILED)
