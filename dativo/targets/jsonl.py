"""The target `jsonl`: a directory of JSON lines, one object a row; see `docs/files.md`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import pyarrow as pa
from dativo_protocols import encode_json_lines

from dativo.targets._file_options import FileOption
from dativo.targets._files import FilesWriter
from dativo.targets._staging import Opener

__all__ = ["JsonLinesWriter"]

SUFFIXES = {"none": ".jsonl", "gzip": ".jsonl.gz", "zstd": ".jsonl.zst"}
LEVELS = {"gzip": 6, "zstd": 3}

SLICE_BYTES = 4 << 20
"""Arrow bytes made into lines at a time: as text they take two to three times as much."""


class JsonLinesWriter(FilesWriter):
    """Writes JSON lines under the table's column names; not compressed unless the configuration says so."""

    options: ClassVar[Mapping[str, FileOption]] = {"compression": FileOption("none", choices=tuple(SUFFIXES))}

    def _suffix(self, options: Mapping[str, Any]) -> str:
        return SUFFIXES[options["compression"]]

    def _opener(self, options: Mapping[str, Any]) -> Opener:
        return partial(_JsonLinesFile, options["compression"])


class _JsonLinesFile:
    """Compressed batch by batch, in gzip members and zstd frames of their own: pyarrow's compressed stream has no level."""

    def __init__(self, compression: str, stream: pa.NativeFile, schema: pa.Schema, batches: list[pa.RecordBatch]) -> None:
        self._stream = stream
        self._codec = None if compression == "none" else pa.Codec(compression, compression_level=LEVELS[compression])

    def write(self, batches: list[pa.RecordBatch]) -> None:
        for batch in batches:
            rows = max(1, batch.num_rows * SLICE_BYTES // max(1, batch.nbytes))
            for start in range(0, batch.num_rows, rows):
                lines = encode_json_lines(batch.slice(start, rows))
                self._stream.write(lines if self._codec is None else self._codec.compress(lines))

    def finish(self) -> None:
        """Lines need no end."""

    def abandon(self) -> None:
        """Nothing is held back."""
