"""The target `parquet`: a directory of zstd-compressed Parquet files; see `docs/files.md`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from dativo._exact_text import is_json
from dativo.targets._encryption import Encryption
from dativo.targets._file_options import FileOption
from dativo.targets._files import FilesWriter
from dativo.targets._repetition import repeats
from dativo.targets._staging import Opener

__all__ = ["ParquetWriter"]

LEVEL = 1
"""Of zstd: level 3 costs a seventh more CPU for files of the same size (12 columns of numbers, text and JSON)."""


class ParquetWriter(FilesWriter):
    """Writes Parquet: data pages of version 1, plain and dictionary encoding, so that every reader can read it.

    Row groups hold 16 MiB of Arrow data. Columns have statistics. JSON text has the logical type `JSON`.
    """

    encrypts_itself = True
    options: ClassVar[Mapping[str, FileOption]] = {
        "compression": FileOption("zstd", choices=("zstd", "snappy", "gzip", "lz4", "none")),
    }

    def _suffix(self, options: Mapping[str, Any]) -> str:
        return ".parquet"

    def _opener(self, options: Mapping[str, Any]) -> Opener:
        return partial(_ParquetFile, options["compression"], options["encryption"])


class _ParquetFile:
    def __init__(
        self,
        compression: str,
        encryption: Encryption | None,
        stream: pa.NativeFile,
        schema: pa.Schema,
        batches: list[pa.RecordBatch],
    ) -> None:
        self._schema = pa.schema([_parquet_field(field) for field in schema])
        self._writer = pq.ParquetWriter(
            stream,
            self._schema,
            compression=compression,
            compression_level=LEVEL if compression == "zstd" else None,
            use_dictionary=_repeating_columns(schema, batches),
            version="2.6",
            use_compliant_nested_type=True,
            store_schema=True,
            encryption_properties=None if encryption is None else encryption.parquet(stream, self._schema),
        )

    def write(self, batches: list[pa.RecordBatch]) -> None:
        table = pa.Table.from_batches([self._with_json(batch) for batch in batches])
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))

    def finish(self) -> None:
        self._writer.close()

    def abandon(self) -> None:
        # Closing the writer would write a footer, perhaps to a full disk.
        self._writer.is_open = False

    def _with_json(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        arrays = [
            pa.ExtensionArray.from_storage(field.type, array) if isinstance(field.type, pa.JsonType) else array
            for field, array in zip(self._schema, batch.columns, strict=True)
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)


def _parquet_field(field: pa.Field) -> pa.Field:
    """JSON text as pyarrow's own type for it, the only way to the logical type `JSON`."""
    return pa.field(field.name, pa.json_(pa.utf8())) if is_json(field) else field


def _repeating_columns(schema: pa.Schema, batches: list[pa.RecordBatch]) -> list[str] | bool:
    """Columns where values come again, by a sample: elsewhere a dictionary costs twice the CPU and makes files larger."""
    columns = [
        field.name
        for field, array in zip(schema, batches[0].columns, strict=True)
        if not pa.types.is_boolean(field.type) and not is_json(field) and repeats(array)
    ]
    return columns or False
