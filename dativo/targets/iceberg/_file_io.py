"""Files that are on the disk once they are closed; pyiceberg leaves that to the operating system, which may take its time."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO

from dativo.targets._disk import make_directory, sync

__all__ = ["DurableFileIO"]


class DurableFileIO(PyArrowFileIO):
    """pyiceberg's own files; those on the local disk are synced, and their directories too."""

    def new_output(self, location: str) -> PyArrowFile:
        """Describes a file to be written."""
        scheme, netloc, path = self.parse_location(location, self.properties)
        if scheme != "file":
            return super().new_output(location)
        return _DurableFile(location=location, path=path, fs=self.fs_by_scheme(scheme, netloc))


class _DurableFile(PyArrowFile):
    def create(self, overwrite: bool = False) -> Any:
        place = Path(self._path)
        make_directory(place.parent)
        return _DurableStream(super().create(overwrite), place)


class _DurableStream:
    def __init__(self, stream: Any, path: Path) -> None:
        self._stream = stream
        self._path = path

    def write(self, payload: bytes) -> int:
        return int(self._stream.write(payload))

    @property
    def closed(self) -> bool:
        return bool(self._stream.closed)

    def flush(self) -> None:
        self._stream.flush()

    def tell(self) -> int:
        return int(self._stream.tell())

    def close(self) -> None:
        if not self._stream.closed:
            self._stream.close()
            sync(self._path)
            sync(self._path.parent)

    def __enter__(self) -> _DurableStream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
