"""Bytes of an image: verified, unpacked, and read strictly forward."""

from __future__ import annotations

import hashlib
import io
import re
import sys
from collections.abc import Callable
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
        return _zstd()(stream)
    if magic.startswith((b"BZh", b"\xfd7zXZ")):
        raise ConfigError("the image's layers are compressed with bzip2 or xz", hint="gzip, zstd and no compression are read")
    return stream


def _zstd() -> Callable[[IO[bytes]], IO[bytes]]:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return cast("Callable[[IO[bytes]], IO[bytes]]", zstd.ZstdFile)


class Forward(io.RawIOBase):
    """A stream for `tarfile`, which seeks: forward only, and never more than a header's worth at once.

    `tarfile` reads headers of any length that an archive claims into memory.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= HEADER_BYTES:
            raise SandboxError("a layer of the image has a header of absurd length")
        parts = []
        while size > 0 and (data := self._stream.read(size)):
            parts.append(data)
            self._position += len(data)
            size -= len(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET or offset < self._position:
            raise io.UnsupportedOperation("backwards")
        while self._position < offset:
            if not self.read(min(CHUNK_BYTES, offset - self._position)):
                break
        return self._position
