"""Where files and records of a lakehouse are: a local directory, or an object store with conditional puts."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
from dativo_protocols.errors import ConfigError, DativoError, TargetError

from dativo.targets._disk import make_directory, refused, sync

__all__ = ["Input", "LocalStorage", "ObjectStorage", "Output", "Storage"]


class Output(Protocol):
    """A file being written. It is there, whole and durable, after `finish`; `abandon` instead leaves nothing where it can."""

    sink: Any
    """What pyarrow writes to."""

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
    """Files below one root, by paths relative to it with `/` between their parts."""

    def put_new(self, path: str, payload: bytes) -> bool:
        """Puts a small file atomically and durably, unless there is one.

        The answer to a put can be lost and the put be tried again, so a file with exactly this payload counts as put: where it
        matters who has put it, the payload has to say so.

        Returns:
            Whether the file holds this payload now.
        """
        ...

    def get(self, path: str) -> bytes | None:
        """A file's bytes, or None when there is none."""
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

    def __init__(self, root: Path) -> None:
        self.root = root

    def put_new(self, path: str, payload: bytes) -> bool:
        place = self.root / path
        staged = place.with_name(f".{uuid.uuid4().hex}.new")
        with self._failures("write", place):
            make_directory(place.parent)
            try:
                with open(staged, "xb") as file:
                    file.write(payload)
                    file.flush()
                    os.fsync(file.fileno())
                os.link(staged, place)
            except FileExistsError:
                return place.read_bytes() == payload
            finally:
                staged.unlink(missing_ok=True)
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


class _LocalOutput:
    def __init__(self, path: Path) -> None:
        self._path = path
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
    """A `Storage` in an object store: `s3://`, `gs://`, `az://`…, with everything that `obstore` takes as configuration.

    Args:
        uri: Without credentials.
        options: As delta-rs takes them, in either case of letters; those it alone knows are left out.
    """

    def __init__(self, uri: str, options: Mapping[str, str]) -> None:
        try:
            import obstore
            from obstore.store import from_url
        except ImportError as error:
            raise ConfigError(f"`{uri}` needs the package `obstore`", hint="pip install obstore") from error
        self._obstore = obstore
        self.uri = uri
        client = {key: value for key, value in options.items() if key.lower() in _CLIENT}
        config = {key: value for key, value in options.items() if key not in client and key.lower() not in _DELTA_ONLY}
        allow_http = {"allow_http": True} if str(_either(client, "allow_http")).lower() in ("true", "1") else {}
        try:
            store: Any = from_url(uri, config=config, client_options=allow_http)  # type: ignore[call-overload]
        except Exception as error:
            raise ConfigError(
                f"cannot open `{uri}`: {_first_line(error)}", hint="check `path` and `storage_options`", facts={"path": uri}
            ) from error
        self._store = store

    def put_new(self, path: str, payload: bytes) -> bool:
        with self._failures("write", path):
            try:
                self._obstore.put(self._store, path, payload, mode="create")
            except self._obstore.exceptions.AlreadyExistsError:
                return self.get(path) == payload
        return True

    def get(self, path: str) -> bytes | None:
        with self._failures("read", path):
            try:
                return bytes(self._obstore.get(self._store, path).bytes())
            except FileNotFoundError:
                return None

    def names(self, folder: str, prefix: str = "") -> list[str]:
        found: list[str] = []
        start = f"{folder}/{prefix}"
        with self._failures("list", folder):
            for chunk in self._obstore.list(self._store, prefix=folder, offset=start[:-1] if prefix else None):
                for each in chunk:
                    name = str(each["path"]).removeprefix(f"{folder}/")
                    if "/" not in name and name.startswith(prefix):
                        found.append(name)
                    elif prefix and "/" not in name and name > prefix:
                        return sorted(found)
        return sorted(found)

    def folders(self) -> list[str]:
        with self._failures("list", ""):
            found = self._obstore.list_with_delimiter(self._store)["common_prefixes"]
        return sorted(name for name in (str(each).rstrip("/").rpartition("/")[2] for each in found) if _is_foreign(name))

    def delete(self, paths: Sequence[str]) -> None:
        with self._failures("delete", paths[0] if paths else ""):
            for path in paths:
                with suppress(FileNotFoundError):
                    self._obstore.delete(self._store, path)

    def output(self, path: str) -> Output:
        with self._failures("write", path):
            return _ObjectOutput(self, path, self._obstore.open_writer(self._store, path, buffer_size=8 << 20))

    def input(self, path: str) -> Input:
        with self._failures("read", path):
            return pa.PythonFile(_ObjectInput(self._obstore.open_reader(self._store, path, buffer_size=4 << 20)), mode="r")

    @contextmanager
    def _failures(self, action: str, path: str) -> Iterator[None]:
        try:
            yield
        except DativoError:
            raise
        except Exception as error:
            kind = type(error).__name__
            denied = kind in ("PermissionDeniedError", "UnauthenticatedError", "PermissionError")
            raise TargetError(
                f"cannot {action} `{self.uri.rstrip('/')}/{path}`: {_first_line(error)}",
                hint="check the credentials in `storage_options`" if denied else None,
                retryable=not denied and kind in ("GenericError", "OSError", "TimeoutError", "ConnectionError"),
                facts={"path": path, "error": kind},
            ) from error


class _ObjectOutput:
    """pyarrow wants `closed` to be an attribute, and must not close what an error has made invalid."""

    def __init__(self, storage: ObjectStorage, path: str, writer: Any) -> None:
        self._storage, self._path, self._writer = storage, path, writer
        self._bytes = 0
        self.sink = pa.PythonFile(self, mode="w")
        self.closed = False

    def write(self, payload: Any) -> int:
        with self._storage._failures("write", self._path):
            self._writer.write(bytes(payload))
        self._bytes += len(payload)
        return len(payload)

    def flush(self) -> None:
        """Parts go when they are full."""

    def close(self) -> None:
        self.closed = True

    def tell(self) -> int:
        return self._bytes

    def finish(self) -> None:
        with self._storage._failures("write", self._path):
            self._writer.close()

    def abandon(self) -> None:
        """An upload that is not closed is no file; the store drops its parts by its own rules."""
        self._writer = None


class _ObjectInput:
    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        return bytes(self._reader.readall() if size is None or size < 0 else self._reader.read(size))

    def seek(self, position: int, whence: int = 0) -> int:
        return int(self._reader.seek(position, whence))

    def tell(self) -> int:
        return int(self._reader.tell())

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True
        self._reader.close()


_CLIENT = frozenset({"allow_http", "aws_allow_http", "allow_invalid_certificates", "timeout", "connect_timeout"})
_DELTA_ONLY = frozenset({"aws_conditional_put", "conditional_put", "aws_s3_allow_unsafe_rename", "aws_copy_if_not_exists"})


def _either(options: Mapping[str, str], name: str) -> str | None:
    return next((value for key, value in options.items() if key.lower() in (name, f"aws_{name}")), None)


def _is_foreign(name: str) -> bool:
    return not name.startswith((".", "_dativo", "_delta_log"))


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0].rstrip(".") if text else type(error).__name__
