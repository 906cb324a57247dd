"""The files of an archive, whatever it is: a directory, or a tar archive that is read where it lies."""

from __future__ import annotations

import io
import os
import posixpath
import tarfile
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Protocol, cast

from dativo_protocols import ConfigError, SandboxError

from dativo_engines.sandbox._blobs import CHUNK_BYTES, Bounded, damage, unpacked

NOT_AN_IMAGE = "give what `docker save` wrote, or an OCI layout (a directory, or a tar archive of one)"


class Files(Protocol):
    """The files of an archive."""

    def open(self, name: str) -> IO[bytes] | None:
        """A file by its name in the archive; None where there is none."""
        ...


def open_files(path: Path, file: IO[bytes] | None, scratch: Path, stack: ExitStack) -> Files:
    """The files of the archive at `path`, or in `file`.

    Args:
        path: Also for messages.
        file: The archive's content, when it does not come from `path`.
        scratch: Where a compressed archive is unpacked, to a file without a name.
        stack: Closes them.

    Raises:
        ConfigError: It cannot be read, or is no archive.
    """
    if file is None:
        if path.is_dir():
            return _Directory(path)
        try:
            file = stack.enter_context(path.open("rb"))
        except OSError as error:
            raise ConfigError(
                f"cannot open the image `{path}`: {error.strerror}", hint="check the path; " + NOT_AN_IMAGE
            ) from error
    raw = io.BufferedReader(cast(Any, file), CHUNK_BYTES)
    plain = unpacked(raw)
    if plain is not raw:
        whole = stack.enter_context(tempfile.TemporaryFile(dir=scratch))  # noqa: SIM115
        try:
            while data := plain.read(CHUNK_BYTES):
                whole.write(data)
        except damage() as error:
            if getattr(error, "errno", None):
                raise
            raise ConfigError(f"`{path}` is damaged: {error}", hint="save the image again") from error
        file = whole
    # Else it would close the file with itself.
    raw.detach()
    file.seek(0)
    return _Tar(path, file)


class _Directory:
    def __init__(self, path: Path) -> None:
        self._path = path

    def open(self, name: str) -> IO[bytes] | None:
        try:
            return (self._path / inside(name)).open("rb")
        except OSError:
            return None


class _Tar:
    """Members by name; a member's data is read where it lies in the archive."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._file = file
        self._members: dict[str, tuple[int, int] | str] = {}
        try:
            with tarfile.open(fileobj=cast(IO[bytes], Bounded(file)), mode="r:") as tar:
                for member in tar:
                    name = posixpath.normpath(member.name.lstrip("/"))
                    if member.isreg():
                        self._members[name] = (member.offset_data, member.size)
                    elif member.issym():
                        # Docker once wrote a layer that two images share as a link to the first.
                        self._members[name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname))
                    tar.members.clear()  # type: ignore[attr-defined]
        except tarfile.TarError as error:
            raise ConfigError(f"`{path}` is no archive of an image: {error}", hint=NOT_AN_IMAGE) from error

    def open(self, name: str) -> IO[bytes] | None:
        found: tuple[int, int] | str | None = posixpath.normpath(inside(name))
        for _ in range(8):
            if not isinstance(found, str):
                break
            found = self._members.get(found)
        return io.BufferedReader(_Part(self._file, *found)) if isinstance(found, tuple) else None


class _Part(io.RawIOBase):
    """A range of a file; several may be read at once."""

    def __init__(self, file: IO[bytes], start: int, length: int) -> None:
        self._fd = file.fileno()
        self._position = start
        self._end = start + length

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = os.pread(self._fd, min(len(buffer), self._end - self._position), self._position)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def inside(name: str) -> str:
    """The name, which stays in the archive.

    Raises:
        SandboxError: It does not.
    """
    if name.startswith("/") or ".." in name.split("/"):
        raise SandboxError(f"the archive names a file outside itself: `{name}`")
    return name
