"""The program that makes the sandbox, and why it may be unable to."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from dativo_protocols import SandboxError

# The first with --size and the rest of what is used here.
OLDEST = (0, 8)
PROBE_SECONDS = 20.0

_SYSCTLS = (
    ("kernel/unprivileged_userns_clone", "0", "1"),
    ("user/max_user_namespaces", "0", "15000"),
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
)


def find_bubblewrap() -> str:
    """Path of `bwrap`.

    Raises:
        SandboxError: It is not installed, or this is not Linux.
    """
    if platform.system() != "Linux":
        raise SandboxError(
            f"sandboxes need Linux, and this is {platform.system()}", hint="leave out `runtime`: Docker runs the image"
        )
    path = shutil.which("bwrap") or shutil.which("bwrap", path="/usr/bin:/usr/local/bin:/bin")
    if path is None:
        raise SandboxError(
            "a sandbox needs the program `bwrap`, which is not installed",
            hint="it comes with the package `bubblewrap`: `apt install bubblewrap`, `dnf install bubblewrap`, …",
        )
    return os.path.realpath(path)


def probe(bwrap: str, user: int | None) -> None:
    """Makes a sandbox of this machine's own root, in milliseconds.

    Args:
        bwrap: Its path.
        user: Who it is made as, or None for who runs this.

    Raises:
        SandboxError: The kernel does not allow it: names what is missing.
    """
    command = [bwrap, "--ro-bind", "/", "/", *ISOLATION, "--unshare-net", "--proc", "/proc", "--dev", "/dev", "--", "/bin/true"]
    as_user = {} if user is None else {"user": user, "group": user, "extra_groups": []}
    try:
        ended = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            cwd="/",
            env={},
            timeout=PROBE_SECONDS,
            **as_user,  # type: ignore[call-overload]
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise SandboxError(f"cannot start `{bwrap}`: {error}") from error
    said = ended.stderr.strip().splitlines()
    # The machine's own root may have no /bin/true: the sandbox was made all the same.
    if ended.returncode != 0 and not any("execvp" in line for line in said):
        raise setup_failure(said) or SandboxError(f"`bwrap` failed (exit code {ended.returncode})")


ISOLATION = (
    "--unshare-user",
    "--unshare-ipc",
    "--unshare-pid",
    "--unshare-uts",
    "--unshare-cgroup-try",
    "--die-with-parent",
    "--cap-drop",
    "ALL",
)


def setup_failure(stderr: Sequence[str]) -> SandboxError | None:
    """The error for a sandbox that could not be set up; None when the last line does not come from `bwrap`.

    Args:
        stderr: Last lines.
    """
    last = next((line for line in reversed(stderr) if line.strip()), "")
    found = re.match(r"(bwrap|sandbox): (.+)", last)
    if found is None:
        return None
    said = found[2].rstrip(".")
    message, hint = _explained(said)
    return SandboxError(message, hint=hint, facts={"said": said})


def _explained(said: str) -> tuple[str, str | None]:
    lower = said.lower()
    if program := re.match(r"execvp (.+?): (.+)", said):
        if "exec format" in lower:
            return (
                f"the image's program `{program[1]}` is built for another processor",
                "get the image for this machine's platform",
            )
        return (
            f"cannot start the image's program `{program[1]}`: {program[2].lower()}",
            "the image is incomplete, or its entry point is wrong",
        )
    if any(word in lower for word in ("namespace", "uid map", "gid map", "setting up uid", "clone", "unshare")):
        return f"the kernel does not allow user namespaces: {said}", _namespaces_hint()
    if "proc" in lower and "mount" in lower:
        return (
            f"a new `/proc` cannot be mounted: {said}",
            "inside a container that hides parts of `/proc`: start that with `--security-opt systempaths=unconfined`, "
            "or run Dativo outside of it",
        )
    if "loopback" in lower:
        return (
            f"a network namespace cannot be made: {said}",
            "the kernel needs CONFIG_NET_NS, or the container around this the right to it",
        )
    if "seccomp" in lower:
        return f"system calls cannot be filtered: {said}", "the kernel needs CONFIG_SECCOMP_FILTER"
    if "unknown option" in lower:
        return f"`bwrap` is too old: {said}", f"install {'.'.join(map(str, OLDEST))} or newer"
    if "chdir" in lower:
        return f"the image's working directory cannot be entered: {said}", None
    return f"the sandbox could not be set up: {said}", None


def _namespaces_hint() -> str:
    """Which setting forbids them."""
    for name, forbids, allows in _SYSCTLS:
        try:
            value = Path("/proc/sys", name).read_text().strip()
        except OSError:
            continue
        if value == forbids:
            return f"as root: `sysctl -w {name.replace('/', '.')}={allows}`"
    if not Path("/proc/self/ns/user").exists():
        return "the kernel was built without CONFIG_USER_NS: run the image in Docker instead"
    return "inside a container, its seccomp profile or AppArmor may forbid them: allow `unshare`, `mount` and `pivot_root`"
