"""Bytes of an image: verified, unpacked, and read strictly forward."""

from __future__ import annotations

import hashlib
import io
import re
import sys
from typing import IO, Any, cast

from dativo_protocols import ConfigError, SandboxError

CHUNK_BYTES = 1 << 20
# No header of an archive is so long; a hostile one would fill the memory.
HEADER_BYTES = 16 << 20
GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
DIGEST = re.compile(r"(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})\Z")


class Verified(io.RawIOBase):
    """Passes bytes on and knows at the end whether they were the right ones.

    Args:
        stream: Read from where it stands.
        digest: `sha256:…` or `sha512:…`, or None to trust it.
        what: For the error.
    """

    def __init__(self, stream: IO[bytes], digest: str | None, what: str) -> None:
        self._stream = stream
        self._digest = digest
        self._what = what
        self._hash = hashlib.new(checked(digest).partition(":")[0]) if digest else None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        if self._hash is not None:
            self._hash.update(data)
        return len(data)

    def finish(self) -> None:
        """Reads what is left.

        Raises:
            SandboxError: The bytes do not have the digest.
        """
        while self.read(CHUNK_BYTES):
            pass
        if self._hash is not None and self._digest is not None and self._hash.hexdigest() != self._digest.partition(":")[2]:
            raise SandboxError(
                f"{self._what} does not have the digest `{self._digest}`",
                hint="the archive is damaged, or somebody changed it: save the image again",
                facts={"digest": self._digest},
            )


def checked(digest: object) -> str:
    """The digest, which then is safe as a file's name.

    Raises:
        SandboxError: It is none, or of a kind that nobody checks.
    """
    if not isinstance(digest, str) or not DIGEST.match(digest):
        raise SandboxError(f"the image names a digest that is none: `{str(digest)[:100]}`")
    return digest


def unpacked(stream: io.BufferedReader) -> IO[bytes]:
    """The stream as it was before gzip or zstd, told by its first bytes: media types are often wrong.

    Raises:
        ConfigError: It is compressed in another way.
    """
    magic = stream.peek(6)[:6]
    if magic.startswith(GZIP_MAGIC):
        import gzip

        return cast(IO[bytes], gzip.GzipFile(fileobj=stream))
    if magic.startswith(ZSTD_MAGIC):
        return cast(IO[bytes], zstd_module().ZstdFile(stream))
    if magic.startswith((b"BZh", b"\xfd7zXZ")):
        raise ConfigError("the image's layers are compressed with bzip2 or xz", hint="gzip, zstd and no compression are read")
    return stream


def zstd_module() -> Any:
    """`compression.zstd`, or its backport."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


def damage() -> tuple[type[Exception], ...]:
    """What reading compressed bytes raises when they are damaged; an OSError with an `errno` is something else."""
    import zlib

    return (EOFError, zlib.error, OSError, zstd_module().ZstdError)


class Bounded:
    """A file for `tarfile`, which reads headers of any length that an archive claims into memory: here within bounds."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def read(self, size: int | None = -1) -> bytes:
        """Raises SandboxError when asked for more than any header has."""
        if size is None or not 0 <= size <= HEADER_BYTES:
            raise SandboxError("the image's archive has a header of absurd length")
        parts = []
        while size > 0 and (data := self._file.read(size)):
            parts.append(data)
            size -= len(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)


class Forward(Bounded):
    """The same for a stream that cannot seek: strictly forward, which is how `tarfile` goes through an archive."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(stream)
        self._position = 0

    def tell(self) -> int:
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET or offset < self._position:
            raise io.UnsupportedOperation("backwards")
        while self._position < offset:
            if not self.read(min(CHUNK_BYTES, offset - self._position)):
                break
        return self._position
