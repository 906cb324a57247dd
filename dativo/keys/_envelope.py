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
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Protocol

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


class EnvelopeReader:
    """The content of an encrypted file, verified chunk by chunk before any of it is given out.

    Content that has been read is genuine, but only a `read` that returns nothing says that it was all.
    """

    closed = False

    def __init__(self, source: BinaryIO, keys: Keyring, purpose: Purpose) -> None:
        self._source = source
        self._head, header = read_header(source)
        try:
            self._size = int(header["chunk"])
            if header["cipher"] != "AES-256-GCM" or not 0 < self._size <= LARGEST_CHUNK:
                raise ValueError("cipher")
            sealed = json.dumps(header["key"])
        except (KeyError, TypeError, ValueError) as error:
            raise _damaged("its header is not one of Dativo") from error
        self._cipher = aesgcm(keys.unseal(sealed, purpose))
        self._chunk = 0
        self._ahead = self._fetch()
        self._ready = b""
        self._ended = False

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, all that are left when it is negative; nothing at the end.

        Raises:
            TargetError: The file was changed or cut off.
        """
        if size < 0:
            return b"".join(iter(lambda: self.read(1 << 20), b""))
        while not self._ready and not self._ended:
            self._ready = self._open()
        taken, self._ready = self._ready[:size], self._ready[size:]
        return taken

    def chunks(self) -> Iterator[bytes]:
        """What is left, piece by piece."""
        while data := self.read(self._size):
            yield data

    def _open(self) -> bytes:
        from cryptography.exceptions import InvalidTag

        chunk, self._ahead = self._ahead, self._fetch()
        self._ended = not self._ahead
        try:
            plain = bytes(self._cipher.decrypt(_nonce(self._chunk, self._ended), chunk, self._head))
        except (InvalidTag, ValueError) as error:
            raise _damaged(f"chunk {self._chunk} was changed, moved, or is where the file was cut off") from error
        self._chunk += 1
        return plain

    def _fetch(self) -> bytes:
        parts, wanted = [], self._size + TAG_BYTES
        while wanted and (part := self._source.read(wanted)):
            parts.append(part)
            wanted -= len(part)
        return b"".join(parts)


def read_header(source: BinaryIO) -> tuple[bytes, dict[str, Any]]:
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
    data = read(size)
    if len(data) != size:
        raise _damaged("it ends within its header")
    return data


def _nonce(chunk: int, last: bool) -> bytes:
    if chunk >= CHUNKS:
        raise TargetError("a file cannot have more than 2^32 chunks", hint="choose a smaller `file_size_bytes`")
    return bytes(7) + struct.pack(">IB", chunk, last)


def _damaged(why: str) -> TargetError:
    return TargetError(f"an encrypted file is damaged: {why}")
