"""The target `csv`: a directory, or a place in an object store, of CSV files; see `docs/files.md`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import pyarrow as pa
from dativo_protocols.errors import ConfigError

from dativo.targets._csv_text import csv_header, csv_rows
from dativo.targets._file_options import FileOption
from dativo.targets._files import FilesWriter
from dativo.targets._staging import Opener
from dativo.targets.jsonl import LEVELS, SLICE_BYTES

__all__ = ["CsvWriter"]

SUFFIXES = {"none": ".csv", "gzip": ".csv.gz", "zstd": ".csv.zst"}
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}


class CsvWriter(FilesWriter):
    """Writes CSV under the table's column names, in a dialect that the configuration says, values exact."""

    options: ClassVar[Mapping[str, FileOption]] = {
        "compression": FileOption("none", choices=tuple(SUFFIXES)),
        "delimiter": FileOption("comma", choices=tuple(DELIMITERS)),
        "header": FileOption(True),
        "null_text": FileOption(""),
        "quoting": FileOption("minimal", choices=("minimal", "strings", "all")),
    }

    def _suffix(self, options: Mapping[str, Any]) -> str:
        return SUFFIXES[options["compression"]]

    def _opener(self, options: Mapping[str, Any]) -> Opener:
        return partial(_CsvFile, options["compression"], self._reading(options))

    def _reading(self, options: Mapping[str, Any]) -> dict[str, Any]:
        null = options["null_text"]
        if any(character in null for character in '"\r\n,;|\t') or null != null.strip():
            raise ConfigError(
                "`null_text` cannot hold quotes, delimiters, line ends, or spaces at its ends", facts={"key": "null_text"}
            )
        return {
            "delimiter": DELIMITERS[options["delimiter"]],
            "header": options["header"],
            "null_text": null,
            "quoting": options["quoting"],
        }


class _CsvFile:
    """Compressed slice by slice, as JSON lines are."""

    def __init__(
        self,
        compression: str,
        dialect: Mapping[str, Any],
        stream: pa.NativeFile,
        schema: pa.Schema,
        batches: list[pa.RecordBatch],
    ) -> None:
        self._stream = stream
        self._dialect = dialect
        self._codec = None if compression == "none" else pa.Codec(compression, compression_level=LEVELS[compression])
        if dialect["header"]:
            self._put(csv_header(schema, dialect))

    def write(self, batches: list[pa.RecordBatch]) -> None:
        for batch in batches:
            rows = max(1, batch.num_rows * SLICE_BYTES // max(1, batch.nbytes))
            for start in range(0, batch.num_rows, rows):
                self._put(csv_rows(batch.slice(start, rows), self._dialect))

    def finish(self) -> None:
        """Rows need no end."""

    def abandon(self) -> None:
        """Nothing is held back."""

    def _put(self, text: bytes | memoryview) -> None:
        self._stream.write(text if self._codec is None else self._codec.compress(text))
