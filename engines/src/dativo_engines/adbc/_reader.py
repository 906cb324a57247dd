"""Reads a database through its ADBC driver: tables and queries are streams."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import field
from typing import TYPE_CHECKING, Any

from dativo_protocols import Batch, Catalog, CatalogStream, ConfigError, ContractError, State, StreamId, frozen
from dativo_sdk import API_VERSION, ReadCatalog, SavedState, Selection

from dativo_engines._choices import suggestion
from dativo_engines.adbc._config import AdbcConfig, Selected, Table
from dativo_engines.adbc._database import Database, TableName, quoted

if TYPE_CHECKING:
    import pyarrow as pa


@frozen
class _Stream:
    """A table or a query.

    Attributes:
        query: All of it, in no order.
        decimals: Columns that come as text, and what they are.
    """

    id: StreamId
    query: str
    selected: Selected
    primary_key: tuple[str, ...]
    schema: pa.Schema
    decimals: Mapping[str, pa.DataType] = field(default_factory=dict)


class AdbcReader:
    """Stream after stream. One with a cursor is read in the cursor's order, and on from the last value that was read before."""

    name = "adbc"
    version = "1.0"
    __api_version__ = API_VERSION
    releases_gil = True
    Config = AdbcConfig

    def initialize(self, config: AdbcConfig, catalog: ReadCatalog | None, state: SavedState | None) -> None:
        """Connects.

        Raises:
            ConfigError: There is no such driver, table or column.
            ConnectorError: The database cannot be reached.
        """
        self._stack = ExitStack()
        self._config = config
        self._database = Database(config)
        self._stack.callback(self._database.close)
        self._catalog = catalog
        self._state = state or SavedState()
        self._last: State | None = None
        self._batches: Iterator[tuple[Batch, State | None]] | None = None

    def get_schema(self) -> Catalog:
        """The tables and queries that are named, else all tables."""
        from dativo_protocols import arrow_json_schema

        described = []
        for stream in self._streams():
            cursor = (stream.selected.cursor,) if stream.selected.cursor else ()
            methods = ("FULL_TABLE", "INCREMENTAL")
            schema = arrow_json_schema(stream.schema)
            described.append(CatalogStream(stream.id, schema, stream.primary_key, cursor, methods, data=stream.schema))
        return Catalog(tuple(described))

    def read_batch(self, max_rows: int) -> Batch | None:
        """The driver's own batches, cut where they are longer."""
        if self._batches is None:
            self._batches = self._all(max_rows)
        batch, self._last = next(self._batches, (None, None))
        return batch

    def get_incremental_state(self) -> State | None:
        """Of a stream with a cursor, the last value of it."""
        return self._last

    def close(self) -> None:
        """Ends the query and the connection."""
        self._batches = None
        if hasattr(self, "_stack"):
            self._stack.close()

    def _streams(self) -> Iterator[_Stream]:
        tables = self._config.tables
        if tables is None:
            names = [] if self._config.queries else self._database.tables()
            for found in names:
                yield self._table(found, Table())
        for written, table in (tables or {}).items():
            namespace, _, name = written.rpartition(".")
            yield self._table(TableName(name, namespace or None), table)
        for written, query in self._config.queries.items():
            sql = query.sql.strip().rstrip(";")
            yield self._checked(_Stream(StreamId(written), sql, query, tuple(query.primary_key), self._database.schema_of(sql)))

    def _table(self, name: TableName, table: Table) -> _Stream:
        columns = "*" if table.columns is None else ", ".join(quoted(column) for column in table.columns)
        query = f"SELECT {columns} FROM {name.sql}"
        key = tuple(table.primary_key) or self._database.primary_key(name)
        schema, decimals = self._database.schema_of(query), self._database.decimals(name)
        fields = [column.with_type(decimals.get(column.name, column.type)) for column in schema]
        stream = _Stream(StreamId(name.name, name.namespace), query, table, key, schema_of(fields), decimals)
        return self._checked(stream)

    def _checked(self, stream: _Stream) -> _Stream:
        for column in (*stream.selected.primary_key, *filter(None, [stream.selected.cursor])):
            if column not in stream.schema.names:
                hint = suggestion(column, stream.schema.names, "columns")
                raise ConfigError(f"stream `{stream.id}` has no column `{column}`", hint=hint)
        return stream

    def _all(self, max_rows: int) -> Iterator[tuple[Batch, State | None]]:
        for stream in self._streams():
            selection = Selection() if self._catalog is None else self._catalog.selected.get(stream.id)
            if selection is not None:
                yield from self._one(stream, selection, max_rows)

    def _one(self, stream: _Stream, selection: Selection, max_rows: int) -> Iterator[tuple[Batch, State | None]]:
        from dativo_engines.adbc._cursor import CursorBatches

        name = selection.replication_key or stream.selected.cursor
        if name is None or selection.replication_method == "FULL_TABLE":
            with self._database.execute(_selected(stream, selection, None)) as reader:
                for data in _exact(reader, stream):
                    for piece in _pieces(data, max_rows):
                        yield _batch(stream.id, piece), None
            return
        if name not in stream.schema.names:
            hint = suggestion(name, stream.schema.names, "columns")
            raise ConfigError(f"stream `{stream.id}` has no column `{name}`", hint=hint)
        # Behind the last value, or, where the key tells rows that come twice, from it on.
        inclusive = bool(stream.primary_key)
        query = _selected(stream, selection, name)
        cursor = CursorBatches(name, stream.schema.field(name).type, inclusive=inclusive)
        saved = self._state.of(stream.id)
        parameter = None
        if isinstance(saved, dict) and saved.get("cursor") == name:
            parameter = cursor.start(saved["value"])
            query += f" WHERE {quoted(name)} {'>=' if inclusive else '>'} {self._database.placeholder}"
        with self._database.execute(f"{query} ORDER BY {quoted(name)}", parameter) as reader:
            for data, value in cursor.cut(_exact(reader, stream)):
                pieces = list(_pieces(data, max_rows))
                for piece in pieces[:-1]:
                    yield _batch(stream.id, piece), None
                state = None if value is None else State(json.dumps({"cursor": name, "value": value}).encode(), stream.id)
                yield _batch(stream.id, pieces[-1]), state


