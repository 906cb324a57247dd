"""One finished data file, read as batches in bounded memory, whatever its format and wherever it is."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Literal

import pyarrow as pa
from dativo_protocols.errors import ConnectorError, ContractError, TargetError

from dativo.targets._commit_record import DataFile
from dativo.targets._disk import refused
from dativo.targets._encryption import decrypted, open_parquet
from dativo.targets._store import Store

BATCH_BYTES = 4 << 20
BATCH_ROWS = 1 << 16


def read_data_file(store: Store, file: DataFile, schema: pa.Schema, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Batches of about 4 MiB, in the file's order.

    Args:
        schema: What the file was written with.
        columns: Those to read, all of them in `schema`; with none, the batches have some column, for their number of rows.

    Raises:
        TargetError: The file is gone or damaged.
    """
    path = store.locate(file.path)
    store, file = decrypted(store, file)
    names = list(columns) or schema.names[:1]
    try:
        if file.path.endswith(".parquet"):
            yield from _read_parquet(store, file, names)
        elif file.path.endswith((".arrow", ".arrows")):
            yield from _read_arrow(store, file, names)
        elif ".csv" in file.path:
            from dativo.targets._csv_text import read_csv

            with ExitStack() as open_files:
                yield from read_csv(lambda: open_files.enter_context(_plain(store, file)), file.reading, schema, names)
        else:
            yield from _read_json_lines(store, file, schema, names)
    except FileNotFoundError as error:
        raise TargetError(
            f"`{path}` is gone",
            hint="if its table was overwritten since the dataset was opened, open the dataset again",
            facts={"path": path},
        ) from error
    except (pa.ArrowInvalid, ContractError, ConnectorError) as error:
        raise TargetError(f"cannot read `{path}`: {error}", facts={"path": path}) from error
    except OSError as error:
        raise refused(error, "read", path) from error


def _read_parquet(store: Store, file: DataFile, columns: list[str]) -> Iterator[pa.RecordBatch]:
    # What is far away is fetched a row group at a time; on a disk that would only cost memory.
    far = store.local_path(file.path) is None
    with (
        store.source(file.path, file.bytes) as source,
        open_parquet(store, file, columns, source, pre_buffer=far) as parquet,
    ):
        metadata = parquet.metadata
        nbytes = sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
        rows = max(1, min(BATCH_ROWS, BATCH_BYTES * metadata.num_rows // max(1, nbytes)))
        for group in range(metadata.num_row_groups):
            yield from parquet.iter_batches(batch_size=rows, row_groups=[group], columns=columns, use_threads=False)


def _read_arrow(store: Store, file: DataFile, columns: list[str]) -> Iterator[pa.RecordBatch]:
    with store.source(file.path, file.bytes) as source:
        for batch in _arrow_batches(source, stream=file.path.endswith(".arrows")):
            rows = max(1, min(BATCH_ROWS, BATCH_BYTES * batch.num_rows // max(1, batch.nbytes)))
            chosen = batch.select(columns)
            yield from (chosen.slice(start, rows) for start in range(0, chosen.num_rows, rows))


def _arrow_batches(source: pa.NativeFile, *, stream: bool) -> Iterator[pa.RecordBatch]:
    if stream:
        with pa.ipc.open_stream(pa.BufferedInputStream(source, 1 << 20)) as batches:
            yield from batches
    else:
        with pa.ipc.open_file(source) as reader:
            yield from (reader.get_batch(index) for index in range(reader.num_record_batches))


def _read_json_lines(store: Store, file: DataFile, schema: pa.Schema, columns: list[str]) -> Iterator[pa.RecordBatch]:
    from dativo_protocols import decode_json_lines

    wanted = pa.schema([schema.field(name) for name in columns])
    with (
        _lines(store, file) as (source, compression),
        closing(decode_json_lines(source, wanted, compression=compression)) as batches,
    ):
        for batch in batches:
            yield pa.record_batch(batch)


@contextmanager
def _lines(store: Store, file: DataFile) -> Iterator[tuple[str, Literal["gzip"] | None]]:
    """What the decoder can read: the file itself, or a pipe where it is far away, or of zstd, which the decoder does not know."""
    path = store.local_path(file.path)
    if path is not None and not file.path.endswith(".zst"):
        yield path, "gzip" if path.endswith(".gz") else None
        return
    with _plain(store, file) as stream, piped(lambda: stream.read(1 << 20)) as pipe:
        yield pipe, None


@contextmanager
def _plain(store: Store, file: DataFile) -> Iterator[pa.NativeFile]:
    """The file's bytes from first to last, uncompressed."""
    path = store.local_path(file.path)
    if path is not None and os.path.getsize(path) != file.bytes:
        # Text that was cut off can look like a whole row.
        raise pa.ArrowInvalid(f"it has not the {file.bytes} bytes that were committed")
    compression = {".gz": "gzip", ".zst": "zstd"}.get(os.path.splitext(file.path)[1])
    with store.source(file.path, file.bytes) as source:
        stream: pa.NativeFile = source
        if store.local_path(file.path) is None:
            stream = pa.BufferedInputStream(source, 8 << 20)
        with stream if compression is None else pa.CompressedInputStream(stream, compression) as plain:
            yield plain


@contextmanager
def piped(read: Callable[[], bytes]) -> Iterator[str]:
    """The path of a pipe that a thread feeds with what `read` gives, until that is empty."""
    reading, writing = os.pipe()
    failures: list[Exception] = []

    def feed() -> None:
        try:
            with os.fdopen(writing, "wb", buffering=0) as pipe:
                while chunk := read():
                    pipe.write(chunk)
        except BrokenPipeError:
            pass
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=feed, name="dativo-feed", daemon=True)
    thread.start()
    try:
        yield f"/dev/fd/{reading}"
    finally:
        os.close(reading)
        thread.join()
    if failures:
        raise failures[0]
