"""A dataset in a directory of a local disk: files are synced, records are hard links, and locks end with their process."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
from dativo_protocols.errors import TargetError
from dativo_sdk import JobKey

from dativo._faults import fault_point
from dativo.targets._disk import make_directory, sync

LOCK_SECONDS = 60.0


class LocalSink:
    """A file that is there, empty, and nobody else's; see `Sink`."""

    def __init__(self, path: str, place: Path) -> None:
        self.path = path
        self._place = place
        self.stream = pa.OSFile(str(place), "wb")

    def close(self) -> int:
        nbytes = int(self.stream.tell())
        self.stream.close()
        return nbytes

    def settle(self) -> None:
        sync(self._place)

    def discard(self) -> None:
        try:
            self.stream.close()
        finally:
            self._place.unlink(missing_ok=True)


class LocalStore:
    """See `Store`."""

    fenced = False
    open_files = 24
    """An open Parquet file keeps the last page it wrote, up to 2 MiB."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.location = str(root)

    def locate(self, path: str) -> str:
        return str(self.root / path)

    def local_path(self, path: str) -> str | None:
        return str(self.root / path)

    def exists(self) -> bool:
        return (self.root / "_dativo" / "commits").is_dir()

    def prepare(self) -> None:
        make_directory(self.root / "_dativo" / "commits")
        make_directory(self.root / "_dativo" / "jobs")

    @contextmanager
    def hold(self, job: JobKey, name: str) -> Iterator[None]:
        descriptor = _locked(self.root / "_dativo" / "jobs" / f"{name}.lock", 0.0)
        if descriptor is None:
            raise TargetError(
                f"another run of job `{job}` is writing to `{self.root}`",
                hint="wait until it ends",
                retryable=True,
                facts={"path": str(self.root), "job": str(job)},
            )
        try:
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        descriptor = _locked(self.root / "_dativo" / "lock", LOCK_SECONDS)
        if descriptor is None:
            raise TargetError(
                f"another writer has held the commit log of `{self.root}` for {LOCK_SECONDS:.0f} seconds",
                hint="is a writer stopped, or the disk stuck?",
                retryable=True,
                facts={"path": str(self.root)},
            )
        try:
            yield
        finally:
            os.close(descriptor)

    def names(self, directory: str, after: str = "") -> list[str]:
        try:
            return sorted(name for name in os.listdir(self.root / directory) if name > after)
        except FileNotFoundError:
            return []

    def data_files(self) -> Iterator[str]:
        for directory in self.root.iterdir():
            if directory.name != "_dativo" and directory.is_dir():
                yield from (f"{directory.name}/{name}" for name in os.listdir(directory))

    def existing(self, paths: Iterable[str]) -> set[str]:
        return {path for path in paths if (self.root / path).exists()}

    def read(self, paths: Sequence[str]) -> list[bytes]:
        return [(self.root / path).read_bytes() for path in paths]

    def create(self, path: str, payload: bytes) -> bool:
        place = self.root / path
        staged = place.parent / ".next"
        # Never opened in place: after a kill it can be a second name of a committed record.
        staged.unlink(missing_ok=True)
        descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with os.fdopen(descriptor, "wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        fault_point("files.record_written")
        try:
            os.link(staged, place)
        except FileExistsError:
            return False
        sync(place.parent)
        staged.unlink()
        return True

    def delete(self, paths: Iterable[str]) -> None:
        for path in paths:
            (self.root / path).unlink(missing_ok=True)

    def open_new(self, directory: str, name: Callable[[], str]) -> LocalSink:
        make_directory(self.root / directory)
        while True:
            path = f"{directory}/{name()}"
            try:
                os.close(os.open(self.root / path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
            except FileExistsError:
                continue
            return LocalSink(path, self.root / path)

    def settle(self, directories: Iterable[str]) -> None:
        for directory in directories:
            sync(self.root / directory)

    def source(self, path: str, nbytes: int) -> pa.NativeFile:
        return pa.OSFile(str(self.root / path))

    def scratch(self) -> Path:
        directory = self.root / "_dativo" / "staging"
        directory.mkdir(exist_ok=True)
        return directory

    def close(self) -> None:
        """There is nothing to free."""


def _locked(path: Path, seconds: float) -> int | None:
    """An open descriptor that holds the lock; None when somebody else kept it for so long."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    deadline = time.monotonic() + seconds
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return descriptor
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    os.close(descriptor)
                    return None
                time.sleep(0.005)
    except BaseException:
        os.close(descriptor)
        raise
