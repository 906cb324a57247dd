"""Rows of BATCH messages in Parquet and Arrow files."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from dativo_protocols import Batch, BatchFiles, ConnectorError, Rejects, Schema

from dativo_engines._engine import DecodeOptions
from dativo_engines._reading import decoder_options

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 65_536


def read_files(message: BatchFiles, announced: Schema | None, options: DecodeOptions) -> Iterator[Batch | Rejects]:
    """The rows of the files in order, as the stream's schema has them.

    Columns are matched by name: one that is missing is null, one that the JSON Schema does not have goes to
    `_dativo_extra`. Nothing is converted with a loss: a batch with a value that does not fit is decoded record by record, under
    the job's rule for bad values; the line in its rejects is the row's number in that batch.

    Raises:
        ConnectorError: There was no SCHEMA, or a file cannot be read.
        ContractError: A value does not fit its column, and the job says to fail.
    """
    import pyarrow as pa

    facts = {"stream": str(message.stream)}
    if announced is None:
        raise ConnectorError(f"BATCH before the SCHEMA of stream `{message.stream}`", facts=facts)
    schema = pa.schema(announced.data)
    properties = json.loads(announced.json_schema).get("properties") or {}
    for file in message.files:
        path = local_path(file, str(message.stream))
        try:
            for part in _record_batches(path, message.format, message.compression):
                yield from _decoded(part, announced, schema, set(properties), options)
        except (pa.ArrowException, OSError, TypeError) as error:
            raise ConnectorError(
                f"cannot read `{file}` of stream `{message.stream}`: {error}", facts={**facts, "file": file}
            ) from error


def _decoded(
    part: pa.RecordBatch, announced: Schema, schema: pa.Schema, properties: set[str], options: DecodeOptions
) -> Iterator[Batch | Rejects]:
    import pyarrow as pa

    try:
        batch = _conform(part, schema, properties, keep_extra=options.extra == "keep")
    except pa.ArrowInvalid:
        yield from _by_record(part, announced, options)
    else:
        yield Batch(announced.stream, batch, batch.num_rows, batch.nbytes)


def _by_record(part: pa.RecordBatch, announced: Schema, options: DecodeOptions) -> Iterator[Batch | Rejects]:
    """The rows as the decoder takes them when they come as RECORD messages."""
    from dativo_protocols import SingerDecoder, encode_json_lines

    name = json.dumps(announced.stream.name).encode()
    key = json.dumps(announced.primary_key).encode()
    with tempfile.TemporaryFile() as file:
        file.write(b'{"type":"SCHEMA","stream":%b,"key_properties":%b,"schema":%b}\n' % (name, key, announced.json_schema))
        for line in encode_json_lines(part).splitlines():
            file.write(b'{"type":"RECORD","stream":%b,"record":%b}\n' % (name, line))
        file.seek(0)
        decoder = SingerDecoder(file.fileno(), **decoder_options(options))
        try:
            for message in decoder:
                if isinstance(message, (Batch, Rejects)):
                    yield message
        finally:
            decoder.close()


def local_path(file: str, stream: str) -> str:
    """The path of a file named by a manifest.

    Raises:
        ConnectorError: It is not on this machine.
    """
    if file.startswith("file://"):
        return unquote(urlsplit(file).path)
    if "://" in file:
        raise ConnectorError(
            f"BATCH file `{file}` of stream `{stream}` is not a local file",
            hint="let the tap write its batches to a local folder",
        )
    return file


def _record_batches(path: str, kind: str, compression: str | None) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    if kind == "parquet":
        import pyarrow.parquet as pq

        source = pa.input_stream(path, compression=compression).read_buffer() if compression else path
        with pq.ParquetFile(source) as file:
            yield from file.iter_batches(batch_size=BATCH_ROWS)
        return
    if compression:
        with pa.input_stream(path, compression=compression) as stream, pa.ipc.open_stream(stream) as reader:
            yield from reader
        return
    with pa.memory_map(path) as mapped:
        # The file format starts with `ARROW1`; the stream format does not.
        is_file = os.path.getsize(path) > 6 and mapped.read(6) == b"ARROW1"
        mapped.seek(0)
        if is_file:
            reader = pa.ipc.open_file(mapped)
            for number in range(reader.num_record_batches):
                yield reader.get_batch(number)
        else:
            yield from pa.ipc.open_stream(mapped)


def _conform(batch: pa.RecordBatch, schema: pa.Schema, properties: set[str], *, keep_extra: bool) -> pa.RecordBatch:
    import pyarrow as pa

    columns: dict[str, Any] = dict(zip(batch.schema.names, batch.columns, strict=True))
    arrays = []
    for field in schema:
        # What a tap says beside its records, no file says.
        column = None if b"dativo.role" in (field.metadata or {}) else columns.get(field.name)
        arrays.append(pa.nulls(batch.num_rows, field.type) if column is None else _converted(column, field))
    extra = [name for name in columns if name not in properties]
    if extra and keep_extra and batch.num_rows:
        rows = [{name: value for name, value in row.items() if value is not None} for row in batch.select(extra).to_pylist()]
        field = pa.field("_dativo_extra", pa.utf8(), metadata={"ARROW:extension:name": "arrow.json"})
        # Newer pyarrow knows the extension type, older carries its name.
        if hasattr(pa, "json_"):
            field = pa.field("_dativo_extra", pa.json_())
        arrays.append(json_array([_json(row) if row else None for row in rows], field.type))
        schema = schema.append(field)
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _converted(column: pa.Array, field: pa.Field) -> pa.Array:
    import pyarrow as pa

    if column.type == field.type:
        return column
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if is_json(field):
        return json_array([None if value is None else _document(value) for value in column.to_pylist()], field.type)
    if is_text(column.type) != is_text(field.type):
        raise pa.ArrowInvalid("text is read as the decoder reads it, not as Arrow casts it")
    if pa.types.is_timestamp(field.type) and pa.types.is_timestamp(column.type) and column.type.tz is None:
        # A time without a zone is taken as UTC.
        column = column.cast(pa.timestamp(column.type.unit, "UTC"))
    return column.cast(field.type)


def is_json(field: pa.Field) -> bool:
    """Whether it holds JSON text: `arrow.json`, which older pyarrow knows by its metadata only."""
    named = (field.metadata or {}).get(b"ARROW:extension:name")
    return named == b"arrow.json" or getattr(field.type, "extension_name", None) == "arrow.json"


def json_array(texts: list[str | None], kind: pa.DataType) -> pa.Array:
    """JSON texts as a column of that type."""
    import pyarrow as pa

    storage = getattr(kind, "storage_type", None)
    if storage is None:
        return pa.array(texts, kind)
    return pa.ExtensionArray.from_storage(kind, pa.array(texts, storage))


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type holds text, in whatever layout."""
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _document(value: object) -> str:
    """JSON text of a value; formats without nested types keep an object or array as its JSON text already."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            json.loads(value)
        except ValueError:
            return _json(value)
        return value
    return _json(value)


def _json(value: object) -> str:
    return json.dumps(value, default=str, ensure_ascii=False, separators=(",", ":"))
