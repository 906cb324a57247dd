"""Folders of a cache that all runs share: each is made once, and none is removed while a run uses it."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Generic, TypeVar

from dativo_protocols import ConfigError

Info = TypeVar("Info")
Entry = TypeVar("Entry", bound="InUse")


class InUse:
    """A folder in use: it cannot be removed before `close`."""

    def __init__(self, lock: int) -> None:
        self._lock = lock

    def close(self) -> None:
        """Lets it be removed. May be called twice."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self: Entry) -> Entry:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()


class CacheFolders(Generic[Info]):
    """The folders below one root, with a lock file beside each: shared, it is in use; exclusive, it is being made or removed.

    Args:
        root: Made by `make_root`.
        load: What is known of a folder; None unless it is whole.
        metadata: The file in a folder without which `load` gives None.
        making: What others do that are waited for, such as `installs`.
        shown: Characters of a folder's name that messages show; None shows all.
        log: Called with level and line.
    """

    def __init__(
        self,
        root: Path,
        load: Callable[[Path], Info | None],
        *,
        metadata: str,
        making: str,
        log: Callable[[str, str], None],
        shown: int | None = None,
    ) -> None:
        self._root = root
        self._load = load
        self._metadata = metadata
        self._making = making
        self._log = log
        self._shown = shown

    def make_root(self) -> None:
        """Makes the root when it is not there.

        Raises:
            ConfigError: It cannot be made.
        """
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"cannot make the cache `{self._root}`: {error.strerror}", hint="set `DATIVO_CACHE`") from error

    def use(self, path: Path) -> tuple[Info, int] | None:
        """What is known of a folder, and the lock for `InUse`; None when it is not whole. Waits while it is made or removed."""
        lock = self._wait_for(path, fcntl.LOCK_SH)
        info = self._load(path)
        if info is None:
            os.close(lock)
            return None
        return info, lock

    def ensure(self, path: Path, make: Callable[[], None]) -> tuple[Info, int]:
        """Like `use`; a folder that is not whole is made first, by whoever comes first."""
        while True:
            found = self.use(path)
            if found is not None:
                return found
            lock = self._wait_for(path, fcntl.LOCK_EX)
            try:
                if self._load(path) is None:
                    make()
            finally:
                # Turning it into a shared lock would not be atomic: whoever comes between may remove, never half-make.
                os.close(lock)

    def remove(self, path: Path, *, what: str) -> None:
        """Removes a folder.

        Args:
            what: Names it in the error.

        Raises:
            ConfigError: It is in use.
        """
        try:
            lock = self._lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"{what} is in use", hint="wait until the runs that use it have ended") from None
        try:
            (path / self._metadata).unlink(missing_ok=True)
            shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(lock)

    def _wait_for(self, path: Path, kind: int) -> int:
        try:
            return self._lock(path, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            self._log("info", f"waiting for another run that {self._making} or uses `{path.name[: self._shown]}`")
            return self._lock(path, kind)

    def _lock(self, path: Path, kind: int) -> int:
        """The lock files stay: one that is removed while somebody waits for it locks nothing."""
        fd = os.open(path.with_name(path.name + ".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, kind)
        except BaseException:
            os.close(fd)
            raise
        return fd


def write_whole(path: Path, text: str) -> None:
    """Writes a small file, and its folder when there is none: it appears whole or not at all, but for a crash of the machine.

    Raises:
        OSError: It cannot be written; nothing is left behind.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd, temporary = tempfile.mkstemp(prefix=".new-", dir=path.parent)
    try:
        with open(fd, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
