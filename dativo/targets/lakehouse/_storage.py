"""Where files and records of a lakehouse are: a local directory, or an object store with conditional puts."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

import pyarrow as pa
from dativo_protocols.errors import TargetError

from dativo.objectstore import connect, failures, read_place
from dativo.targets._disk import make_directory, refused, sync
from dativo.targets._object_store import ObjectStore
from dativo.targets._store import Sink

__all__ = ["Input", "LocalStorage", "ObjectStorage", "Output", "Storage"]


class Output(Protocol):
    """A file being written. It is there, whole and durable, after `finish`; `abandon` instead leaves nothing where it can."""

    sink: Any
    """What pyarrow writes to."""
    place: str
    """The whole path or URL, for messages: without secrets."""

    def tell(self) -> int:
        """Bytes written so far."""
        ...

    def finish(self) -> None:
        """Makes the file durable."""
        ...

    def abandon(self) -> None:
        """Gives the file up. Raises nothing."""
        ...


Input = Any
"""What `pyarrow.parquet.ParquetFile` reads from: a `NativeFile`, or a Python file that can seek."""


class Storage(Protocol):
    """Files below one root, by paths relative to it with `/` between their parts.

    Attributes:
        open_files: How many files may be written at the same time.
    """

    open_files: int

    def prepare(self) -> None:
        """Called before the first `put_new` of a run.

        Raises:
            TargetError: The place cannot put a file only where there is none.
        """
        ...

    def put_new(self, path: str, payload: bytes) -> bool:
        """Puts a small file atomically and durably, unless there is one.

        The answer to a put can be lost and the put be tried again, so a file with exactly this payload counts as put: where it
        matters who has put it, the payload has to say so.

        Returns:
            Whether the file holds this payload now.
        """
        ...

    def get(self, path: str) -> bytes | None:
        """A file's bytes, or None when there is none. Several threads may call it."""
        ...

    def names(self, folder: str, prefix: str = "") -> list[str]:
        """Names of the files in a folder that begin so, sorted; those in folders below it are left out."""
        ...

    def folders(self) -> list[str]:
        """Names of the folders in the root, sorted; hidden ones and those that begin with `_dativo` are left out."""
        ...

    def delete(self, paths: Sequence[str]) -> None:
        """Deletes files; those that are gone are no error."""
        ...

    def output(self, path: str) -> Output:
        """Opens a new file."""
        ...

    def input(self, path: str) -> Input:
        """Opens a file for reading.

        Raises:
            TargetError: It is gone.
        """
        ...


class LocalStorage:
    """A `Storage` in a directory, which is made by the first file."""

    open_files = 32

    def __init__(self, root: Path) -> None:
        self.root = root

    def prepare(self) -> None:
        """Links never replace what is there."""

    def put_new(self, path: str, payload: bytes) -> bool:
        place = self.root / path
        with self._failures("write", place):
            make_directory(place.parent)
            try:
                with _unnamed(place.parent) as file:
                    file.write(payload)
                    file.flush()
                    os.fsync(file.fileno())
                    _name(file, place)
            except FileExistsError:
                return place.read_bytes() == payload
            sync(place.parent)
        return True

    def get(self, path: str) -> bytes | None:
        with self._failures("read", self.root / path):
            try:
                return (self.root / path).read_bytes()
            except FileNotFoundError:
                return None

    def names(self, folder: str, prefix: str = "") -> list[str]:
        with self._failures("list", self.root / folder):
            try:
                with os.scandir(self.root / folder) as entries:
                    return sorted(each.name for each in entries if each.name.startswith(prefix) and each.is_file())
            except FileNotFoundError:
                return []

    def folders(self) -> list[str]:
        with self._failures("list", self.root):
            try:
                with os.scandir(self.root) as entries:
                    return sorted(each.name for each in entries if each.is_dir() and _is_foreign(each.name))
            except FileNotFoundError:
                return []

    def delete(self, paths: Sequence[str]) -> None:
        for path in paths:
            with self._failures("delete", self.root / path):
                (self.root / path).unlink(missing_ok=True)

    def output(self, path: str) -> Output:
        place = self.root / path
        with self._failures("write", place):
            make_directory(place.parent)
            return _LocalOutput(place)

    def input(self, path: str) -> Input:
        with self._failures("read", self.root / path):
            return pa.OSFile(str(self.root / path), "rb")

    @contextmanager
    def _failures(self, action: str, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise refused(error, action, path) from error


def _unnamed(folder: Path) -> IO[bytes]:
    """A new file that has no name yet, so that a killed process leaves none; a hidden one where there is no such thing."""
    try:
        return open(os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o666), "wb")
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL):
            raise
        return open(folder / f".{uuid.uuid4().hex}.new", "xb")


