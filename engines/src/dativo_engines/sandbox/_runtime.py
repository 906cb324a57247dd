"""Runs an image as a confined process of this machine."""

from __future__ import annotations

import marshal
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from dativo_protocols import ConfigError

from dativo_engines._engine import Connector, ContainerOptions, EngineOptions
from dativo_engines._private import PROCESS_MARK, PrivateDirectory
from dativo_engines._redaction import Redactor
from dativo_engines._running import Exit
from dativo_engines._runtime import ConnectorRuntime, placed
from dativo_engines.sandbox import _launcher
from dativo_engines.sandbox._bubblewrap import ISOLATION, find_bubblewrap, probe, setup_failure
from dativo_engines.sandbox._compiled import compiled
from dativo_engines.sandbox._images import Image, ImageInfo, ImageStore
from dativo_engines.sandbox._limits import Limits, outside_user
from dativo_engines.sandbox._platform import wanted_platform
from dativo_engines.sandbox._program import ImageProgram, program_of
from dativo_engines.sandbox._root import Root
from dativo_engines.sandbox._seccomp import seccomp_filter
from dativo_engines.supervisor import Process

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.zst")
# Without a daemon, there is no bridge: it is this machine's network.
NETWORKS = ("none", "bridge", "host")
SHARED_MEMORY_BYTES = 64 << 20
FILES = "/dativo"
# They tell about the machine rather than about a process.
HIDDEN = ("kcore", "keys", "latency_stats", "sched_debug", "timer_list")


class SandboxRuntime(ConnectorRuntime):
    """Starts an image's program without a container daemon; see `Runtime`.

    The image is a path (an OCI layout, or what `docker save` wrote) or a name: of what was unpacked here before, else of what a
    Docker Engine on this machine has. It is unpacked once, by its digest.
    """

    def __init__(self, connector: Connector, options: EngineOptions, *, directory: PrivateDirectory, redactor: Redactor) -> None:
        super().__init__(connector, options, directory=directory, redactor=redactor)
        self._image: Image | None = None
        self._bwrap = ""
        self._user: int | None = None
        self._starts = 0

    def prepare(self) -> None:
        """Unpacks the image unless it was before, and looks whether this machine can confine it.

        Raises:
            ConfigError: There is no such image, or none for this machine.
            ConnectorError: The disk is full, or the Docker Engine that has it failed (retryable).
            SandboxError: `bwrap` or something of the kernel's is missing, or the image is not what it says.
        """
        if self._image is not None:
            return
        network = self._options.container.network
        if network not in NETWORKS:
            raise ConfigError(
                f"a sandbox cannot join the Docker network `{network}`",
                hint="`network` may be `none`, or `host`: this machine's own",
            )
        self._bwrap = find_bubblewrap()
        self._user = outside_user()
        probe(self._bwrap, self._user)
        image = str(self._connector.image)
        platform = wanted_platform(self._options.container.platform)
        store = ImageStore(self._options.cache_dir, self._log)
        if _is_path(image):
            found = store.unpack(Path(image).expanduser(), platform)
        else:
            found = store.find(image) or self._exported(store, image, platform)
        self._image = self._stack.enter_context(found)

    def start(
        self, arguments: Sequence[str], files: Mapping[str, bytes], *, stop_timeout_seconds: float | None = None
    ) -> SandboxedProcess:
        """Starts the image's program with the connector's own arguments before these.

        Raises:
            ConfigError: The image does not say how to start it.
            ConnectorError: Its process cannot be started.
        """
        if self._image is None:
            raise RuntimeError("not prepared")
        image = self._image.info
        program = program_of(Root(image.root), image.config, name=self.name, executable=self._connector.executable)
        self._starts += 1
        with ExitStack() as opening:
            limits = Limits(
                self._options.container,
                name=f"dativo-{self._directory.mark[:16]}-{self._starts}",
                user=self._user,
                note=lambda group: self._directory.note("group", group),
            )
            opening.callback(limits.close)
            self._tell(limits)
            plan = self._plan(image, program, limits, files)
            paths = {name: f"{FILES}/{name}" for name in files}
            launcher = [sys.executable, "-I", "-S", str(self._directory.write("launcher.pyc", compiled(_launcher))), str(plan)]
            process = SandboxedProcess(
                [*launcher, *program.command, *self._connector.arguments, *placed(arguments, paths)],
                limits,
                directory=self._directory,
                stop_timeout_seconds=self._stop_timeout(stop_timeout_seconds),
                redactor=self._redactor,
                log=self._options.log,
            )
            opening.pop_all()
        return self._stack.enter_context(process)

    def close(self) -> None:
        """Ends what was started; the image may then be removed."""
        super().close()
        self._image = None

    def _exported(self, store: ImageStore, name: str, platform: str) -> Image:
        from dativo_engines.sandbox._export import export

        options = self._options
        return export(store, name, platform, cache_dir=options.cache_dir, pull=options.container.pull, log=self._log)

    def _plan(self, image: ImageInfo, program: ImageProgram, limits: Limits, files: Mapping[str, bytes]) -> Path:
        """Writes what the launcher is to do."""
        options = self._options.container
        inside = {f"{FILES}/{name}": data for name, data in files.items()}
        resolver, hosts = _names(network=options.network != "none")
        inside |= {"/etc/resolv.conf": resolver, "/etc/hosts": hosts, "/etc/hostname": b"dativo\n"}
        write = self._directory.write
        seccomp = seccomp_filter()
        plan = {
            "bwrap": self._bwrap,
            "arguments": [
                *("--ro-bind", {"source": str(image.root)}, "/"),
                *_arguments(program, image.writable, limits.groups.mounts, options),
            ],
            "environment": {**program.environment, **self._connector.environment, PROCESS_MARK: self._directory.mark},
            "files": {
                path: str(write(f"sandbox-{self._starts}-{number}", data)) for number, (path, data) in enumerate(inside.items())
            },
            "seccomp": str(write("sandbox-seccomp", seccomp)) if seccomp else None,
            "groups": limits.groups.joining,
            "limits": limits.resources,
            "cpus": limits.processors,
            "user": self._user,
        }
        return write(f"sandbox-{self._starts}", marshal.dumps(plan))

    def _tell(self, limits: Limits) -> None:
        if self._starts > 1:
            return
        for sentence in limits.weaker:
            self._log("warning", f"no control group can be made: {sentence}")
        if seccomp_filter() is None:
            self._log("warning", "system calls are not filtered: no filter for this processor")
        if self._options.container.network != "none":
            self._log("info", "the sandbox shares this machine's network; `container: {network: none}` gives it none")


