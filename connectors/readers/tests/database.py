"""What is read from a database by the reader, and what psycopg says is there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pyarrow as pa
from dativo_protocols import Batch, Catalog, Rejects, State, StreamId
from dativo_sdk import ReadCatalog, SavedState, Selection

from tests.servers.postgres import PASSWORD, USER, PostgresServer

from .program import ProgramReader


class PostgresReader(ProgramReader):
    """The PostgreSQL reader."""

    program = "dativo-postgres"


@dataclass
class Reading:
    """What came: batches and rejects by stream, and for each piece the state that was said after it."""

    batches: dict[StreamId, list[pa.RecordBatch]] = field(default_factory=dict)
    rejects: dict[StreamId, list[pa.RecordBatch]] = field(default_factory=dict)
    states: list[State | None] = field(default_factory=list)
    order: list[StreamId] = field(default_factory=list)

    def table(self, stream: str, namespace: str | None = "public") -> pa.Table:
        return pa.Table.from_batches(self.batches[StreamId(stream, namespace)])

    def column(self, stream: str, column: str, namespace: str | None = "public") -> list[Any]:
        batches = self.batches.get(StreamId(stream, namespace), [])
        return [value for batch in batches for value in batch.column(column).to_pylist()]

    def rejected(self, stream: str) -> list[dict[str, Any]]:
        return [row for batch in self.rejects.get(StreamId(stream, "public"), []) for row in batch.to_pylist()]

    @property
    def state(self) -> SavedState:
        """The newest of each stream."""
        merged = SavedState()
        for state in self.states:
            merged = merged if state is None else merged.merged(state)
        return merged


@dataclass(frozen=True)
class Database:
    server: PostgresServer
    name: str

    def config(self, **settings: Any) -> dict[str, Any]:
        return {
            "host": "127.0.0.1",
            "port": self.server.port,
            "user": USER,
            "password": PASSWORD,
            "database": self.name,
            **settings,
        }

    def connect(self) -> psycopg.Connection[Any]:
        return self.server.connect(self.name)

    def sql(self, text: str) -> list[tuple[Any, ...]]:
        """Rows of the last statement, if it has any."""
        with self.connect() as connection:
            cursor = connection.execute(text)  # type: ignore[call-overload]
            while cursor.nextset():
                pass
            return cursor.fetchall() if cursor.description else []

    @contextlib.contextmanager
    def reader(self, catalog: ReadCatalog | None = None, state: SavedState | None = None, **settings: Any) -> Iterator[Any]:
        reader = PostgresReader()
        try:
            reader.initialize(self.config(**settings), catalog, state)
            yield reader
        finally:
            reader.close()

    def discover(self, **settings: Any) -> Catalog:
        with self.reader(**settings) as reader:
            catalog: Catalog = reader.get_schema()
            return catalog

    def catalog(
        self, streams: Mapping[str, Selection] | Sequence[str], partition: bytes | None = None, **settings: Any
    ) -> ReadCatalog:
        """To read these streams, named `table` or `schema.table`; queries are named `.query`."""
        chosen = streams if isinstance(streams, Mapping) else dict.fromkeys(streams, Selection())
        selected = {stream_id(name): how for name, how in chosen.items()}
        return ReadCatalog(self.discover(**settings), selected, partition)

    def read(
        self,
        streams: Mapping[str, Selection] | Sequence[str],
        state: SavedState | None = None,
        *,
        partition: bytes | None = None,
        max_rows: int = 65_536,
        stop_after: int | None = None,
        **settings: Any,
    ) -> Reading:
        """Reads to the end, or `stop_after` so many pieces."""
        with self.reader(self.catalog(streams, partition, **settings), state, **settings) as reader:
            return drain(reader, max_rows, stop_after)


def drain(reader: Any, max_rows: int = 65_536, stop_after: int | None = None) -> Reading:
    found = Reading()
    while stop_after is None or len(found.states) < stop_after:
        piece = reader.read_batch(max_rows)
        if piece is None:
            break
        kept = {Batch: found.batches, Rejects: found.rejects}[type(piece)]
        kept.setdefault(piece.stream, []).append(pa.record_batch(piece.data))
        found.order.append(piece.stream)
        found.states.append(reader.get_incremental_state())
    return found


def stream_id(name: str) -> StreamId:
    schema, dot, table = name.rpartition(".")
    return StreamId(table, schema or (None if dot else "public"))


def by(cursor: str, *fields: str) -> Selection:
    """Incrementally."""
    return Selection(fields or None, "INCREMENTAL", cursor)
