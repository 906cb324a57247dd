"""Rows of BATCH messages in Parquet and Arrow files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from dativo_protocols import Batch, BatchFiles, ConnectorError, Schema

from dativo_engines._engine import DecodeOptions

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 65_536


def read_files(message: BatchFiles, announced: Schema | None, options: DecodeOptions) -> Iterator[Batch]:
    """The rows of the files in order, as the stream's schema has them.

    Columns are matched by name: one that is missing is null, one that the JSON Schema does not have goes to
    `_dativo_extra`. Nothing is converted with a loss.

    Raises:
        ConnectorError: There was no SCHEMA, a file cannot be read, or a value does not fit its column.
    """
    import pyarrow as pa

    if announced is None:
        raise ConnectorError(f"BATCH before the SCHEMA of stream `{message.stream}`", facts={"stream": str(message.stream)})
    schema = pa.schema(announced.data)
    properties = json.loads(announced.json_schema).get("properties") or {}
    for file in message.files:
        path = local_path(file, str(message.stream))
        try:
            for table_part in _record_batches(path, message.format, message.compression):
                batch = _conform(table_part, schema, set(properties), keep_extra=options.extra == "keep")
                yield Batch(message.stream, batch, batch.num_rows, batch.nbytes)
        except (pa.ArrowException, OSError) as error:
            raise ConnectorError(
                f"cannot read `{file}` of stream `{message.stream}`: {error}", facts={"stream": str(message.stream), "file": file}
            ) from error


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
        column = columns.get(field.name)
        arrays.append(pa.nulls(batch.num_rows, field.type) if column is None else _converted(column, field))
    extra = [name for name in columns if name not in properties]
    if extra and keep_extra and batch.num_rows:
        rows = [{name: value for name, value in row.items() if value is not None} for row in batch.select(extra).to_pylist()]
        arrays.append(pa.array([_json(row) if row else None for row in rows], pa.utf8()))
        schema = schema.append(pa.field("_dativo_extra", pa.utf8(), metadata={"ARROW:extension:name": "arrow.json"}))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _converted(column: pa.Array, field: pa.Field) -> pa.Array:
    import pyarrow as pa

    if column.type == field.type:
        return column
    is_json = (field.metadata or {}).get(b"ARROW:extension:name") == b"arrow.json"
    if is_json and not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return pa.array([None if value is None else _json(value) for value in column.to_pylist()], pa.utf8())
    if pa.types.is_timestamp(field.type) and pa.types.is_timestamp(column.type) and column.type.tz is None:
        # A time without a zone is taken as UTC.
        column = column.cast(pa.timestamp(column.type.unit, "UTC"))
    return column.cast(field.type)


def _json(value: object) -> str:
    return json.dumps(value, default=str, ensure_ascii=False, separators=(",", ":"))