class SandboxedProcess(Process):
    """A `Process` that knows its limits.

    Args:
        limits: Removed when it is closed.
        is_wrapper: Whether the program runs in a sandbox that `bwrap` made.
        process: As for a `Process`.

    Attributes:
        pid: Of the sandbox's outermost process.
    """

    def __init__(self, command: Sequence[str], limits: Limits, *, is_wrapper: bool = True, **process: Any) -> None:
        self._limits = limits
        self._explained: Exit | None = None
        super().__init__(command, is_wrapper=is_wrapper, **process)

    @property
    def exit(self) -> Exit | None:
        """How it ended, with the reason where it is known; None while it runs."""
        ended = super().exit
        return self._explained or (None if ended is None else self._explain(ended))

    def close(self) -> None:
        """Ends it and waits for that. May be called twice."""
        super().close()
        # What the control groups know goes with them.
        self._explained = self.exit
        self._limits.close()

    def _explain(self, ended: Exit) -> Exit:
        code = 1 if ended.code is None else ended.code
        cause, hint = self._limits.cause(code, ended.max_rss_bytes)
        if cause is None and code in (1, _launcher.FAILED) and (failure := setup_failure(self.stderr_tail)):
            cause, hint = failure.message, failure.hint
        return replace(ended, cause=cause, hint=hint)


def _is_path(image: str) -> bool:
    if image.startswith(("/", "./", "../", "~")):
        return True
    path = Path(image)
    return (path / "oci-layout").is_file() or (image.endswith(ARCHIVES) and path.is_file())


def _arguments(program: ImageProgram, writable: Sequence[str], groups: Mapping[str, str], options: ContainerOptions) -> list[str]:
    tmp_bytes = options.tmp_bytes
    arguments = [*ISOLATION, "--uid", str(program.user), "--gid", str(program.group), "--hostname", "dativo"]
    arguments += ["--unshare-net"] if options.network == "none" else []
    arguments += ["--proc", "/proc", "--dev", "/dev", "--size", str(SHARED_MEMORY_BYTES), "--tmpfs", "/dev/shm"]
    arguments += ["--remount-ro", "/dev", "--perms", "1777", "--size", str(tmp_bytes), "--tmpfs", "/tmp"]
    # A Java program takes its limit from there; without, it would take this machine's memory for its own.
    arguments += ["--perms", "0755", "--size", "65536", "--tmpfs", "/sys"]
    for inside, outside in groups.items():
        arguments += ["--ro-bind", outside, inside]
    arguments += ["--remount-ro", "/sys"]
    for path in writable:
        arguments += ["--perms", "0700", "--size", str(tmp_bytes), "--tmpfs", path]
    for name in HIDDEN:
        if Path("/proc", name).exists():
            arguments += ["--ro-bind", "/dev/null", f"/proc/{name}"]
    return [*arguments, "--perms", "0755", "--size", "65536", "--tmpfs", FILES, "--chdir", program.directory]


def _names(*, network: bool) -> tuple[bytes, bytes]:
    """What resolves names inside: this machine's way where the sandbox has a network."""
    hosts = b"127.0.0.1 localhost dativo\n::1 localhost\n"
    if not network:
        return b"", hosts
    with suppress(OSError):
        hosts = Path("/etc/hosts").read_bytes().rstrip(b"\n") + b"\n127.0.0.1 dativo\n"
    resolver = b""
    with suppress(OSError):
        resolver = Path("/etc/resolv.conf").read_bytes()
    return resolver, hosts
