"""The smallest writer that keeps the contract: tables of Python rows in a `Store` that outlives it."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
from dativo_protocols import Batch, ContractError, Rejects, StreamId
from dativo_sdk import ConfiguredStream, JobKey, Receipt, SchemaChange, WriteCatalog, WriteMode
from dativo_sdk.conformance import WriterCase


@dataclass(frozen=True)
class Table:
    """Rows under the columns' original names; never changed, only replaced."""

    schema: pa.Schema
    rows: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Contents:
    """What readers see. One reference is swapped at a commit: that makes it one."""

    tables: Mapping[StreamId, Table] = field(default_factory=dict)
    rejected: Mapping[StreamId, tuple[dict[str, Any], ...]] = field(default_factory=dict)
    states: Mapping[JobKey, bytes] = field(default_factory=dict)


@dataclass
class Store:
    """The place that a configuration names."""

    contents: Contents = field(default_factory=Contents)
    commits: itertools.count[int] = field(default_factory=itertools.count)


class MemoryWriter:
    """A `Writer` and `Quarantining`. A column whose type changes is refused."""

    write_modes: ClassVar[frozenset[WriteMode]] = frozenset({"append", "overwrite", "merge"})

    def initialize(self, config: Mapping[str, Any], catalog: WriteCatalog) -> bytes | None:
        self.store: Store = config["store"]
        self.catalog = catalog
        self._forget()
        return self.store.contents.states.get(catalog.job)

    def get_schema(self, stream: StreamId) -> pa.Schema | None:
        table = self.store.contents.tables.get(stream)
        return None if table is None else table.schema

    def write_batch(self, batch: Batch) -> None:
        data = pa.record_batch(batch.data)
        before = self.schemas.get(batch.stream)
        if before is None and self._stream(batch.stream).write_mode != "overwrite":
            before = self.get_schema(batch.stream)
        self.schemas[batch.stream] = self._widened(batch.stream, before, data.schema)
        self.staged.setdefault(batch.stream, []).extend(data.to_pylist())

    def write_rejects(self, rejects: Rejects) -> None:
        self.rejects.setdefault(rejects.stream, []).extend(pa.record_batch(rejects.data).to_pylist())

    def commit(self, state: bytes | None, *, final: bool = False) -> Receipt:
        now = self.store.contents
        ready = [stream for stream in self.staged if final or self._stream(stream).write_mode != "overwrite"]
        tables = {stream: self._table(stream, now.tables.get(stream)) for stream in ready}
        rejected = {stream: (*now.rejected.get(stream, ()), *rows) for stream, rows in self.rejects.items()}
        states = now.states if state is None else {**now.states, self.catalog.job: state}
        receipt = Receipt(
            {stream: len(self.staged[stream]) for stream in ready},
            {stream: len(rows) for stream, rows in self.rejects.items()},
            tuple(change for stream in ready for change in self._changes(stream, now.tables.get(stream))),
            str(next(self.store.commits)),
        )
        self.store.contents = Contents({**now.tables, **tables}, {**now.rejected, **rejected}, states)
        self._forget(ready)
        return receipt

    def close(self) -> None:
        self._forget()

    def _forget(self, streams: list[StreamId] | None = None) -> None:
        kept = [] if streams is None else [stream for stream in self.staged if stream not in streams]
        self.staged: dict[StreamId, list[dict[str, Any]]] = {stream: self.staged[stream] for stream in kept}
        self.schemas: dict[StreamId, pa.Schema] = {stream: self.schemas[stream] for stream in kept}
        self.rejects: dict[StreamId, list[dict[str, Any]]] = {}

    def _stream(self, stream: StreamId) -> ConfiguredStream:
        return self.catalog.streams.get(stream, ConfiguredStream(stream))

    def _widened(self, stream: StreamId, before: pa.Schema | None, incoming: pa.Schema) -> pa.Schema:
        fields = {field.name: field for field in before or ()}
        for each in incoming:
            known = fields.setdefault(each.name, each)
            if not known.equals(each, check_metadata=True):
                raise ContractError(f"column `{each.name}` changes its type", facts={"stream": str(stream), "column": each.name})
        return pa.schema(fields.values())

    def _table(self, stream: StreamId, before: Table | None) -> Table:
        configured = self._stream(stream)
        old = () if before is None or configured.write_mode == "overwrite" else before.rows
        rows = (*old, *self.staged[stream])
        schema = self.schemas[stream]
        return Table(schema, merged(rows, schema, configured) if configured.write_mode == "merge" else rows)

    def _changes(self, stream: StreamId, before: Table | None) -> list[SchemaChange]:
        if before is None:
            return [SchemaChange(stream, "table", None, None, str(self.schemas[stream]))]
        new = [each for each in self.schemas[stream] if each.name not in before.schema.names]
        return [SchemaChange(stream, "column", each.name, None, str(each.type)) for each in new]


