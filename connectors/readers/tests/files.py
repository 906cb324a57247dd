"""Readers of files, each as a class in this process and as a program, read with the same words."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dativo_readers
import pyarrow as pa
from dativo_protocols import Batch, CatalogStream, Rejects, State, StreamId
from dativo_sdk import ReadCatalog, SavedState, Selection
from dativo_sdk.testing import discover

from .program import ProgramReader


class CsvProgram(ProgramReader):
    program = "dativo-csv"


class JsonLinesProgram(ProgramReader):
    program = "dativo-jsonl"


class ParquetProgram(ProgramReader):
    program = "dativo-parquet"


CLASSES: Mapping[str, type[Any]] = {
    "csv": dativo_readers.Csv,
    "jsonl": dativo_readers.JsonLines,
    "parquet": dativo_readers.Parquet,
}
PROGRAMS: Mapping[str, type[Any]] = {"csv": CsvProgram, "jsonl": JsonLinesProgram, "parquet": ParquetProgram}
WAYS: Mapping[str, dict[str, Any]] = {"recipe": {}, "program": {"engine": "program"}}
"""Of a job's `source`: how it runs a reader."""


@dataclass
class Reading:
    """What came of a reading: of each piece the data, and the state behind it."""

    batches: list[pa.RecordBatch] = field(default_factory=list)
    rejects: list[pa.RecordBatch] = field(default_factory=list)
    states: list[State | None] = field(default_factory=list)
    before: SavedState | None = None

    @property
    def table(self) -> pa.Table:
        return pa.Table.from_batches(self.batches)

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [row for batch in self.batches for row in batch.to_pylist()]

    @property
    def rejected(self) -> list[dict[str, Any]]:
        return [row for batch in self.rejects for row in batch.to_pylist()]

    @property
    def saved(self) -> SavedState | None:
        """All states, merged into the one before."""
        saved = self.before
        for state in filter(None, self.states):
            saved = (saved or SavedState()).merged(state)
        return saved


class Files:
    """One kind of file, read in one way."""

    def __init__(self, reader: type[Any], folder: Path) -> None:
        self.reader = reader
        self.folder = folder

    def write(self, name: str, data: str | bytes, modified: float | None = None) -> str:
        """A file's path; `modified` is in seconds since 1970."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        if modified is not None:
            os.utime(path, ns=(int(modified * 1e9), int(modified * 1e9)))
        return str(path)

    def stream(self, path: str | list[str], **settings: Any) -> CatalogStream:
        """The one stream."""
        (stream,) = discover(self.reader, {"path": path, **settings}).streams
        return stream

    def read(
        self,
        path: str | list[str],
        *,
        fields: list[str] | None = None,
        state: SavedState | None = None,
        incremental: bool = False,
        cursor: str | None = None,
        partition: bytes | None = None,
        max_rows: int = 65_536,
        stop_after: int | None = None,
        **settings: Any,
    ) -> Reading:
        """The one stream, to the end or `stop_after` so many pieces."""
        config = {"path": path, **settings}
        reader = self.reader()
        found = Reading(before=state)
        try:
            reader.initialize(config, self.catalog(config, fields, incremental, cursor, partition), state)
            while stop_after is None or len(found.states) < stop_after:
                piece = reader.read_batch(max_rows)
                if piece is None:
                    break
                kept = {Batch: found.batches, Rejects: found.rejects}[type(piece)]
                kept.append(pa.record_batch(piece.data))
                assert kept[-1].num_rows == piece.rows
                found.states.append(reader.get_incremental_state())
        finally:
            reader.close()
        return found

    def catalog(
        self,
        config: Mapping[str, Any],
        fields: list[str] | None = None,
        incremental: bool = False,
        cursor: str | None = None,
        partition: bytes | None = None,
    ) -> ReadCatalog:
        catalog = discover(self.reader, config)
        method = "INCREMENTAL" if incremental else "FULL_TABLE"
        selection = Selection(None if fields is None else tuple(fields), method, cursor)
        return ReadCatalog(catalog, dict.fromkeys((stream.id for stream in catalog.streams), selection), partition)

    def parts(self, path: str, count: int, target_bytes: int, *, incremental: bool = False, **settings: Any) -> list[Any]:
        config = {"path": path, **settings}
        reader = self.reader()
        try:
            reader.initialize(config, self.catalog(config, incremental=incremental), None)
            return list(reader.partitions(count, target_bytes))
        finally:
            reader.close()


def position(saved: SavedState | None, stream: str = "data") -> dict[str, Any]:
    """What a state says of a stream."""
    assert saved is not None
    said: dict[str, Any] = saved.of(StreamId(stream))
    return said
