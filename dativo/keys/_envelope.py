"""Whole files under AES-256-GCM, chunk by chunk, with the sealed data key at their head.

```
offset 0    8 bytes   DTVENC01
       8    4 bytes   N, the length of the header, unsigned, little-endian
      12    N bytes   the header, JSON: {"cipher": "AES-256-GCM", "chunk": 65536, "key": {…}}
    12+N    chunks    each up to `chunk` bytes of content, encrypted, and a tag of 16 bytes
```

`key` is a sealed data key (`dativo.keys.Keyring`), fresh for each file. The nonce of chunk i (from 0) is 7 zero bytes, i as 4
bytes big-endian, and one byte that is 1 for the last chunk, else 0; the 12+N bytes before the chunks are authenticated with each.
So a chunk that is missing, moved, doubled or changed is found, and so is a file that was cut off, also between two chunks. Every
chunk but the last is full; the last may be empty. It is the STREAM construction of Hoang, Reyhanitabar, Rogaway, Vizár (2015).
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from typing import Any, Protocol

from dativo_protocols.errors import TargetError

from dativo.keys._keyring import Keyring, Purpose
from dativo.keys._packages import aesgcm

MAGIC = b"DTVENC01"
CHUNK_BYTES = 1 << 16
LARGEST_CHUNK = 1 << 24
LARGEST_HEADER = 1 << 20
TAG_BYTES = 16
CHUNKS = 1 << 32


class Sink(Protocol):
    """Where ciphertext goes."""

    def write(self, data: Any, /) -> Any: ...


class EnvelopeWriter:
    """Encrypts what is written into `sink`, which stays the caller's to close.

    A file without `finish` is a file that was cut off: reading it fails.
    """

    def __init__(self, sink: Sink, keys: Keyring, key_id: str, purpose: Purpose) -> None:
        data_key = os.urandom(32)
        sealed = json.loads(keys.seal(key_id, data_key, purpose))
        header = json.dumps({"cipher": "AES-256-GCM", "chunk": CHUNK_BYTES, "key": sealed}, separators=(",", ":")).encode()
        self._head = MAGIC + struct.pack("<I", len(header)) + header
        self._cipher = aesgcm(data_key)
        self._sink = sink
        self._pending = bytearray()
        self._chunk = 0
        sink.write(self._head)
        self._written = len(self._head)

    def write(self, data: Any) -> int:
        """Takes bytes or anything with a buffer of them, and returns how many there were."""
        view = memoryview(data).cast("B")
        nbytes = len(view)
        while len(self._pending) + len(view) > CHUNK_BYTES:
            taken = CHUNK_BYTES - len(self._pending)
            self._pending += view[:taken]
            view = view[taken:]
            self._seal(last=False)
        self._pending += view
        return nbytes

    def tell(self) -> int:
        """Bytes of the file so far, with what waits for its chunk to fill."""
        return self._written + len(self._pending)

    def finish(self) -> None:
        """Writes the last chunk."""
        self._seal(last=True)

    def _seal(self, last: bool) -> None:
        sealed = self._cipher.encrypt(_nonce(self._chunk, last), bytes(self._pending), self._head)
        self._sink.write(sealed)
        self._written += len(sealed)
        self._pending.clear()
        self._chunk += 1


class Source(Protocol):
    """A file of ciphertext that can be read anywhere."""

    def read(self, size: int = ..., /) -> bytes: ...

    def tell(self) -> int: ...

    def seek(self, offset: int, whence: int = ..., /) -> int: ...


class EnvelopeReader:
    """The content of an encrypted file, to be read anywhere in it; each chunk is verified before any of it is given out.

    What has been read is genuine and in its place. That nothing is missing behind it is known when the end has been read.

    Attributes:
        nbytes: Of the content.
    """

    closed = False

    def __init__(self, source: Source, keys: Keyring, purpose: Purpose) -> None:
        self._source = source
        self._head, header = read_header(source)
        try:
            self._size = int(header["chunk"])
            if header["cipher"] != "AES-256-GCM" or not 0 < self._size <= LARGEST_CHUNK:
                raise ValueError("cipher")
            sealed = json.dumps(header["key"])
        except (KeyError, TypeError, ValueError) as error:
            raise _damaged("its header is not one of Dativo") from error
        # Not what `seek` returns: pyarrow's files return the offset that they were given.
        source.seek(0, os.SEEK_END)
        encrypted = source.tell() - len(self._head)
        self._chunks = -(-encrypted // (self._size + TAG_BYTES))
        self.nbytes = encrypted - self._chunks * TAG_BYTES
        if encrypted < TAG_BYTES or encrypted % (self._size + TAG_BYTES) in range(1, TAG_BYTES):
            raise _damaged("it ends within a chunk")
        self._cipher = aesgcm(keys.unseal(sealed, purpose))
        self._at = 0
        self._open: tuple[int, bytes] = (-1, b"")

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, all that are left when it is negative; nothing at the end.

        Raises:
            TargetError: The file was changed or cut off.
        """
        wanted = self.nbytes - self._at if size < 0 else min(size, self.nbytes - self._at)
        parts = []
        while wanted > 0:
            number, offset = divmod(self._at, self._size)
            part = self._chunk(number)[offset : offset + wanted]
            parts.append(part)
            self._at += len(part)
            wanted -= len(part)
        if self._at >= self.nbytes:
            self._chunk(self._chunks - 1)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Goes to a place of the content, and returns it."""
        self._at = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.nbytes}[whence])
        return self._at

    def tell(self) -> int:
        """Where the next `read` begins."""
        return self._at

    def size(self) -> int:
        """As `nbytes`, for pyarrow."""
        return self.nbytes

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def close(self) -> None:
        """Forgets the chunk that is open; the source stays the caller's to close."""
        self.closed = True
        self._open = (-1, b"")

    def _chunk(self, number: int) -> bytes:
        from cryptography.exceptions import InvalidTag

        if self._open[0] != number:
            step = self._size + TAG_BYTES
            self._source.seek(len(self._head) + number * step)
            sealed = _up_to(self._source.read, step)
            try:
                plain = self._cipher.decrypt(_nonce(number, number == self._chunks - 1), sealed, self._head)
            except (InvalidTag, ValueError) as error:
                raise _damaged(f"chunk {number} was changed, moved, or is where the file was cut off") from error
            self._open = (number, bytes(plain))
        return self._open[1]