def merged(rows: tuple[dict[str, Any], ...], schema: pa.Schema, stream: ConfiguredStream) -> tuple[dict[str, Any], ...]:
    """Of each key the row with the greatest cursor, the last of equals; none where that one is to be removed."""
    cursor = stream.cursor if stream.cursor in schema.names and orders(schema.field(stream.cursor)) else None
    best: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        key = tuple(row[column] for column in stream.primary_key)
        if key not in best or rank(row, cursor) >= rank(best[key], cursor):
            best[key] = row
    removing = stream.deletes == "hard" and stream.delete_mark is not None
    nothing = (None, False, "null", "false") if removing and is_json(schema, stream.delete_mark) else (None, False)
    return tuple(row for row in best.values() if not (removing and row.get(stream.delete_mark) not in nothing))


def is_json(schema: pa.Schema, column: str | None) -> bool:
    """Whether the column is JSON text: what says `null` or `false` in it is no mark."""
    return column in schema.names and isinstance(schema.field(column).type, pa.BaseExtensionType)


def orders(cursor: pa.Field) -> bool:
    """Whether the column's values have an order to go by."""
    kind = cursor.type
    return not (isinstance(kind, pa.BaseExtensionType) or pa.types.is_binary(kind) or pa.types.is_nested(kind))


def rank(row: dict[str, Any], cursor: str | None) -> tuple[Any, ...]:
    """The place of a row among those of its key: a null cursor is the smallest."""
    value = None if cursor is None else row.get(cursor)
    return (0,) if value is None else (1, value.encode() if isinstance(value, str) else value)


def safe(name: str, taken: set[str]) -> str:
    """A name that a database would take: of letters, at most 63 bytes, none of `taken` in other letters."""
    usable = name.isascii() and name.isidentifier() and len(name) <= 63 and name.lower() not in taken
    text = name if usable else f"n_{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    taken.add(text.lower())
    return text


class MemoryCase(WriterCase):
    """How the kit is told of it."""

    skips: ClassVar[Mapping[str, str]] = dict.fromkeys(
        (
            "a_column_widens_and_keeps_every_value",
            "a_column_that_widens_twice_takes_both_steps",
            "a_string_that_becomes_json_is_quoted",
            "merge_by_a_key_whose_type_widens",
        ),
        "a column whose type changes is refused",
    )

    def __init__(self, writer: type[MemoryWriter] = MemoryWriter) -> None:
        self.writer = writer
        self.stores: dict[Path, Store] = {}

    def make(self, path: Path) -> tuple[MemoryWriter, dict[str, Any]]:
        return self.writer(), {"store": self.stores.setdefault(path, Store())}

    def read_table(self, config: Mapping[str, Any], table: str) -> pa.Table | None:
        contents: Contents = config["store"].contents
        found = {_table_name(stream): stream for stream in contents.tables}
        if table in found:
            data = contents.tables[found[table]]
            taken: set[str] = set()
            names = [safe(name, taken) for name in data.schema.names]
            return pa.Table.from_pylist(list(data.rows), data.schema).rename_columns(names)
        for stream, rows in contents.rejected.items():
            if f"{_table_name(stream)}__quarantine" == table:
                return pa.Table.from_pylist(list(rows))
        return None


def _table_name(stream: StreamId) -> str:
    name = "__".join(part for part in (stream.namespace, stream.name) if part is not None)
    return safe(name.replace(" ", "_"), set())
