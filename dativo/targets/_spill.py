"""Rows of tables that fill slowly, parked on disk until there are enough of them for a group."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pyarrow as pa

from dativo.targets._encryption_spill import SpillCipher

HEADER = struct.Struct("<Q")


class Spill:
    """One table's parked batches, of one schema; no file is kept open. Not durable: a run that ends leaves nothing to keep.

    Attributes:
        nbytes: Size of what is parked.
        rows: Number of rows parked.
    """

    def __init__(self, path: Path, schema: pa.Schema, cipher: SpillCipher | None = None) -> None:
        self._path = path
        self._schema = schema
        self._cipher = cipher
        self._parts = 0
        self.nbytes = 0
        self.rows = 0

    def park(self, batches: list[pa.RecordBatch]) -> None:
        """Adds batches behind those parked before, as one where possible.

        Raises:
            OSError: The disk is full, for example.
        """
        with open(self._path, "ab", buffering=0) as file:
            for batch in pa.Table.from_batches(batches).combine_chunks().to_batches():
                message = batch.serialize()
                sealed = message if self._cipher is None else self._cipher.seal(message, self._place(self._parts))
                parts = [memoryview(HEADER.pack(memoryview(sealed).nbytes)), memoryview(sealed)]
                _write(file.fileno(), parts)
                self._parts += 1
                self.nbytes += message.size
                self.rows += batch.num_rows

    def fetch(self) -> list[pa.RecordBatch]:
        """All batches in their order; the file is gone afterwards."""
        parked = pa.py_buffer(self._path.read_bytes())
        self._path.unlink()
        batches: list[pa.RecordBatch] = []
        start = 0
        while start < parked.size:
            (size,) = HEADER.unpack(parked.slice(start, HEADER.size).to_pybytes())
            message = parked.slice(start + HEADER.size, size)
            if self._cipher is not None:
                message = pa.py_buffer(self._cipher.open(memoryview(message), self._place(len(batches))))
            batches.append(pa.ipc.read_record_batch(message, self._schema))
            start += HEADER.size + size
        return batches

    def _place(self, part: int) -> str:
        return f"{self._path.name}#{part}"

    def drop(self) -> None:
        """Removes the file."""
        self._path.unlink(missing_ok=True)


def _write(descriptor: int, parts: list[memoryview]) -> None:
    """All of it: a disk that fills takes a part first."""
    for part in parts:
        while part:
            part = part[os.write(descriptor, part) :]