def read_header(source: Source) -> tuple[bytes, dict[str, Any]]:
    """The head's bytes and the header in them.

    Raises:
        TargetError: This is no encrypted file.
    """
    head = _exactly(source.read, len(MAGIC) + 4)
    if not head.startswith(MAGIC):
        raise _damaged("it does not begin like a file that Dativo encrypted")
    (size,) = struct.unpack_from("<I", head, len(MAGIC))
    if size > LARGEST_HEADER:
        raise _damaged("its header is too long")
    text = _exactly(source.read, size)
    try:
        header = json.loads(text)
    except ValueError as error:
        raise _damaged("its header is not JSON") from error
    if not isinstance(header, dict):
        raise _damaged("its header is not one of Dativo")
    return head + text, header


def _exactly(read: Callable[[int], bytes], size: int) -> bytes:
    data = _up_to(read, size)
    if len(data) != size:
        raise _damaged("it ends within its header")
    return data


def _up_to(read: Callable[[int], bytes], size: int) -> bytes:
    """As many bytes as there are, also where one `read` gives fewer."""
    parts = []
    while size and (part := read(size)):
        parts.append(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _nonce(chunk: int, last: bool) -> bytes:
    if chunk >= CHUNKS:
        raise TargetError("a file cannot have more than 2^32 chunks", hint="choose a smaller `file_size_bytes`")
    return bytes(7) + struct.pack(">IB", chunk, last)


def _damaged(why: str) -> TargetError:
    return TargetError(f"an encrypted file is damaged: {why}")
