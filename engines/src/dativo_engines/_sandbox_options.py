"""What a plugin declares and what it may use."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from dativo_protocols import frozen

Level = Literal["process", "landlock", "namespaces", "strict"]
# From the weakest.
LEVELS: tuple[Level, ...] = ("process", "landlock", "namespaces", "strict")


@frozen
class SandboxFile:
    """A file or folder that a plugin may use.

    Attributes:
        path: On this machine; it has the same path inside.
        writable: Whether it may be changed.
    """

    path: Path
    writable: bool = False


@frozen
class SandboxOptions:
    """The sandbox of a plugin: what is not named here, it does not get.

    Attributes:
        level: The least that will do; None takes the strongest there is. In each, what is declared here is handed in and nothing
            of Dativo's own; what holds the plugin back is, for `process`, a process, user and resource limits of its own; for
            `landlock`, that and the kernel's rules about files and system calls; for `namespaces`, a system of its own, with
            filtered system calls; for `strict`, all of these.
        memory_bytes: It is ended when it needs more, temporary files included; None for no limit.
        cpus: Processors it may use, also a fraction; None for no limit.
        cpu_seconds: Processor time of all its processes together; None for no limit.
        processes: Processes and threads at once; None for no limit.
        open_files: Of each process.
        file_bytes: The longest file it may write; None for no limit.
        tmp_bytes: Room for temporary files, which are kept in memory.
        output_bytes: What it may write to stdout; None for no limit.
        seconds: How long it may run; None for no limit.
        files: What it may use besides its own code.
        network: Hosts that it may connect to: `db.example:5432`; without a port, 443. `all` is this machine's network.
        environment: Names of variables of this process that it gets.
    """

    level: Level | None = None
    memory_bytes: int | None = 2 * 1024**3
    cpus: float | None = None
    cpu_seconds: float | None = None
    processes: int | None = 256
    open_files: int = 4096
    file_bytes: int | None = 4 * 1024**3
    tmp_bytes: int = 512 * 1024**2
    output_bytes: int | None = None
    seconds: float | None = None
    files: tuple[SandboxFile, ...] = ()
    network: tuple[str, ...] | Literal["all"] = ()
    environment: tuple[str, ...] = ()