def _selected(stream: _Stream, selection: Selection, cursor: str | None) -> str:
    if selection.fields is None and cursor is None:
        return stream.query
    columns = "*"
    if selection.fields is not None:
        wanted = dict.fromkeys([*selection.fields, *stream.primary_key, *filter(None, [cursor, stream.selected.cursor])])
        columns = ", ".join(quoted(name) for name in stream.schema.names if name in wanted)
    return f"SELECT {columns} FROM ({stream.query}) AS q"


def schema_of(fields: list[pa.Field]) -> pa.Schema:
    """Of columns whose type may have changed: what the driver said of the old one is not said of the new one."""
    import pyarrow as pa

    return pa.schema([each.remove_metadata() if pa.types.is_decimal(each.type) else each for each in fields])


def _exact(batches: Iterable[pa.RecordBatch], stream: _Stream) -> Iterator[pa.RecordBatch]:
    """Numbers that came as text as numbers."""
    import pyarrow as pa

    for batch in batches:
        for number, name in enumerate(batch.schema.names):
            kind = stream.decimals.get(name)
            if kind is not None and batch.schema.field(number).type != kind:
                column = batch.column(number)
                text = column.storage if isinstance(column, pa.ExtensionArray) else column
                try:
                    exact = text.cast(kind)
                except pa.ArrowException as error:
                    raise ContractError(
                        f"stream `{stream.id}`: a value of column `{name}` is no `{kind}`",
                        hint="`NaN` and infinity are no decimals: read the column by a query that casts it to text",
                        facts={"stream": str(stream.id), "column": name},
                    ) from error
                batch = batch.set_column(number, pa.field(name, kind), exact)
        yield batch


def _pieces(data: pa.RecordBatch, max_rows: int) -> Iterator[pa.RecordBatch]:
    for start in range(0, data.num_rows, max_rows):
        yield data.slice(start, max_rows)


def _batch(stream: StreamId, data: Any) -> Batch:
    return Batch(stream, data, data.num_rows, data.nbytes)
