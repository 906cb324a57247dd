"""Data files of an object store: uploads in parts while they are written, and requests for ranges while they are read."""

from __future__ import annotations

import os
from threading import BoundedSemaphore
from typing import Any, Protocol

import pyarrow as pa
from dativo_protocols.errors import TargetError

from dativo.objectstore import failures

PART_BYTES = 5 << 20
"""Parts of an upload: S3 wants no smaller ones and takes 10,000, so that a file may have 50 GB."""

PARTS_AT_ONCE = 2


class Owner(Protocol):
    """What the files of one store share.

    Attributes:
        unreachable: Something could not be removed, so the rest is not tried: a run that fails ends soon.
        settling: Held by each file between its `close` and the end of its `settle`.
    """

    location: str
    unreachable: bool
    settling: BoundedSemaphore


class ObjectSink:
    """A file on its way up, part by part while it is written; see `Sink`. It is there only when `settle` returns."""

    def __init__(self, owner: Owner, store: Any, path: str) -> None:
        import obstore

        self.path = path
        self._owner = owner
        self._url = owner.location
        self._writer: Any = obstore.open_writer(store, path, buffer_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE)
        self._store = store
        self.stream = pa.BufferedOutputStream(pa.PythonFile(_Upload(self._writer, self._url), "w"), 1 << 20)

    def close(self) -> int:
        nbytes = int(self.stream.tell())
        self.stream.close()
        self._owner.settling.acquire()
        return nbytes

    def settle(self) -> None:
        writer, self._writer = self._writer, None
        try:
            with failures(self._url, "write to"):
                writer.close()
        finally:
            self._owner.settling.release()

    def discard(self) -> None:
        import obstore

        writer, self._writer = self._writer, None
        if self._owner.unreachable:
            return
        try:
            if writer is not None:
                # obstore's way to abort an upload: leave its context by an error.
                writer.__exit__(TargetError, None, None)
            else:
                obstore.delete(self._store, self.path)
        except FileNotFoundError:
            pass
        except Exception:
            # It was tried for long enough; the next run deletes what is left.
            self._owner.unreachable = True


class _Upload:
    """What pyarrow writes to: obstore's writer says by a method that it is closed, where pyarrow wants an attribute."""

    def __init__(self, writer: Any, url: str) -> None:
        self._writer = writer
        self._url = url
        self._at = 0
        self.closed = False

    def write(self, payload: Any) -> int:
        # A copy, for the writer keeps it until the part is full and pyarrow uses its buffers again.
        with failures(self._url, "write to"):
            self._writer.write(bytes(payload))
        self._at += len(payload)
        return len(payload)

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        """Parts go up when they are full."""

    def close(self) -> None:
        self.closed = True


class Download:
    """What pyarrow reads from: each read is a request of its own."""

    def __init__(self, store: Any, path: str, url: str, nbytes: int) -> None:
        self._store = store
        self._path = path
        self._url = url
        self._nbytes = nbytes
        self._at = 0
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        import obstore

        end = self._nbytes if size < 0 else min(self._nbytes, self._at + size)
        if end <= self._at:
            return b""
        with failures(self._url, "read"):
            found = bytes(obstore.get_range(self._store, self._path, start=self._at, end=end))
        self._at += len(found)
        return found

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._nbytes}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def size(self) -> int:
        return self._nbytes

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True
