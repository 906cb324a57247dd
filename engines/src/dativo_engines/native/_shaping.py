"""A reader's pieces as targets know them: in canonical types, with the columns and the types that were asked for."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from dativo_protocols import Batch, CatalogStream, ConnectorError, ContractError, Rejects, Schema, StreamId

from dativo_engines._engine import DecodeOptions, ReadCatalog, Selection

if TYPE_CHECKING:
    import pyarrow as pa

EXTRACTED_AT = "_dativo_extracted_at"
REJECT_COLUMNS = ("line", "column", "reason", "record")


class Shaping:
    """From pieces to messages; may be used by several threads.

    Args:
        offered: The reader's streams.
        catalog: What to read of them; None reads all.
        options: `nested`, `fields`, `types`, `metadata` and `on_bad_value` of it.
    """

    def __init__(self, offered: Mapping[StreamId, CatalogStream], catalog: ReadCatalog | None, options: DecodeOptions) -> None:
        self._offered = offered
        self._selected: Mapping[StreamId, Selection] = (
            catalog.selected if catalog is not None else {stream: Selection() for stream in offered}
        )
        self._everything = catalog is None
        self._options = options
        self._wanted: dict[StreamId, Mapping[str, pa.Field]] = {}

    @property
    def streams(self) -> list[StreamId]:
        """Those that are read, in the reader's order."""
        return [stream for stream in self._offered if stream in self._selected]

    def batch(self, piece: Batch) -> Batch:
        """The rows, with canonical types.

        Raises:
            ConnectorError: The stream is not to be read.
            ContractError: A type has no counterpart, or a value does not fit the one that was asked for.
        """
        import pyarrow as pa
        from dativo_protocols import canonical_batch

        self._check(piece.stream)
        data = canonical_batch(piece.data, nested=self._options.nested)
        names, types = self._kept(piece.stream), self._types(piece.stream)
        if names is None and not types and "extracted_at" not in self._options.metadata:
            return Batch(piece.stream, data, data.num_rows, data.nbytes)
        batch = pa.record_batch(data)
        if names is not None:
            batch = batch.select([name for name in batch.schema.names if name in names])
        batch = _cast(batch, types, piece.stream)
        if "extracted_at" in self._options.metadata:
            moment = pa.timestamp("us", "UTC")
            column = pa.repeat(pa.scalar(time.time_ns() // 1000, pa.int64()).cast(moment), batch.num_rows)
            batch = batch.append_column(pa.field(EXTRACTED_AT, moment), column)
        return Batch(piece.stream, batch, batch.num_rows, batch.nbytes)

    def rejects(self, piece: Rejects) -> Rejects:
        """The rows that could not be read.

        Raises:
            ConnectorError: The stream is not to be read, or the piece does not have the columns of rejects.
            ContractError: The job wants to fail over such rows.
        """
        import pyarrow as pa

        self._check(piece.stream)
        data = pa.record_batch(piece.data)
        if tuple(data.schema.names) != REJECT_COLUMNS:
            raise ConnectorError(
                f"the reader gave rejects of stream `{piece.stream}` with columns {', '.join(data.schema.names)}",
                hint=f"they are to be {', '.join(REJECT_COLUMNS)}",
                facts={"stream": str(piece.stream)},
            )
        if self._options.on_bad_value == "fail" and data.num_rows:
            line, column, reason = (data.column(name)[0].as_py() for name in REJECT_COLUMNS[:3])
            where = "" if column is None else f", column `{column}`"
            raise ContractError(
                f"stream `{piece.stream}`, line {line}{where}: {reason}",
                hint="`on_bad_value: quarantine` sets such rows aside",
                facts={"stream": str(piece.stream), "line": line, "column": column},
            )
        return Rejects(piece.stream, data, data.num_rows)

    def announced(self, stream: StreamId, schema: pa.Schema) -> Schema:
        """The message that comes before batches of this schema."""
        described = self._offered.get(stream)
        selection = self._selected.get(stream, Selection())
        if described is None:
            return Schema(stream, schema, b"{}")
        cursor = (selection.replication_key,) if selection.replication_key else described.cursor
        return Schema(stream, schema, json.dumps(described.json_schema).encode(), described.primary_key, cursor)

    def empty(self, stream: StreamId) -> pa.Schema:
        """The schema of a stream of which no batch came."""
        import pyarrow as pa
        from dativo_protocols import canonical_schema

        described = self._offered[stream]
        if described.data is None:
            schema = _of_json_schema(described, self._options.nested)
        else:
            schema = pa.schema(canonical_schema(described.data, nested=self._options.nested))
        names = self._kept(stream)
        fields = [field for field in schema if names is None or field.name in names]
        types = self._types(stream)
        fields = [types.get(field.name, field) for field in fields]
        if "extracted_at" in self._options.metadata:
            fields.append(pa.field(EXTRACTED_AT, pa.timestamp("us", "UTC")))
        return pa.schema(fields)

    def _check(self, stream: StreamId) -> None:
        if stream not in self._selected and not self._everything:
            raise ConnectorError(
                f"the reader gave rows of stream `{stream}`, which it was not asked for",
                hint="a reader is to give rows of the streams in `catalog.selected` only",
                facts={"stream": str(stream)},
            )

    def _kept(self, stream: StreamId) -> frozenset[str] | None:
        """Names of the columns to keep, or None for all."""
        selection = self._selected.get(stream, Selection())
        fields = selection.fields
        if fields is None:
            fields = self._options.fields.get(str(stream), self._options.fields.get(stream.name))
        if fields is None:
            return None
        described = self._offered.get(stream)
        keys = () if described is None else (*described.primary_key, *described.cursor)
        return frozenset((*fields, *keys, *filter(None, [selection.replication_key])))

    def _types(self, stream: StreamId) -> Mapping[str, pa.Field]:
        """The columns whose types the job says."""
        if stream not in self._wanted:
            named = self._options.types.get(str(stream), self._options.types.get(stream.name))
            self._wanted[stream] = {} if not named else _named_types(named)
        return self._wanted[stream]


def _cast(batch: pa.RecordBatch, types: Mapping[str, pa.Field], stream: StreamId) -> pa.RecordBatch:
    import pyarrow as pa

    for number, name in enumerate(batch.schema.names):
        wanted, field = types.get(name), batch.schema.field(number)
        if wanted is None or field.type == wanted.type:
            continue
        try:
            column = batch.column(number)
            if pa.types.is_integer(field.type) and pa.types.is_decimal(wanted.type):
                # As far as types go, not every integer fits; whether these do is seen in the second step.
                column = column.cast(pa.decimal128(38, wanted.type.scale))
            column = column.cast(wanted.type)
        except pa.ArrowException as error:
            raise ContractError(
                f"stream `{stream}`: a value of column `{name}` does not fit `{wanted.type}`, which the job asks for",
                hint=f"the reader gives `{field.type}`: name another type in `types`, or none",
                facts={"stream": str(stream), "column": name, "reason": (str(error).splitlines() or [""])[0]},
            ) from error
        batch = batch.set_column(number, wanted.with_nullable(field.nullable), column)
    return batch


def _of_json_schema(stream: CatalogStream, nested: str) -> pa.Schema:
    described = {"name": stream.id.name, "namespace": stream.id.namespace, "json_schema": stream.json_schema}
    catalog = {"streams": [{"stream": described, "sync_mode": "full_refresh", "destination_sync_mode": "append"}]}
    return decoded_schemas(json.dumps(catalog).encode(), nested=nested)[stream.id]


def _named_types(types: Mapping[str, str]) -> dict[str, pa.Field]:
    """Columns of the types that a job names: what a decoder makes of them."""
    stream = StreamId("types")
    described = {"name": stream.name, "json_schema": {"type": "object", "properties": {name: {} for name in types}}}
    catalog = {"streams": [{"stream": described, "sync_mode": "full_refresh", "destination_sync_mode": "append"}]}
    (schema,) = decoded_schemas(json.dumps(catalog).encode(), types={stream: dict(types)}).values()
    return {field.name: field for field in schema}


def decoded_schemas(catalog: bytes, **options: Any) -> dict[StreamId, pa.Schema]:
    """The Arrow schemas that a decoder makes of a configured catalog.

    Raises:
        ConfigError: There is no such type.
    """
    import pyarrow as pa
    from dativo_protocols import AirbyteDecoder

    with TemporaryFile() as nothing:
        decoder = AirbyteDecoder(nothing.fileno(), catalog=catalog, threads=1, **options)
        return {message.stream: pa.schema(message.data) for message in decoder if isinstance(message, Schema)}
