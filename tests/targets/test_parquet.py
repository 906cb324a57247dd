from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dativo_sdk import JobKey, WriteCatalog
from dativo_sdk.conformance import EVERY_TYPE, batch

from dativo._dataset import dataset
from dativo.targets.parquet import ParquetWriter


def written(path: Path, columns: dict[str, Any], **config: Any) -> str:
    """The one file of a run that writes these columns."""
    writer = ParquetWriter()
    writer.initialize({"path": str(path), **config}, WriteCatalog(JobKey("t", "j"), "r"))
    writer.write_batch(batch(columns, fields=[field for field, _ in EVERY_TYPE]))
    writer.commit(b"1", final=True)
    writer.close()
    (file,) = dataset(path).files("orders")
    return file


def test_only_columns_that_repeat_have_a_dictionary(tmp_path: Path) -> None:
    numbers = range(20_000)
    columns = {
        "unique": list(numbers),
        "few": [number % 50 for number in numbers],
        "name": [f"name {number}" for number in numbers],
        "country": [f"country {number % 200}" for number in numbers],
        "nothing": pa.nulls(20_000, pa.utf8()),
    }
    group = pq.read_metadata(written(tmp_path, columns)).row_group(0)
    chosen = {group.column(index).path_in_schema for index in range(5) if group.column(index).has_dictionary_page}
    assert {"few", "country"} <= chosen <= {"few", "country", "nothing"}


def test_files_are_zstd_with_statistics_and_encodings_every_reader_knows(tmp_path: Path) -> None:
    group = pq.read_metadata(written(tmp_path, {"id": list(range(1000)), "text": ["a", "b"] * 500})).row_group(0)
    columns = [group.column(index) for index in range(2)]
    assert [column.compression for column in columns] == ["ZSTD", "ZSTD"]
    assert (columns[0].statistics.min, columns[0].statistics.max) == (0, 999)
    assert {encoding for column in columns for encoding in column.encodings} <= {"PLAIN", "RLE", "RLE_DICTIONARY"}


@pytest.mark.parametrize("compression", ["snappy", "gzip", "lz4", "none"])
def test_other_compressions(tmp_path: Path, compression: str) -> None:
    file = written(tmp_path, {"id": [1, 2]}, compression=compression)
    expected = {"none": "UNCOMPRESSED"}.get(compression, compression.upper())
    assert pq.read_metadata(file).row_group(0).column(0).compression == expected
    assert dataset(tmp_path).to_arrow("orders")["id"].to_pylist() == [1, 2]


def test_json_text_has_the_logical_type_json(tmp_path: Path) -> None:
    file = written(tmp_path, {"id": [1], "json": ['{"a":1.10}']})
    assert str(pq.ParquetFile(file).schema.column(1).logical_type) == "JSON"
    assert duckdb.sql(f"SELECT typeof(json), json FROM '{file}'").fetchall() == [("JSON", '{"a":1.10}')]


def test_other_tools_read_the_files_themselves(tmp_path: Path) -> None:
    columns = {field.name: values for field, values in EVERY_TYPE if field.name not in ("big", "small", "clock")}
    file = written(tmp_path, columns)
    expected = dict(EVERY_TYPE_BY_NAME)
    for table in (pq.read_table(file), duckdb.sql(f"FROM '{file}'").to_arrow_table(), pl.read_parquet(file).to_arrow()):
        for name in ("id", "whole", "real", "yes", "text", "day", "list"):
            assert table[name].to_pylist() == expected[name], name


EVERY_TYPE_BY_NAME = {field.name: values for field, values in EVERY_TYPE}


def test_row_groups_hold_sixteen_mebibytes(tmp_path: Path) -> None:
    writer = ParquetWriter()
    writer.initialize({"path": str(tmp_path)}, WriteCatalog(JobKey("t", "j"), "r"))
    for start in range(0, 3_000_000, 50_000):
        writer.write_batch(batch({"id": pa.array(range(start, start + 50_000)), "twice": pa.array(range(start, start + 50_000))}))
    writer.commit(b"1", final=True)
    writer.close()
    (file,) = dataset(tmp_path).files("orders")
    metadata = pq.read_metadata(file)
    rows = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
    assert (sum(rows), len(rows)) == (3_000_000, 3)
    assert all(1_000_000 <= count <= 1_100_000 for count in rows[:-1])
