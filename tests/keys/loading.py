"""Encrypted datasets for tests: rows with a mark in them, and the search for that mark."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from dativo_protocols import Batch, Rejects, StreamId
from dativo_sdk import ConfiguredStream, JobKey, WriteCatalog

import dativo
from dativo._dataset import Dataset
from dativo.targets._files import FilesWriter
from dativo.targets.arrow import ArrowWriter
from dativo.targets.csv import CsvWriter
from dativo.targets.jsonl import JsonLinesWriter
from dativo.targets.parquet import ParquetWriter

USERS = StreamId("users")
MARK = "PLAINTEXT-MARKER"
JOB = JobKey("acme", "shop")
FORMATS: list[tuple[type[FilesWriter], dict[str, Any]]] = [
    (ParquetWriter, {}),
    (JsonLinesWriter, {}),
    (JsonLinesWriter, {"compression": "zstd"}),
    (JsonLinesWriter, {"compression": "gzip"}),
    (CsvWriter, {}),
    (CsvWriter, {"compression": "gzip"}),
    (ArrowWriter, {"compression": "none"}),
    (ArrowWriter, {"container": "stream"}),
]
NAMES = ["-".join([writer.__name__, *options.values()]) for writer, options in FORMATS]
every_format = pytest.mark.parametrize(("writer", "options"), FORMATS, ids=NAMES)


@contextmanager
def opened(
    path: Path,
    encryption: dict[str, Any],
    writer: type[FilesWriter] = ParquetWriter,
    run: str = "r1",
    mode: Any = "append",
    **config: Any,
) -> Iterator[FilesWriter]:
    target = writer()
    try:
        catalog = WriteCatalog(JOB, run, {USERS: ConfiguredStream(USERS, mode)})
        target.initialize({"path": str(path), "encryption": encryption, **config}, catalog)
        yield target
    finally:
        target.close()


def rows(count: int = 3, start: int = 0) -> pa.RecordBatch:
    numbers = range(start, start + count)
    return pa.record_batch(
        {"id": list(numbers), "email": [f"{MARK}-{i}@example.org" for i in numbers], "age": [i % 90 for i in numbers]}
    )


def send(target: FilesWriter, data: pa.RecordBatch, stream: StreamId = USERS) -> None:
    target.write_batch(Batch(stream, data, data.num_rows, data.nbytes))


def load(path: Path, encryption: dict[str, Any], writer: type[FilesWriter] = ParquetWriter, **config: Any) -> list[str]:
    """Three rows and a rejected one; the table's files."""
    with opened(path, encryption, writer, **config) as target:
        send(target, rows())
        reject = {"line": [7], "column": ["age"], "reason": ["no number"], "record": [f'{{"age": "{MARK}"}}'.encode()]}
        target.write_rejects(Rejects(USERS, pa.record_batch(reject), 1))
        target.commit(b"state", final=True)
    return read(path, encryption).files("users")


def read(path: Path, keys: dict[str, Any]) -> Dataset:
    return dativo.dataset(path, keys=keys)


def audit(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]


def leaks(folder: Path, mark: str = MARK) -> list[str]:
    """Files below a folder, and files that were deleted while this process has them open, with the mark in them."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            if " (deleted)" in os.readlink(descriptor):
                found.append(descriptor)
    leaking = []
    for path in found:
        with suppress(OSError):
            if mark.encode("latin-1") in path.read_bytes():
                leaking.append(str(path))
    return leaking
