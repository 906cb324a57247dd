"""A store around another one that encrypts data files on their way."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa

from dativo.targets._store import Sink, Store

if TYPE_CHECKING:
    from dativo.keys import Keyring
    from dativo.keys._envelope import EnvelopeWriter

SUFFIX = ".enc"
"""Behind the names of files that are encrypted whole."""

BUFFER_BYTES = 1 << 16


class NamedStream(pa.BufferedOutputStream):  # type: ignore[misc]
    """A stream that knows which file it writes: the keys of a Parquet file are made for it alone.

    Attributes:
        path: As `Sink.path`.
    """

    path: str


class EncryptedStore:
    """Everything but data files is the other store's; so are names, sizes, commits and locks."""

    def __init__(self, store: Store, keys: Keyring, key_of: Callable[[str], str] | None) -> None:
        """Around a store.

        Args:
            key_of: From a table to the key that encrypts its files as a whole; without it they are written as they come, by a
                format that encrypts for itself.
        """
        self._store = store
        self._key_of = key_of
        self.keys = keys

    def as_store(self) -> Store:
        """Itself: what it does not define, `__getattr__` has."""
        return cast("Store", self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def open_new(self, directory: str, name: Callable[[], str]) -> Sink:
        """See `Store.open_new`."""
        sink = self._store.open_new(directory, name)
        if self._key_of is None:
            return _NamedSink(sink)
        try:
            return _EncryptedSink(sink, self.keys, self._key_of(directory))
        except BaseException:
            sink.discard()
            raise

    def decrypting(self) -> Store:
        """For files that are encrypted whole, under their names without `SUFFIX`."""
        return cast("Store", _Decrypting(self._store, self.keys))


class _Decrypting:
    def __init__(self, store: Store, keys: Keyring) -> None:
        self._store = store
        self._keys = keys

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def locate(self, path: str) -> str:
        return self._store.locate(path + SUFFIX)

    def local_path(self, path: str) -> None:
        """The content is nowhere."""

    def source(self, path: str, nbytes: int) -> pa.NativeFile:
        from dativo.keys._envelope import EnvelopeReader
        from dativo.keys._keyring import Purpose

        encrypted = path + SUFFIX
        purpose = Purpose(encrypted.split("/")[0], encrypted)
        return pa.PythonFile(EnvelopeReader(self._store.source(encrypted, nbytes), self._keys, purpose), "r")


class _NamedSink:
    """See `Sink`."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.path = sink.path
        self.stream = NamedStream(sink.stream, BUFFER_BYTES)
        self.stream.path = sink.path

    def close(self) -> int:
        self.stream.detach()
        return self._sink.close()

    def settle(self) -> None:
        self._sink.settle()

    def discard(self) -> None:
        self._sink.discard()


class _EncryptedSink:
    """See `Sink`."""

    def __init__(self, sink: Sink, keys: Keyring, key_id: str) -> None:
        from dativo.keys._envelope import EnvelopeWriter
        from dativo.keys._keyring import Purpose

        self._sink = sink
        self._writer = EnvelopeWriter(sink.stream, keys, key_id, Purpose(sink.path.split("/")[0], sink.path))
        self.path = sink.path
        self.stream = pa.BufferedOutputStream(pa.PythonFile(_Content(self._writer), "w"), BUFFER_BYTES)

    def close(self) -> int:
        self.stream.close()
        self._writer.finish()
        return self._sink.close()

    def settle(self) -> None:
        self._sink.settle()

    def discard(self) -> None:
        self._sink.discard()


class _Content:
    """The plain side of an encrypted file, as pyarrow writes to it."""

    closed = False

    def __init__(self, writer: EnvelopeWriter) -> None:
        self._writer = writer
        self._at = 0

    def write(self, data: Any) -> int:
        self._at += self._writer.write(data)
        return len(data)

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        """A chunk goes on when it is full."""

    def close(self) -> None:
        self.closed = True
