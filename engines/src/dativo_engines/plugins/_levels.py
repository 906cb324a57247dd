"""How strongly this machine can confine a plugin, and what is missing for more."""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import platform
from collections.abc import Mapping
from pathlib import Path

from dativo_protocols import SandboxError, frozen

from dativo_engines._sandbox_options import LEVELS, Level
from dativo_engines.sandbox._bubblewrap import find_bubblewrap, probe
from dativo_engines.sandbox._limits import outside_user
from dativo_engines.sandbox._seccomp import seccomp_filter

LANDLOCK_CREATE_RULESET = 444
LANDLOCK_CREATE_RULESET_VERSION = 1
# The first that knows of signals and of abstract Unix sockets.
SCOPED = 6


@frozen
class Means:
    """What this machine has.

    Attributes:
        bwrap: Path of `bwrap`, where it can make a sandbox; else None.
        landlock: Version that the kernel has; 0 for none.
        seccomp: Whether system calls can be filtered.
        missing: What there is not, and why, with what to do about it: of `bwrap`, `landlock`, `seccomp`.
    """

    bwrap: str | None
    landlock: int
    seccomp: bool
    missing: Mapping[str, SandboxError]

    @property
    def strongest(self) -> Level:
        """The strongest level that can be had."""
        if self.bwrap is not None:
            return "strict" if self.landlock and self.seccomp else "namespaces"
        return "landlock" if self.landlock and self.seccomp else "process"

    def lacking(self, level: Level) -> list[SandboxError]:
        """What a level needs that is missing."""
        needed = {
            "process": (),
            "landlock": ("landlock", "seccomp"),
            "namespaces": ("bwrap",),
            "strict": ("bwrap", "landlock", "seccomp"),
        }
        return [self.missing[name] for name in needed[level] if name in self.missing]


@functools.cache
def means() -> Means:
    """What this machine has, looked up once: makes a sandbox for the trial, in milliseconds."""
    missing = {}
    bwrap: str | None = None
    try:
        bwrap = find_bubblewrap()
        probe(bwrap, outside_user())
    except SandboxError as error:
        bwrap, missing["bwrap"] = None, error
    version, reason = _landlock()
    if reason is not None:
        missing["landlock"] = reason
    seccomp = seccomp_filter(plugin=True) is not None
    if not seccomp:
        missing["seccomp"] = SandboxError(
            f"system calls cannot be filtered: there is no filter for `{platform.machine()}`", hint="x86-64 and ARM64 have one"
        )
    elif not Path("/proc/sys/kernel/seccomp/actions_avail").exists():
        seccomp = False
        missing["seccomp"] = SandboxError(
            "system calls cannot be filtered: the kernel does not do that", hint="it needs CONFIG_SECCOMP_FILTER"
        )
    return Means(bwrap, version, seccomp, missing)


def chosen(found: Means, least: Level | None) -> Level:
    """The level to use.

    Args:
        found: What there is.
        least: The least that will do, or None.

    Raises:
        SandboxError: It cannot be had: names what is missing, and what to install or set.
    """
    strongest = found.strongest
    if least is None or LEVELS.index(strongest) >= LEVELS.index(least):
        return strongest
    lacking = found.lacking(least)
    raise SandboxError(
        f"this machine has no sandbox of the level `{least}`: {'; '.join(error.message for error in lacking)}",
        hint="; ".join([*(error.hint for error in lacking if error.hint), f"or demand less: `level: {strongest}`"]),
        facts={"level": least, "strongest": strongest},
    )


def _landlock() -> tuple[int, SandboxError | None]:
    if platform.system() != "Linux":
        return 0, SandboxError(f"Landlock is a part of Linux, and this is {platform.system()}")
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    flags = ctypes.c_long(LANDLOCK_CREATE_RULESET_VERSION)
    version = int(syscall(ctypes.c_long(LANDLOCK_CREATE_RULESET), None, ctypes.c_long(0), flags))
    if version > 0:
        return version, None
    number = ctypes.get_errno()
    if number == errno.ENOSYS:
        return 0, SandboxError("the kernel has no Landlock", hint="that needs Linux 5.13 or newer, with CONFIG_SECURITY_LANDLOCK")
    if number == errno.EOPNOTSUPP:
        return 0, SandboxError("Landlock is switched off", hint="add `landlock` to `lsm=` among the kernel's parameters")
    return 0, SandboxError(
        f"Landlock is refused: {os.strerror(number).lower()}", hint="a container's seccomp profile may do that"
    )
