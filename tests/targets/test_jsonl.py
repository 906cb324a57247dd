from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from dativo_protocols.errors import TargetError
from dativo_sdk import JobKey, WriteCatalog
from dativo_sdk.conformance import EVERY_TYPE, batch

from dativo._dataset import dataset
from dativo.targets.jsonl import JsonLinesWriter


def written(path: Path, *tables: dict[str, Any], **config: Any) -> Path:
    writer = JsonLinesWriter()
    writer.initialize({"path": str(path), **config}, WriteCatalog(JobKey("t", "j"), "r"))
    for columns in tables:
        writer.write_batch(batch(columns, fields=[field for field, _ in EVERY_TYPE]))
    writer.commit(b"1", final=True)
    writer.close()
    return Path(dataset(path).files("orders")[0])


def test_each_row_is_an_object_on_its_line_and_json_is_as_sent(tmp_path: Path) -> None:
    file = written(tmp_path, {"id": [1, 2], "text": ["a\nb", None], "json": ['{"n": 1.10}', None]})
    assert file.read_text() == '{"id":1,"text":"a\\nb","json":{"n": 1.10}}\n{"id":2,"text":null,"json":null}\n'


def zstd(payload: bytes) -> bytes:
    return pa.CompressedInputStream(pa.py_buffer(payload), "zstd").read()


@pytest.mark.parametrize(
    ("compression", "suffix", "plain"),
    [("none", ".jsonl", bytes), ("gzip", ".jsonl.gz", gzip.decompress), ("zstd", ".jsonl.zst", zstd)],
)
def test_compressed_files_are_read_by_others_and_by_the_dataset(
    tmp_path: Path, compression: str, suffix: str, plain: Callable[[bytes], bytes]
) -> None:
    parts = [{"id": list(range(start, start + 20_000))} for start in range(0, 60_000, 20_000)]
    file = written(tmp_path, *parts, compression=compression)
    assert file.name.endswith(suffix)
    assert [json.loads(line)["id"] for line in plain(file.read_bytes()).splitlines()] == list(range(60_000))
    assert duckdb.sql(f"SELECT count(*), sum(id) FROM read_json('{file}')").fetchall() == [(60_000, sum(range(60_000)))]
    assert dataset(tmp_path).to_arrow("orders")["id"].to_pylist() == list(range(60_000))


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_a_scan_left_early_leaves_nothing_running(tmp_path: Path, compression: str) -> None:
    written(tmp_path, {"id": list(range(300_000)), "text": ["x" * 50] * 300_000}, compression=compression)
    reader = dataset(tmp_path).scan("orders")
    assert reader.read_next_batch().num_rows > 0
    reader.close()
    del reader


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_a_damaged_file_is_an_error(tmp_path: Path, compression: str) -> None:
    file = written(tmp_path, {"id": list(range(1000))}, compression=compression)
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(TargetError):
        dataset(tmp_path).to_arrow("orders")


def test_a_missing_line_is_an_error(tmp_path: Path) -> None:
    file = written(tmp_path, {"id": [1, 2, 3]})
    file.write_bytes(b'{"id":1}\n{"id":3}\n')
    with pytest.raises(TargetError, match="not as many rows as were committed"):
        dataset(tmp_path).to_arrow("orders")