def _name(file: IO[bytes], place: Path) -> None:
    """Gives the file its name, if nobody else has it."""
    if isinstance(file.name, int):
        here = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
        try:
            # With a directory given, Python has the link follow the one in `/proc`, as it must.
            os.link(f"proc/self/fd/{file.fileno()}", place, src_dir_fd=here, follow_symlinks=True)
        finally:
            os.close(here)
        return
    try:
        os.link(file.name, place)
    finally:
        os.unlink(file.name)


class _LocalOutput:
    def __init__(self, path: Path) -> None:
        self._path = path
        self.place = str(path)
        self._bytes = 0
        self.sink = pa.OSFile(str(path), "wb")

    def tell(self) -> int:
        return self._bytes if self.sink.closed else int(self.sink.tell())

    def finish(self) -> None:
        self._bytes = int(self.sink.tell())
        self.sink.close()
        sync(self._path)
        sync(self._path.parent)

    def abandon(self) -> None:
        self.sink.close()
        self._path.unlink(missing_ok=True)


class ObjectStorage:
    """A `Storage` in an object store, with the same `storage_options` as the file targets (`docs/object-stores.md`).

    Args:
        url: Without credentials.

    Raises:
        ConfigError: The URL or an option is not valid, or `obstore` is not installed.
    """

    open_files = ObjectStore.open_files

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        place = read_place(url, options)
        self.url = place.url
        self._store = ObjectStore(url, options)
        self._objects = connect(place)

    def prepare(self) -> None:
        self._store.prepare()

    def put_new(self, path: str, payload: bytes) -> bool:
        return self._store.create(path, payload)

    def get(self, path: str) -> bytes | None:
        try:
            return self._store.read([path])[0]
        except FileNotFoundError:
            return None

    def names(self, folder: str, prefix: str = "") -> list[str]:
        # What comes right before the first name that begins so.
        after = prefix[:-1] + chr(ord(prefix[-1]) - 1) + "\U0010ffff" if prefix else ""
        return [name for name in self._store.names(folder, after) if name.startswith(prefix)]

    def folders(self) -> list[str]:
        import obstore

        with failures(self.url, "list"):
            found = obstore.list_with_delimiter(self._objects)["common_prefixes"]
        return sorted(name for name in (str(each).rstrip("/").rpartition("/")[2] for each in found) if _is_foreign(name))

    def delete(self, paths: Sequence[str]) -> None:
        if paths:
            self._store.delete(paths)

    def output(self, path: str) -> Output:
        folder, _, name = path.rpartition("/")
        return _ObjectOutput(self._store.open_new(folder, lambda: name), f"{self.url}/{path}")

    def input(self, path: str) -> Input:
        import obstore

        try:
            with failures(self.url, "read"):
                size = obstore.head(self._objects, path)["size"]
        except FileNotFoundError as error:
            raise TargetError(f"`{self.url}/{path}` is gone", facts={"path": path}) from error
        return self._store.source(path, size)


class _ObjectOutput:
    def __init__(self, sink: Sink, place: str) -> None:
        self._sink = sink
        self.place = place
        self._bytes: int | None = None
        self.sink = sink.stream

    def tell(self) -> int:
        return int(self.sink.tell()) if self._bytes is None else self._bytes

    def finish(self) -> None:
        self._bytes = self._sink.close()
        self._sink.settle()

    def abandon(self) -> None:
        self._sink.discard()


def _is_foreign(name: str) -> bool:
    return not name.startswith((".", "_dativo", "_delta_log"))
