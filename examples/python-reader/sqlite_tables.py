"""A reader in Python: the tables of a SQLite file, each a stream, read on from the last row that was read before.

source:
  connector: native:examples/python-reader/sqlite_tables.py:SqliteTables
  config: {path: shop.sqlite}
  sandbox: {files: {shop.sqlite: read}}
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa
from dativo_protocols import Batch, Catalog, CatalogStream, ConfigError, State, StreamId
from dativo_sdk import API_VERSION, ReadCatalog, SavedState
from pydantic import BaseModel

TYPES = {"INTEGER": pa.int64(), "REAL": pa.float64(), "TEXT": pa.utf8(), "BLOB": pa.binary()}
JSON_TYPES = {"INTEGER": "integer", "REAL": "number"}


class Config(BaseModel):
    """What a job's `source.config` may say."""

    path: Path


class SqliteTables:
    """Rows in the order of SQLite's row ids: a row that is added later has a greater one."""

    name = "sqlite-tables"
    version = "1.0"
    __api_version__ = API_VERSION
    Config = Config

    def initialize(self, config: Config, catalog: ReadCatalog | None, state: SavedState | None) -> None:
        if not config.path.is_file():
            raise ConfigError(f"there is no file `{config.path}`", hint="`path` is relative to the folder that Dativo runs in")
        self._database = sqlite3.connect(f"file:{config.path}?mode=ro", uri=True)
        offered = self.get_schema()
        self._left = [stream for stream in offered.streams if catalog is None or stream.id in catalog.selected]
        self._state = state or SavedState()
        self._last: State | None = None
        self._rows: Iterator[list[tuple[object, ...]]] | None = None

    def get_schema(self) -> Catalog:
        names = self._database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
        return Catalog(tuple(self._described(name) for (name,) in names))

    def read_batch(self, max_rows: int) -> Batch | None:
        while self._left:
            stream = self._left[0]
            cursor = self._rows = self._rows or self._read(stream.id, max_rows)
            rows = next(cursor, None)
            if rows is not None:
                return self._batch(stream, rows)
            self._left.pop(0)
            self._rows = None
        return None

    def get_incremental_state(self) -> State | None:
        return self._last

    def close(self) -> None:
        self._rows = None
        if hasattr(self, "_database"):
            self._database.close()

    def _described(self, table: str) -> CatalogStream:
        columns = self._database.execute(f"PRAGMA table_info({_quoted(table)})").fetchall()
        fields = [pa.field(name, TYPES.get(kind.upper(), pa.utf8())) for _, name, kind, *_ in columns]
        properties = {name: {"type": ["null", JSON_TYPES.get(kind.upper(), "string")]} for _, name, kind, *_ in columns}
        key = tuple(name for _, name, _, _, _, place in sorted(columns, key=lambda column: column[5]) if place)
        schema = {"type": "object", "properties": properties}
        return CatalogStream(StreamId(table), schema, key, (), ("FULL_TABLE", "INCREMENTAL"), data=pa.schema(fields))

    def _read(self, stream: StreamId, max_rows: int) -> Iterator[list[tuple[object, ...]]]:
        after = (self._state.of(stream) or {}).get("rowid", -1)
        query = f"SELECT rowid, * FROM {_quoted(stream.name)} WHERE rowid > ? ORDER BY rowid"
        with closing(self._database.execute(query, (after,))) as cursor:
            while rows := cursor.fetchmany(max_rows):
                yield rows

    def _batch(self, stream: CatalogStream, rows: list[tuple[object, ...]]) -> Batch:
        schema = pa.schema(stream.data)
        _, *columns = zip(*rows, strict=True)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
        data = pa.record_batch(arrays, schema=schema)
        self._last = State(json.dumps({"rowid": rows[-1][0]}).encode(), stream.id)
        return Batch(stream.id, data, data.num_rows, data.nbytes)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
