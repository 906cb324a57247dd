"""A dataset in an object store: uploads in parts, conditional puts, no locks."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

import pyarrow as pa
from dativo_protocols.errors import TargetError
from dativo_sdk import JobKey

from dativo._faults import fault_point
from dativo.objectstore import connect, failures, read_place, refused
from dativo.targets._object_file import Download, ObjectSink

PROBE = "_dativo/conditional-put"
"""Put when a dataset is opened for writing, where it is not there yet."""

READERS = 8
SETTLING = 4
"""Files that wait for the end of their upload, each with a part or less in memory; more of them wait before they end."""

PUT_ATTEMPTS = 3


class ObjectStore:
    """See `Store`, and `Owner` of its files."""

    fenced = True
    open_files = 6
    """Each keeps a part that fills, and up to two that are on their way."""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        place = read_place(url, options)
        self.location = place.url
        self._store = connect(place)
        self._scratch: tuple[Path, int] | None = None
        self.unreachable = False
        self.settling = BoundedSemaphore(SETTLING)

    def locate(self, path: str) -> str:
        return f"{self.location}/{path}"

    def local_path(self, path: str) -> str | None:
        return None

    def exists(self) -> bool:
        import obstore

        with failures(self.location, "list"):
            return any(chunk for chunk in obstore.list(self._store, "_dativo/commits", chunk_size=1))

    def prepare(self) -> None:
        """Sees to it that the service refuses to put what is there already: one that ignores the condition would lose commits."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

        # Some services make a bucket for what is put, but none for what is listed.
        self.exists()
        try:
            for _ in range(2):
                obstore.put(self._store, PROBE, b"put once: what is there is not put again", mode="create", use_multipart=False)
        except (AlreadyExistsError, PreconditionError):
            return
        except (BaseError, OSError) as error:
            raise refused(error, "write to", self.location) from None
        raise TargetError(
            f"the service of `{self.location}` puts what is there already: it does not know conditional puts",
            hint="use a newer version of it, or another service",
            facts={"path": self.location},
        )

    def hold(self, job: JobKey, name: str) -> AbstractContextManager[None]:
        return nullcontext()

    def exclusive(self) -> AbstractContextManager[None]:
        return nullcontext()

    def names(self, directory: str, after: str = "") -> list[str]:
        import obstore

        offset = f"{directory}/{after}" if after else None
        with failures(self.location, "list"):
            found = [meta["path"] for chunk in obstore.list(self._store, directory, offset=offset) for meta in chunk]
        names = (path.removeprefix(f"{directory}/") for path in found)
        return sorted(name for name in names if "/" not in name and name > after)

    def data_files(self) -> Iterator[str]:
        import obstore

        with failures(self.location, "list"):
            for chunk in obstore.list(self._store):
                for meta in chunk:
                    table, slash, name = meta["path"].partition("/")
                    if slash and "/" not in name and table != "_dativo":
                        yield meta["path"]

    def existing(self, paths: Iterable[str]) -> set[str]:
        wanted = set(paths)
        return wanted & set(self.data_files()) if wanted else wanted

    def read(self, paths: Sequence[str]) -> list[bytes]:
        import obstore

        def one(path: str) -> bytes:
            with failures(self.location, "read"):
                return bytes(obstore.get(self._store, path).bytes())

        if len(paths) < 2:
            return [one(path) for path in paths]
        with ThreadPoolExecutor(READERS, thread_name_prefix="dativo-read") as readers:
            return list(readers.map(one, paths))

    def create(self, path: str, payload: bytes) -> bool:
        """As `Store.create`. A put whose answer was lost may have happened, so what is there then is compared with it."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

        fault_point("files.record_written")
        for attempt in range(PUT_ATTEMPTS):
            failure: Exception
            try:
                obstore.put(self._store, path, payload, mode="create", use_multipart=False)
                return True
            except (AlreadyExistsError, PreconditionError):
                return self.read([path]) == [payload]
            except (BaseError, OSError) as error:
                failure = error
            try:
                return self.read([path]) == [payload]
            except FileNotFoundError:
                found = refused(failure, "commit to", self.location)
                if not found.retryable or attempt + 1 == PUT_ATTEMPTS:
                    raise found from failure
                time.sleep(0.05 * 4**attempt)
        raise AssertionError("the last attempt returns or raises")

    def delete(self, paths: Iterable[str]) -> None:
        import obstore

        wanted = list(paths)
        with failures(self.location, "delete in"):
            try:
                obstore.delete(self._store, wanted)
            except FileNotFoundError:
                # Some services call it an error, and then it is not known which of the others are gone.
                for path in wanted:
                    with suppress(FileNotFoundError):
                        obstore.delete(self._store, path)

    def open_new(self, directory: str, name: Callable[[], str]) -> ObjectSink:
        # The run's generation is in the name, so that it is nobody else's.
        return ObjectSink(self, self._store, f"{directory}/{name()}")

    def settle(self, directories: Iterable[str]) -> None:
        """A bucket has no directories."""

    def source(self, path: str, nbytes: int) -> pa.NativeFile:
        return pa.PythonFile(Download(self._store, path, self.locate(path), nbytes), "r")

    def scratch(self) -> Path:
        if self._scratch is None:
            self._scratch = _scratch_directory()
        return self._scratch[0]

    def close(self) -> None:
        if self._scratch is not None:
            directory, descriptor = self._scratch
            self._scratch = None
            shutil.rmtree(directory, ignore_errors=True)
            os.close(descriptor)


def _scratch_directory() -> tuple[Path, int]:
    """A directory with a lock that ends with this process; those whose processes are gone are removed."""
    begin = f"dativo-rows-{os.getuid()}-"
    for left in Path(tempfile.gettempdir()).glob(f"{begin}*"):
        with suppress(OSError):
            descriptor = _locked(left)
            shutil.rmtree(left, ignore_errors=True)
            os.close(descriptor)
    directory = Path(tempfile.mkdtemp(prefix=begin))
    return directory, _locked(directory)


def _locked(directory: Path) -> int:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        flock(descriptor, LOCK_EX | LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
