"""A directory tree whose paths mean what they would mean if it were `/`."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from pathlib import Path

from dativo_protocols import SandboxError

# As many as the kernel follows.
LINKS = 40


class Root:
    """The root file system of an image, which nobody else changes meanwhile.

    Symbolic links are followed inside it only: an absolute one starts at its top, and `..` does not leave it.

    Args:
        path: Its top; must exist and must not be a link.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._top = os.fspath(path)
        self._real: dict[str, str] = {}

    def real(self, name: str, *, follow: bool = True) -> str:
        """The host's path for a name in the tree, without links on the way; it need not exist.

        Args:
            name: Absolute or relative to the top.
            follow: Whether a link in the last place is followed as well.

        Raises:
            SandboxError: The links go round in circles.
        """
        pending = name.split("/")[::-1]
        found: list[str] = []
        links = 0
        while pending:
            part = pending.pop()
            if part in ("", "."):
                continue
            if part == "..":
                del found[-1:]
                continue
            path = "/".join((self._top, *found, part))
            if follow or any(rest not in ("", ".") for rest in pending):
                with contextlib.suppress(OSError):
                    target = os.readlink(path)
                    links += 1
                    if links > LINKS:
                        raise SandboxError(f"the image's links go round in circles at `{name}`")
                    if target.startswith("/"):
                        found.clear()
                    pending += target.split("/")[::-1]
                    continue
            found.append(part)
        return "/".join((self._top, *found))

    def directory(self, name: str) -> str:
        """The host's path of a directory in the tree, made with its parents where it is missing.

        Raises:
            SandboxError: Something on the way is no directory.
        """
        known = self._real.get(name)
        if known is None:
            known = self.real(name)
            try:
                os.makedirs(known, mode=0o755, exist_ok=True)
            except (FileExistsError, NotADirectoryError):
                raise SandboxError(f"the image puts files below `{name}`, which is not a directory") from None
            self._real[name] = known
        return known

    def remove(self, path: str) -> None:
        """Removes what is at a host's path that this class gave, if there is anything. Links are not followed."""
        try:
            mode = os.lstat(path).st_mode
        except FileNotFoundError:
            return
        if stat.S_ISDIR(mode):
            shutil.rmtree(path)
        else:
            os.unlink(path)
        if stat.S_ISDIR(mode) or stat.S_ISLNK(mode):
            self._real.clear()

    def read(self, name: str, limit_bytes: int = 1 << 20) -> bytes:
        """The first bytes of a regular file; nothing where there is none."""
        try:
            fd = os.open(self.real(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return b""
        with open(fd, "rb") as file:
            return file.read(limit_bytes) if stat.S_ISREG(os.fstat(fd).st_mode) else b""

    def mount_directory(self, name: str) -> None:
        """Makes a directory to mount on; what else had the name goes."""
        path = "/".join((self.directory(os.path.dirname(name)), os.path.basename(name)))
        if not os.path.isdir(path) or os.path.islink(path):
            self.remove(path)
            os.mkdir(path, 0o755)

    def mount_file(self, name: str) -> None:
        """Makes an empty file to mount on; what else had the name goes."""
        path = "/".join((self.directory(os.path.dirname(name)), os.path.basename(name)))
        self.remove(path)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644))
