"""Arrow rows as JSON lines, and as files of four formats."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import PurePath
from typing import IO, TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["JSON_LINES", "OPTIONAL", "ColumnsWriter", "file_format", "json_lines", "open_columns"]

OPTIONAL = ("_dativo_extra", "_dativo_changes")
ROW_GROUP_BYTES = 64 << 20
JSON_LINES = (".jsonl", ".ndjson")
FORMATS = (".parquet", *JSON_LINES, ".csv", ".arrow")


class ColumnsWriter(Protocol):
    """Writes batches of one schema to a file."""

    def write_batch(self, batch: pa.RecordBatch) -> None: ...
    def close(self) -> None: ...


def file_format(path: str) -> str:
    """The suffix that decides a file's format.

    Raises:
        ConfigError: It is none of `FORMATS`.
    """
    suffix = PurePath(path).suffix.lower()
    if suffix not in FORMATS:
        from dativo_protocols.errors import ConfigError

        known = ", ".join(f"`{each}`" for each in FORMATS)
        raise ConfigError(f"cannot tell the format of `{path}` by its name", hint=f"end it with one of {known}")
    return suffix


def json_lines(stream: str, batch: pa.RecordBatch, *, wrapped: bool) -> bytes:
    """The rows as JSON lines; `_dativo_extra` and `_dativo_changes` are left out where the whole batch has none.

    Args:
        wrapped: Make each line `{"stream":STREAM,"record":RECORD}`.
    """
    from dativo_protocols import encode_json_lines

    empty = [name for name in OPTIONAL if name in batch.schema.names and batch.column(name).null_count == batch.num_rows]
    lines = bytes(encode_json_lines(batch.drop_columns(empty) if empty else batch))
    if not wrapped or not lines:
        return lines
    # A line holds no raw newline, so whole batches are wrapped without looking at their records.
    head = f'{{"stream":{json.dumps(stream)},"record":'.encode()
    return head + lines.removesuffix(b"\n").replace(b"\n", b"}\n" + head) + b"}\n"


def open_columns(file: IO[bytes], suffix: str, schema: pa.Schema) -> ColumnsWriter:
    """Starts a Parquet (zstd), CSV or Arrow IPC file."""
    import pyarrow as pa

    writer: ColumnsWriter
    if suffix == ".parquet":
        writer = _Parquet(file, schema)
    elif suffix == ".csv":
        writer = _Csv(file, schema)
    else:
        writer = pa.ipc.new_file(file, schema)
    return writer


class _Parquet:
    """Parquet: batches are gathered into row groups, since each write makes one."""

    def __init__(self, file: IO[bytes], schema: pa.Schema) -> None:
        import pyarrow.parquet as pq

        self._schema = schema
        self._writer = pq.ParquetWriter(file, schema, compression="zstd")
        self._gathered: list[pa.RecordBatch] = []
        self._bytes = 0

    def write_batch(self, batch: pa.RecordBatch) -> None:
        self._gathered.append(batch)
        self._bytes += batch.nbytes
        if self._bytes >= ROW_GROUP_BYTES:
            self._write()

    def close(self) -> None:
        if self._gathered:
            self._write()
        self._writer.close()

    def _write(self) -> None:
        import pyarrow as pa

        self._writer.write_table(pa.Table.from_batches(self._gathered, self._schema))
        self._gathered, self._bytes = [], 0


class _Csv:
    """CSV: JSON as its text, bytes in base64; a null is empty, an empty string `""`."""

    def __init__(self, file: IO[bytes], schema: pa.Schema) -> None:
        import pyarrow as pa
        from pyarrow import csv

        self._schema = pa.schema([pa.field(field.name, _text_type(field.type)) for field in schema])
        self._writer = csv.CSVWriter(file, self._schema)

    def write_batch(self, batch: pa.RecordBatch) -> None:
        import pyarrow as pa

        columns = [_as_text(column) for column in batch.columns]
        self._writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


def _text_type(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    if isinstance(kind, pa.BaseExtensionType):
        return kind.storage_type
    return pa.string() if pa.types.is_binary(kind) else kind


def _as_text(column: pa.Array) -> pa.Array:
    import pyarrow as pa

    if isinstance(column, pa.ExtensionArray):
        return column.storage
    if pa.types.is_binary(column.type):
        return pa.array([None if value is None else b64encode(value).decode() for value in column.to_pylist()], pa.string())
    return column
