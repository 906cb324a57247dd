from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from dativo_protocols.errors import TargetError
from dativo_sdk import JobKey, WriteCatalog
from dativo_sdk.conformance import EVERY_TYPE, batch

from dativo._dataset import dataset
from dativo.targets.arrow import ArrowWriter

FIELDS = [field for field, _ in EVERY_TYPE]


def written(path: Path, *tables: dict[str, Any], **config: Any) -> Path:
    writer = ArrowWriter()
    writer.initialize({"path": str(path), **config}, WriteCatalog(JobKey("t", "j"), "r"))
    for columns in tables:
        writer.write_batch(batch(columns, fields=FIELDS))
    writer.commit(b"1", final=True)
    writer.close()
    return Path(dataset(path).files("orders")[0])


@pytest.mark.parametrize("compression", ["zstd", "lz4", "none"])
@pytest.mark.parametrize(("container", "suffix"), [("file", ".arrow"), ("stream", ".arrows")])
def test_files_and_streams_are_read_by_others_and_by_the_dataset(
    compression: str, container: str, suffix: str, tmp_path: Path
) -> None:
    parts = [{"id": list(range(start, start + 20_000)), "text": ["x"] * 20_000} for start in range(0, 60_000, 20_000)]
    file = written(tmp_path, *parts, compression=compression, container=container)
    assert file.suffix == suffix
    expected = list(range(60_000))
    assert dataset(tmp_path).to_arrow("orders", ["id"])["id"].to_pylist() == expected
    if container == "file":
        assert pa.ipc.open_file(file).read_all()["id"].to_pylist() == expected
        assert pl.read_ipc(file)["id"].to_list() == expected
    else:
        assert pa.ipc.open_stream(file.read_bytes()).read_all()["id"].to_pylist() == expected
        assert pl.read_ipc_stream(file)["id"].to_list() == expected


def test_buffers_are_compressed(tmp_path: Path) -> None:
    columns = {"text": ["the same again and again"] * 50_000}
    sizes = [written(tmp_path / kind, columns, compression=kind).stat().st_size for kind in ("zstd", "none")]
    assert sizes[0] * 5 < sizes[1]


def test_types_are_kept_as_they_are(tmp_path: Path) -> None:
    file = written(tmp_path, {field.name: values for field, values in EVERY_TYPE})
    schema = pa.ipc.open_file(file).schema
    for field in FIELDS:
        if field.name != "json":
            assert schema.field(field.name).type.equals(field.type)
    assert "arrow.json" in str(schema.field("json"))


def test_rows_of_one_group_are_one_batch_and_readers_get_small_ones(tmp_path: Path) -> None:
    parts = [{"id": list(range(100_000)), "noise": [f"{number:0100}" for number in range(100_000)]} for _ in range(3)]
    file = written(tmp_path, *parts)
    assert pa.ipc.open_file(file).num_record_batches <= 3
    assert all(each.nbytes < 6 << 20 for each in dataset(tmp_path).scan("orders"))


@pytest.mark.parametrize("container", ["file", "stream"])
def test_a_damaged_file_is_an_error(container: str, tmp_path: Path) -> None:
    file = written(tmp_path, {"id": list(range(1000))}, container=container)
    file.write_bytes(file.read_bytes()[:-700])
    with pytest.raises(TargetError):
        dataset(tmp_path).to_arrow("orders")
