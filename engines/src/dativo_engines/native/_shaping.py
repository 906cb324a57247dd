"""A reader's pieces as targets know them: in canonical types, with the columns and the types that were asked for."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from dativo_protocols import Batch, CatalogStream, ConnectorError, ContractError, DativoError, Rejects, Schema, StreamId

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

    @property
    def streams(self) -> list[StreamId]:
        """Those that are read, in the reader's order."""
        return [stream for stream in self._offered if stream in self._selected]

    def batch(self, piece: Batch) -> tuple[Batch, Rejects | None]:
        """The rows, with canonical types; and those with a value that would be changed, as far as the job sets them aside.

        The `line` of these is the row's place in the piece, from 0 on.

        Raises:
            ConfigError: The job asks for a type that a column cannot have.
            ConnectorError: The stream is not to be read.
            ContractError: A type has no counterpart, or the job wants to fail over such a value.
        """
        import pyarrow as pa
        from dativo_protocols import canonical_rows

        stream, described = piece.stream, self._offered.get(piece.stream)
        self._check(stream)
        try:
            data, bad = canonical_rows(
                piece.data,
                on_bad_value=self._options.on_bad_value,
                nested=self._options.nested,
                fields=self._kept(stream),
                types=self._types(stream),
                key=frozenset() if described is None else frozenset(described.primary_key),
            )
        except DativoError as error:
            error.message = f"stream `{stream}`: {error.message}"
            error.facts = {"stream": str(stream), **error.facts}
            raise
        rejects = None if bad is None else Rejects(stream, bad, bad.num_rows)
        if "extracted_at" not in self._options.metadata:
            return Batch(stream, data, data.num_rows, data.nbytes), rejects
        batch, moment = pa.record_batch(data), pa.timestamp("us", "UTC")
        column = pa.repeat(pa.scalar(time.time_ns() // 1000, pa.int64()).cast(moment), batch.num_rows)
        batch = batch.append_column(pa.field(EXTRACTED_AT, moment), column)
        return Batch(stream, batch, batch.num_rows, batch.nbytes), rejects

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
            schema = self._of_json_schema(described)
        else:
            kept, types = self._kept(stream), self._types(stream)
            schema = pa.schema(canonical_schema(described.data, nested=self._options.nested, fields=kept, types=types))
        fields = list(schema)
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

    def _types(self, stream: StreamId) -> dict[str, str]:
        """The types that the job says, by column."""
        return dict(self._options.types.get(str(stream), self._options.types.get(stream.name, {})))

    def _of_json_schema(self, stream: CatalogStream) -> pa.Schema:
        import pyarrow as pa

        described = {"name": stream.id.name, "namespace": stream.id.namespace, "json_schema": stream.json_schema}
        catalog = {"streams": [{"stream": described, "sync_mode": "full_refresh", "destination_sync_mode": "append"}]}
        types = {stream.id: self._types(stream.id)}
        schema = decoded_schemas(json.dumps(catalog).encode(), nested=self._options.nested, types=types)[stream.id]
        names = self._kept(stream.id)
        return pa.schema([field for field in schema if names is None or field.name in names])


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
