"""Runs a command as an ordinary user, or without what this machine has: `python confined.py OPTIONS -- COMMAND…`, as root.

In a mount namespace of its own: `--show PATH` makes a path reachable for everybody although it lies below a directory of
root's own, as Python often does; `--hide PATH` empties a directory. `--user NUMBER` is who the command runs as.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import sys
from pathlib import Path

MS_BIND, MS_MOVE, MS_REC, MS_PRIVATE = 4096, 8192, 16384, 1 << 18
CLONE_NEWNS = 0x00020000
LIBC = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: Path, kind: str, flags: int, options: str = "") -> None:
    target.mkdir(parents=True, exist_ok=True)
    if LIBC.mount(source.encode(), str(target).encode(), kind.encode(), ctypes.c_ulong(flags), options.encode() or None):
        raise OSError(ctypes.get_errno(), f"cannot mount {source} on {target}")


def closed_above(path: Path) -> Path | None:
    """The uppermost directory on the way that is not everybody's."""
    return next((parent for parent in reversed(path.parents) if not parent.stat().st_mode & 0o001), None)


def show(paths: list[Path]) -> None:
    """Replaces the closed directories by open ones that hold these paths only."""
    closed = {path: parent for path in paths if (parent := closed_above(path)) is not None}
    stage = Path("/mnt")
    mount("none", stage, "tmpfs", 0, "mode=755")
    for number, path in enumerate(closed):
        mount(str(path), stage / str(number), "", MS_BIND | MS_REC)
    for parent in set(closed.values()):
        mount("none", parent, "tmpfs", 0, "mode=755")
    for number, path in enumerate(closed):
        mount(str(stage / str(number)), path, "", MS_MOVE)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--show", type=Path, action="append", default=[])
    parser.add_argument("--hide", type=Path, action="append", default=[])
    parser.add_argument("--user", type=int)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    if LIBC.unshare(CLONE_NEWNS):
        sys.exit("cannot make a mount namespace")
    mount("none", Path("/"), "", MS_REC | MS_PRIVATE)
    show([path.resolve() for path in options.show])
    for path in options.hide:
        mount("none", path, "tmpfs", 0, "mode=755")
    if options.user is not None:
        os.setgroups([])
        os.setresgid(options.user, options.user, options.user)
        os.setresuid(options.user, options.user, options.user)
    os.execvp(options.command[0], options.command)


if __name__ == "__main__":
    main()
