"""A folder of a plugin's own, where it has no system of its own: for its files and its temporary ones."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path
from types import TracebackType

from dativo_engines._private import PrivateDirectory


class OwnFolder:
    """For one start of a plugin, in the system's temporary place; goes with the run, however that ends.

    Args:
        directory: Of the run.
        user: Whom it belongs to, for root; None for this process's own user.

    Attributes:
        files: The folder that it can read.
        tmp: The folder that it can write to.
    """

    def __init__(self, directory: PrivateDirectory, user: int | None) -> None:
        self._user = user
        self._path = Path(tempfile.mkdtemp(prefix="dativo-plugin-"))
        directory.note("folder", self._path)
        self.files, self.tmp = self._path / "files", self._path / "tmp"
        for folder in (self.files, self.tmp):
            folder.mkdir(mode=0o700)
        for folder in (self._path, self.tmp):
            self._hand_over(folder)
        # Not its own, so that it cannot change what is in it.
        self.files.chmod(0o755)

    def write(self, name: str, data: bytes) -> None:
        """A file that the plugin can read."""
        path = self.files / name
        with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o400), "wb") as file:
            file.write(data)
        self._hand_over(path)

    def _hand_over(self, path: Path) -> None:
        if self._user is not None:
            os.chown(path, self._user, self._user)

    def __enter__(self) -> OwnFolder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        shutil.rmtree(self._path, ignore_errors=True)


def can_be_reached(path: str, user: int) -> bool:
    """Whether somebody who owns nothing can enter all folders on the way to a path, and read what is there."""
    whole = Path(path)
    try:
        return all(_allows(each, 0o001, user) for each in whole.parents) and _allows(whole, 0o004, user)
    except OSError:
        return False


def _allows(path: Path, right: int, user: int) -> bool:
    found = path.stat()
    return found.st_uid == user or bool(stat.S_IMODE(found.st_mode) & right)
