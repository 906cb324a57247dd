"""An Airbyte source that misbehaves: its configuration names an attempt. One that succeeds ends well, one that fails says why.

Runs inside the test images, with the standard library only.
"""

import argparse
import contextlib
import ctypes
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

ATTEMPTS = {}
MIB = 1 << 20


def attempt(function):
    ATTEMPTS[function.__name__] = function
    return function


def say(**message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def tried(what, action):
    """The result, or an error that says what was tried."""
    try:
        return action()
    except Exception as error:
        raise RuntimeError(f"cannot {what}: {error}") from error


def refusal(action):
    """Why it was refused, or None."""
    try:
        action()
    except OSError as error:
        return error.strerror
    return None


def verdict(verb, refusals, more=""):
    """What was not refused, or an error that lists the refusals."""
    if done := [str(what) for what, why in refusals.items() if why is None]:
        return f"could {verb} {', '.join(done)}{more}"
    raise RuntimeError(f"cannot {verb} {', '.join(f'{what} ({why})' for what, why in refusals.items())}{more}")


@attempt
def write_root(config):
    """Creates or changes a file anywhere but in the temporary places."""
    places = ("/", "/usr/bin", "/etc", "/airbyte/integration_code", "/home", "/var/tmp", "/opt", Path(sys.argv[-1]).parent)
    refusals = {place: refusal(lambda place=place: Path(place, "planted").write_text("x")) for place in places}
    return verdict("write", refusals)


@attempt
def write_disk(config):
    """Finds a place to write that no limit holds."""
    known = {"tmpfs", "proc", "sysfs", "devpts", "mqueue", "cgroup", "cgroup2"}
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    disks = [mount for mount in mounts if mount[2] not in known and "ro" not in mount[3].split(",")]
    # A device that is mounted for itself holds nothing.
    found = [mount[1] for mount in disks if os.access(mount[1], os.W_OK) and not stat.S_ISCHR(os.stat(mount[1]).st_mode)]
    unlimited = [mount[1] for mount in mounts if mount[2] == "tmpfs" and "rw" in mount[3].split(",") and "size=" not in mount[3]]
    if found or any(os.access(place, os.W_OK) for place in unlimited if place != "/dev"):
        return f"{found} {unlimited}"
    raise RuntimeError("cannot find a writable place without a limit")


@attempt
def own_file(config):
    """Turns its configuration into a place to write."""

    def grow():
        path = sys.argv[sys.argv.index("--config") + 1]
        with contextlib.suppress(OSError):
            os.chmod(path, 0o600)
        with open(path, "a") as file:
            file.write("x" * MIB)

    return tried("write its own configuration", grow)


@attempt
def network(config):
    """Reaches an address."""
    with tried(f"reach {config['host']}", lambda: socket.create_connection((config["host"], config["port"]), 3)):
        return "connected"


@attempt
def setuid(config):
    """Becomes root through a program that is setuid root."""
    code = "import os; print(os.geteuid(), open('/proc/self/status').read().partition('CapEff:')[2].split()[0])"
    euid, capabilities = subprocess.check_output(["/usr/local/bin/setuid-python", "-c", code], text=True).split()
    if (euid == "0" and os.getuid() != 0) or int(capabilities, 16):
        return "became root"
    raise RuntimeError(f"cannot gain privileges: setuid root ran with uid {euid} and capabilities {capabilities}")


@attempt
def capabilities(config):
    """Does what only a privileged process can."""
    libc = ctypes.CDLL(None, use_errno=True)

    def call(name, *arguments):
        if getattr(libc, name)(*arguments) == -1:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    tries = {
        "mount": lambda: call("mount", b"none", b"/tmp", b"tmpfs", 0, None),
        "unshare": lambda: call("unshare", 0x10000000),
        "sethostname": lambda: call("sethostname", b"x", 1),
        "chown": lambda: (Path("/tmp/f").write_text(""), os.chown("/tmp/f", 12345, 12345)),
        "setuid": lambda: os.setuid(12345),
        "mknod": lambda: os.mknod("/tmp/node", 0o20600, os.makedev(1, 3)),
        "chroot": lambda: os.chroot("/tmp"),
        "setgroups": lambda: os.setgroups([0]),
        "write sysrq": lambda: Path("/proc/sysrq-trigger").write_text("h"),
        "write core_pattern": lambda: Path("/proc/sys/kernel/core_pattern").write_text("x"),
        "keyctl": lambda: call("syscall", 250, 0, 0, 0),
        "Docker socket": lambda: os.stat("/var/run/docker.sock"),
    }
    refusals = {name: refusal(action) for name, action in tries.items()}
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    facts = [f"{name} {status[name].strip()}" for name in ("CapEff", "CapBnd", "CapPrm", "NoNewPrivs", "Seccomp")]
    return verdict("do", refusals, "; " + ", ".join(facts))


@attempt
def other_run(config):
    """Looks for another run's secret in every file and process it can read."""
    secret = config["half"].encode() + b"-another-run"
    own = sys.argv[sys.argv.index("--config") + 1]
    looked = 0
    for folder, _, names in os.walk("/"):
        if folder.startswith(("/sys", "/usr")):
            continue
        for name in names:
            path = os.path.join(folder, name)
            if path == own or path.endswith(("/pagemap", "/kmsg", "/kcore", "/trace_pipe")) or not os.path.isfile(path):
                continue
            with contextlib.suppress(OSError), open(path, "rb", buffering=0) as file:
                os.set_blocking(file.fileno(), False)
                looked += 1
                if secret in (file.read(MIB) or b""):
                    return f"found it in {path}"
    raise RuntimeError(f"cannot find another run's secret in {looked} files")


@attempt
def fork(config):
    """Forks without end."""
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
            raise RuntimeError(f"cannot fork after {count} processes: {error.strerror}") from error
        count += 1
    return f"{count} processes"


@attempt
def memory(config):
    """Takes all the memory."""
    blocks = []
    while len(blocks) < 16384:
        blocks.append(b"x" * MIB)
    return "16 GiB"


@attempt
def fill_tmp(config):
    """Fills the temporary place."""
    written = 0
    with open("/tmp/filler", "wb") as file:
        while written < 16384:
            tried(f"write /tmp after {written} MiB", lambda: (file.write(b"x" * MIB), file.flush()))
            written += 1
    return "16 GiB"


@attempt
def identity(config):
    """Not hostile: who it is, and what it can write."""
    home = Path(os.path.expanduser("~"))
    (home / "cache").write_text("x")
    Path("/tmp/file").write_text("x")
    files = {name: oct(os.stat(name).st_mode & 0o7777) for name in sys.argv if name.startswith("/") and os.path.isfile(name)}
    files.pop(sys.argv[0], None)
    return {"uid": os.getuid(), "home": str(home), "directory": os.getcwd(), "files": files, "environment": dict(os.environ)}


@attempt
def long_line(config):
    """Not hostile: one record of so many bytes."""
    return "x" * config["bytes"]


@attempt
def flood(config):
    """Not hostile: bytes as fast as they are taken, `bytes` of them or without end; says on stderr how far it came."""
    record = {"type": "RECORD", "record": {"stream": "attempt", "emitted_at": 1, "data": {"text": "x" * 900}}}
    block = ((json.dumps(record) + "\n") * 256).encode()
    written, told = 0, 0
    while written < config.get("bytes", 1 << 60):
        written += os.write(1, block[written % len(block) :])
        if written - told >= config.get("tell", 1 << 60):
            told = written
            sys.stderr.write(f"written {written}\n")
    return "end"


@attempt
def wait(config):
    """Not hostile: hangs after one record; deaf to SIGTERM if so configured."""
    if config.get("deaf"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say(type="RECORD", record={"stream": "attempt", "emitted_at": 1, "data": {"got": "waiting"}})
    sys.stderr.write("waiting\n")
    time.sleep(3600)


@attempt
def leave(config):
    """Not hostile: last words on stderr, then an exit code or a signal to itself."""
    sys.stderr.write(config.get("words", "ERROR leaving") + "\n")
    if "signal" in config:
        os.kill(os.getpid(), config["signal"])
    sys.stderr.flush()
    os._exit(config.get("code", 3))


@attempt
def count(config, state):
    """Not hostile: so many rows, with a state after each hundred, from where the state says."""
    start = state[0]["stream"]["stream_state"]["at"] if state else 0
    for at in range(start, config["rows"], 100):
        rows = range(at, min(at + 100, config["rows"]))
        for number in rows:
            say(type="RECORD", record={"stream": "attempt", "emitted_at": 1, "data": {"id": number, "got": "x" * 100}})
        stream = {"stream_descriptor": {"name": "attempt"}, "stream_state": {"at": rows.stop}}
        say(type="STATE", state={"type": "STREAM", "stream": stream, "sourceStats": {"recordCount": len(rows)}})
        time.sleep(config.get("pause_seconds", 0))


STREAM = {
    "name": "attempt",
    "json_schema": {"type": "object", "properties": {"id": {"type": "integer"}, "got": {}}},
    "supported_sync_modes": ["full_refresh", "incremental"],
    "source_defined_cursor": True,
}


def read(config, state):
    def status(value):
        descriptor = {"stream_descriptor": {"name": "attempt"}, "status": value}
        say(type="TRACE", trace={"type": "STREAM_STATUS", "emitted_at": 1.0, "stream_status": descriptor})

    status("STARTED")
    try:
        function = ATTEMPTS[config["attempt"]]
        got = function(config, state) if function is count else function(config)
    except Exception as error:
        trace = {"message": str(error), "failure_type": "system_error", "stack_trace": ""}
        say(type="TRACE", trace={"type": "ERROR", "emitted_at": 1.0, "error": trace})
        sys.stdout.flush()
        os._exit(1)
    if got is not None:
        say(type="RECORD", record={"stream": "attempt", "emitted_at": 1, "data": {"got": got}})
    status("COMPLETE")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["spec", "check", "discover", "read"])
    for name in ("config", "catalog", "state"):
        parser.add_argument(f"--{name}", type=lambda path: json.loads(Path(path).read_text()))
    arguments = parser.parse_args()
    if arguments.command == "spec":
        say(type="SPEC", spec={"connectionSpecification": {"type": "object", "properties": {"attempt": {"type": "string"}}}})
    elif arguments.command == "check":
        say(type="CONNECTION_STATUS", connectionStatus={"status": "SUCCEEDED"})
    elif arguments.command == "discover":
        say(type="CATALOG", catalog={"streams": [STREAM]})
    else:
        read(arguments.config, arguments.state)


if __name__ == "__main__":
    main()
