"""The target `arrow`: a directory, or a place in an object store, of Arrow IPC files; see `docs/files.md`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import pyarrow as pa

from dativo.targets._file_options import FileOption
from dativo.targets._files import FilesWriter
from dativo.targets._staging import Opener

__all__ = ["ArrowWriter"]

SUFFIXES = {"file": ".arrow", "stream": ".arrows"}


class ArrowWriter(FilesWriter):
    """Writes Arrow IPC: the file format (Feather 2) or the stream format, with compressed buffers.

    Record batches hold 16 MiB of Arrow data. JSON text is utf8 marked `arrow.json`.
    """

    options: ClassVar[Mapping[str, FileOption]] = {
        "compression": FileOption("zstd", choices=("zstd", "lz4", "none")),
        "container": FileOption("file", choices=tuple(SUFFIXES)),
    }

    def _suffix(self, options: Mapping[str, Any]) -> str:
        return SUFFIXES[options["container"]]

    def _opener(self, options: Mapping[str, Any]) -> Opener:
        return partial(_ArrowFile, options["container"], options["compression"])


class _ArrowFile:
    def __init__(
        self, container: str, compression: str, stream: pa.NativeFile, schema: pa.Schema, batches: list[pa.RecordBatch]
    ) -> None:
        options = pa.ipc.IpcWriteOptions(compression=None if compression == "none" else compression, use_threads=False)
        begin = pa.ipc.new_file if container == "file" else pa.ipc.new_stream
        self._writer = begin(stream, schema, options=options)

    def write(self, batches: list[pa.RecordBatch]) -> None:
        for batch in pa.Table.from_batches(batches).combine_chunks().to_batches():
            self._writer.write_batch(batch)

    def finish(self) -> None:
        self._writer.close()

    def abandon(self) -> None:
        """A writer that is not closed writes no end."""
