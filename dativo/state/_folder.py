"""States in a folder, which may be one that several machines mount: `file:///srv/state`.

A document is replaced under a `flock` on its job's `.lock`: written beside, synced, renamed. The lock is held for that moment
only; between runs of a job there is the lease. File systems that carry neither `flock` nor atomic renames between clients are
no place for it: NFS before version 4, most FUSE mounts of object stores.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dativo_protocols.errors import StateError

from dativo.state._documents import ConflictError, DocumentBackend, Found
from dativo.state._location import Location

__all__ = ["FolderDocuments", "folder_backend"]

LOCK_SECONDS = 30.0


def folder_backend(location: Location) -> DocumentBackend:
    """The folder of a `file:` URL; made when something is put."""
    return DocumentBackend(FolderDocuments(location.path))


class FolderDocuments:
    """Documents as files below `root`."""

    def __init__(self, root: Path) -> None:
        self.name = str(root)
        self._root = root

    def close(self) -> None:
        """Nothing is open between calls."""

    def get(self, path: str) -> Found | None:
        try:
            with (self._root / path).open("rb") as file:
                data = file.read()
                modified = os.fstat(file.fileno()).st_mtime
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._refused("read", error) from error
        return Found(data, _version(data), modified)

    def get_all(self, paths: Sequence[str]) -> list[bytes | None]:
        return [None if found is None else found.data for found in map(self.get, paths)]

    def put(self, path: str, data: bytes) -> None:
        with self._locked(path):
            self._write(path, data)

    def replace(self, path: str, data: bytes, version: str | None) -> None:
        with self._locked(path):
            found = self.get(path)
            if (None if found is None else found.version) != version:
                raise ConflictError
            self._write(path, data)

    def names(self, folder: str) -> list[str]:
        try:
            return sorted(name for name in os.listdir(self._root / folder) if not name.startswith("."))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise self._refused("read", error) from error

    def remove(self, paths: Sequence[str]) -> None:
        try:
            for path in paths:
                (self._root / path).unlink(missing_ok=True)
        except OSError as error:
            raise self._refused("write", error) from error

    def now(self) -> float:
        # The clock of the file system, which is a server's for one that is mounted.
        probe = self._root / f".clock-{secrets.token_hex(6)}"
        try:
            probe.touch()
            try:
                return probe.stat().st_mtime
            finally:
                probe.unlink(missing_ok=True)
        except OSError as error:
            raise self._refused("write", error) from error

    def _write(self, path: str, data: bytes) -> None:
        file = self._root / path
        # One name for all that wait to be renamed: what a killed writer left is overwritten by the next.
        new = self._lock_folder(path) / ".next"
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with new.open("wb") as opened:
                opened.write(data)
                opened.flush()
                os.fsync(opened.fileno())
            os.replace(new, file)
            directory = os.open(file.parent, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as error:
            raise self._refused("write", error) from error

    @contextmanager
    def _locked(self, path: str) -> Iterator[None]:
        folder = self._lock_folder(path)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise self._refused("write", error) from error
        try:
            deadline = time.monotonic() + LOCK_SECONDS
            while not _try(lock):
                if time.monotonic() > deadline:
                    raise StateError(f"state store `{self.name}` is locked by another process", retryable=True)
                time.sleep(0.002)
            yield
        finally:
            os.close(lock)

    def _lock_folder(self, path: str) -> Path:
        parts = path.split("/")
        return self._root.joinpath(*parts[:3]) if parts[0] == "jobs" else self._root

    def _refused(self, what: str, error: OSError) -> StateError:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return StateError(
            f"cannot {what} state store `{self.name}`: {error.strerror}",
            hint="free some space, then run again" if full else None,
            retryable=full or error.errno in (errno.EIO, errno.ESTALE, errno.ETIMEDOUT),
            facts={"path": str(error.filename or self.name)},
        )


def _try(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _version(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
