from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from dativo_protocols import Batch, Rejects, StreamId
from dativo_protocols.errors import ConfigError, TargetError
from dativo_sdk import ConfiguredStream, JobKey, WriteCatalog

from dativo._dataset import dataset
from dativo.targets.jsonl import JsonLinesWriter
from dativo.targets.parquet import ParquetWriter

ORDERS, EU_ORDERS, USERS = StreamId("orders"), StreamId("orders", "eu"), StreamId("Users of 2026")
WRITERS: dict[str, Any] = {"parquet": ParquetWriter, "jsonl": JsonLinesWriter}


def load(path: Path, kind: str, columns: dict[str, Any], stream: StreamId = ORDERS, mode: str = "append") -> None:
    writer = WRITERS[kind]()
    writer.initialize({"path": path}, WriteCatalog(JobKey("acme", "shop"), "run", {stream: ConfiguredStream(stream, mode)}))  # type: ignore[arg-type]
    data = pa.record_batch(columns)
    writer.write_batch(Batch(stream, data, data.num_rows, data.nbytes))
    writer.commit(b'{"at": 1.10}', final=True)
    writer.close()


@pytest.fixture(params=["parquet", "jsonl"])
def grown(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A table in three files: a column added, another widened."""
    load(tmp_path, request.param, {"id": [1, 2], "v": [10, None]})
    load(tmp_path, request.param, {"id": [3], "v": [0.5], "new": ["x"]})
    load(tmp_path, request.param, {"new": ["y"], "id": [4]})
    return tmp_path


GROWN = {"id": [1, 2, 3, 4], "v": [10.0, None, 0.5, None], "new": [None, None, "x", "y"]}


def test_old_files_come_in_the_schema_of_today(grown: Path) -> None:
    data = dataset(grown)
    assert [str(kind) for kind in data.schema("orders").types] == ["int64", "double", "string"]
    assert data.to_arrow("orders").to_pydict() == GROWN
    assert len(data.files("orders")) == 3
    assert repr(data["orders"]) == "<4 rows of 3 columns in 3 files>"


@pytest.mark.parametrize("columns", [["new", "id"], ["new"], ["v"], []])
def test_chosen_columns_come_in_the_order_asked_for(grown: Path, columns: list[str]) -> None:
    table = dataset(grown).to_arrow("orders", columns)
    assert (table.schema.names, table.to_pydict()) == (columns, {name: GROWN[name] for name in columns})
    assert table.num_rows == 4 or not columns


def test_a_column_that_is_not_there_is_named_with_those_that_are(grown: Path) -> None:
    with pytest.raises(ConfigError, match="no column `old`") as caught:
        dataset(grown).scan("orders", ["old"])
    assert caught.value.hint == "columns: `id`, `v`, `new`"


def test_polars_duckdb_and_pyarrow_take_a_table_as_it_is(grown: Path) -> None:
    rows = dataset(grown)["orders"]
    assert pl.DataFrame(rows).to_dict(as_series=False) == GROWN
    assert pa.table(rows).to_pydict() == GROWN
    assert duckdb.sql("SELECT sum(id), sum(v) FROM rows").fetchall() == [(10, 10.5)]
    assert pa.schema(rows) == rows.schema


def test_json_columns_are_json_to_duckdb_and_text_to_polars(tmp_path: Path) -> None:
    field = pa.field("doc", pa.utf8(), metadata={"ARROW:extension:name": "arrow.json", "ARROW:extension:metadata": ""})
    data = pa.RecordBatch.from_arrays([pa.array(['{"a": 1.10}'])], schema=pa.schema([field]))
    writer = ParquetWriter()
    writer.initialize({"path": tmp_path}, WriteCatalog(JobKey("acme", "shop"), "run"))
    writer.write_batch(Batch(ORDERS, data, 1, data.nbytes))
    writer.commit(None)
    writer.close()
    rows = dataset(tmp_path)["orders"]
    assert duckdb.sql("SELECT typeof(doc), doc FROM rows").fetchall() == [("JSON", '{"a": 1.10}')]
    assert rows.to_arrow()["doc"].to_pylist() == ['{"a": 1.10}']
    assert rows.schema.field("doc").metadata[b"ARROW:extension:name"] == b"arrow.json"


def test_a_dataset_goes_on_reading_what_it_saw_first(tmp_path: Path) -> None:
    load(tmp_path, "parquet", {"id": [1]})
    first = dataset(tmp_path)
    load(tmp_path, "jsonl", {"id": [2], "new": ["x"]})
    second = dataset(tmp_path)
    load(tmp_path, "parquet", {"id": [3]}, mode="overwrite")
    assert first.to_arrow("orders").to_pydict() == {"id": [1]}
    assert second.to_arrow("orders").to_pydict() == {"id": [1, 2], "new": [None, "x"]}
    assert dataset(tmp_path).to_arrow("orders").to_pydict() == {"id": [3]}


def test_streams_are_found_by_name_table_and_identity(tmp_path: Path) -> None:
    for number, stream in enumerate((ORDERS, EU_ORDERS, USERS)):
        load(tmp_path, "parquet", {"id": [number]}, stream)
    data = dataset(tmp_path)
    assert (data.streams, data.tables) == ([ORDERS, EU_ORDERS, USERS], ["orders", "eu__orders", "Users_of_2026"])
    found = {
        name: data.to_arrow(name)["id"].to_pylist() for name in ("orders", "eu.orders", "eu__orders", "Users of 2026", EU_ORDERS)
    }
    assert list(found.values()) == [[0], [1], [1], [2], [1]]
    with pytest.raises(KeyError, match=r"there are: orders, eu\.orders"):
        data["nobody"]


def test_files_without_a_record_do_not_exist(tmp_path: Path) -> None:
    load(tmp_path, "parquet", {"id": [1]})
    (tmp_path / "orders" / "foreign.parquet").write_bytes(Path(dataset(tmp_path).files("orders")[0]).read_bytes())
    assert dataset(tmp_path).to_arrow("orders").num_rows == 1


def test_a_file_that_lost_rows_is_an_error(tmp_path: Path) -> None:
    load(tmp_path, "parquet", {"id": [1]})
    load(tmp_path, "parquet", {"id": [2, 3]})
    one, two = dataset(tmp_path).files("orders")
    Path(two).write_bytes(Path(one).read_bytes())
    with pytest.raises(TargetError, match="not as many rows as were committed"):
        dataset(tmp_path).to_arrow("orders")


def test_a_place_without_a_dataset_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no dataset at"):
        dataset(tmp_path)


def test_quarantine_and_state(tmp_path: Path) -> None:
    writer = ParquetWriter()
    assert writer.initialize({"path": tmp_path}, WriteCatalog(JobKey("acme", "shop"), "run")) is None
    data = pa.record_batch({"line": [7], "column": ["id"], "reason": ["not an integer"], "record": [b'{"id":1.5}']})
    writer.write_rejects(Rejects(ORDERS, data, 1))
    writer.commit(b'{"at": 1.10}')
    writer.close()
    found = dataset(tmp_path)
    assert found.quarantine("orders").to_arrow(data.schema.names).to_pylist() == data.to_pylist()
    assert (found.tables, found.state("acme/shop"), found.state(JobKey("acme", "other"))) == ([], b'{"at": 1.10}', None)
    with pytest.raises(KeyError):
        found["orders"]


SCAN = """
import resource, sys
import pyarrow as pa
from dativo_protocols import Batch, StreamId
from dativo_sdk import JobKey, WriteCatalog
from dativo._dataset import dataset
from dativo.targets.parquet import ParquetWriter

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

rows = dataset(sys.argv[1])["orders"]
for batch in rows.scan(): break
before = peak()
print(sum(batch.num_rows for batch in rows.scan()), peak() - before)
"""


def test_a_scan_needs_little_memory_however_large_the_table(tmp_path: Path) -> None:
    writer = ParquetWriter()
    writer.initialize({"path": tmp_path}, WriteCatalog(JobKey("acme", "shop"), "run"))
    data = pa.record_batch({"id": pa.array(range(20_000)), "text": [f"{number:0100}" for number in range(20_000)]})
    for _ in range(200):
        writer.write_batch(Batch(ORDERS, data, data.num_rows, data.nbytes))
    writer.commit(b"1", final=True)
    writer.close()
    done = subprocess.run([sys.executable, "-c", SCAN, str(tmp_path)], capture_output=True, text=True, check=True)
    rows, growth = map(int, done.stdout.split())
    assert rows == 4_000_000
    assert growth < 100
