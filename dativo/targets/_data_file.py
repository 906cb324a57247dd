"""One finished data file, read as batches in bounded memory, whatever its format."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal

import pyarrow as pa
from dativo_protocols.errors import ConnectorError, ContractError, TargetError

from dativo.targets._disk import refused

BATCH_BYTES = 4 << 20
BATCH_ROWS = 1 << 16


def read_data_file(path: Path, schema: pa.Schema, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Batches of about 4 MiB, in the file's order.

    Args:
        schema: What the file was written with.
        columns: Those to read, all of them in `schema`; with none, the batches have some column, for their number of rows.

    Raises:
        TargetError: The file is gone or damaged.
    """
    try:
        if path.suffix == ".parquet":
            yield from _read_parquet(path, list(columns) or schema.names[:1])
        else:
            yield from _read_json_lines(path, schema, list(columns) or schema.names[:1])
    except FileNotFoundError as error:
        raise TargetError(
            f"`{path}` is gone",
            hint="if its table was overwritten since the dataset was opened, open the dataset again",
            facts={"path": str(path)},
        ) from error
    except (pa.ArrowInvalid, ContractError, ConnectorError) as error:
        raise TargetError(f"cannot read `{path}`: {error}", facts={"path": str(path)}) from error
    except OSError as error:
        raise refused(error, "read", path) from error


def _read_parquet(path: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, pre_buffer=False) as file:
        metadata = file.metadata
        nbytes = sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
        rows = max(1, min(BATCH_ROWS, BATCH_BYTES * metadata.num_rows // max(1, nbytes)))
        yield from file.iter_batches(batch_size=rows, columns=columns, use_threads=False)


def _read_json_lines(path: Path, schema: pa.Schema, columns: list[str]) -> Iterator[pa.RecordBatch]:
    from dativo_protocols import decode_json_lines

    wanted = pa.schema([schema.field(name) for name in columns])
    with (
        _plain_lines(path) as (source, compression),
        closing(decode_json_lines(source, wanted, compression=compression)) as batches,
    ):
        for batch in batches:
            yield pa.record_batch(batch)


@contextmanager
def _plain_lines(path: Path) -> Iterator[tuple[str, Literal["gzip"] | None]]:
    """What the decoder can read: the file itself, or a pipe where the file is of zstd, which it does not know."""
    if path.suffix != ".zst":
        yield str(path), "gzip" if path.suffix == ".gz" else None
        return
    reading, writing = os.pipe()
    stream = pa.CompressedInputStream(pa.OSFile(str(path)), "zstd")
    failures: list[Exception] = []

    def feed() -> None:
        try:
            with os.fdopen(writing, "wb", buffering=0) as pipe:
                while chunk := stream.read(1 << 20):
                    pipe.write(chunk)
        except BrokenPipeError:
            pass
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=feed, name="dativo-unzstd", daemon=True)
    thread.start()
    try:
        yield f"/dev/fd/{reading}", None
    finally:
        os.close(reading)
        thread.join()
        stream.close()
    if failures:
        raise failures[0]
