"""Parquet files: what pyarrow has written comes back, and no more of it is read than is asked for."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dativo_protocols import ConfigError, ConnectorError, ContractError

from .files import Files, position

UTC = dt.UTC


@pytest.fixture
def files(way: Mapping[str, type[Any]], tmp_path: Path) -> Files:
    return Files(way["parquet"], tmp_path)


def of_all_types(rows: int) -> pa.Table:
    rng = random.Random(1)
    numbers = [None if rng.random() < 0.1 else rng.randrange(-100, 100) for _ in range(rows)]
    moment = dt.datetime(2024, 2, 29, 12, 34, 56, 789_012, UTC)

    def column(kind: pa.DataType, value: Any) -> pa.Array:
        return pa.array([None if number is None else value(number) for number in numbers], kind)

    return pa.table(
        {
            "bool": column(pa.bool_(), lambda n: n > 0),
            **{f"int{bits}": column(getattr(pa, f"int{bits}")(), int) for bits in (8, 16, 32, 64)},
            **{f"uint{bits}": column(getattr(pa, f"uint{bits}")(), abs) for bits in (8, 16, 32, 64)},
            "float": column(pa.float32(), lambda n: n / 4),
            "double": column(pa.float64(), lambda n: n / 3),
            "decimal": column(pa.decimal128(20, 3), lambda n: Decimal(n).scaleb(-3)),
            "text": column(pa.string(), lambda n: "ö" * abs(n)),
            "large": column(pa.large_string(), str),
            "bytes": column(pa.binary(), lambda n: bytes([n % 256])),
            "words": column(pa.string(), lambda n: f"w{n % 3}").dictionary_encode(),
            "day": column(pa.date32(), lambda n: dt.date(2024, 1, 1) + dt.timedelta(n)),
            "time": column(pa.time64("us"), lambda n: dt.time(n % 24, 1, 2, 3)),
            "moment": column(pa.timestamp("us", "UTC"), lambda n: moment + dt.timedelta(hours=n)),
            "local": column(pa.timestamp("ms"), lambda n: dt.datetime(2024, 1, 1) + dt.timedelta(n)),
            "list": column(pa.list_(pa.int64()), lambda n: [n, None] * (n % 3)),
            "struct": column(pa.struct({"a": pa.int64(), "b": pa.string()}), lambda n: {"a": n, "b": None}),
        }
    )


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd", "lz4"])
@pytest.mark.parametrize("version", ["1.0", "2.6"])
def test_values_and_types_are_those_that_were_written(files: Files, compression: str, version: str) -> None:
    table = of_all_types(3000)
    path = files.folder / "data.parquet"
    pq.write_table(table, path, compression=compression, version=version, row_group_size=700, data_page_version="2.0")
    expected = pq.read_table(path)

    found = files.read(str(path)).table

    assert found.to_pylist() == expected.to_pylist()
    assert found.drop_columns(["words"]).schema.equals(expected.drop_columns(["words"]).schema)


def test_only_wanted_columns_are_read(files: Files) -> None:
    path = files.folder / "data.parquet"
    pq.write_table(pa.table({"id": [1, 2], "a": ["x", "y"], "in": [{"b": 1, "c": 2}] * 2}), path)

    assert files.read(str(path), fields=["in"]).rows == [{"in": {"b": 1, "c": 2}}] * 2
    assert files.read(str(path), fields=["a"], primary_key=["id"]).table.schema.names == ["id", "a"]


def test_many_files_are_one_stream(files: Files) -> None:
    pq.write_table(pa.table({"id": [1], "a": ["x"]}), files.folder / "1.parquet")
    pq.write_table(pa.table({"b": [True], "id": [2]}), files.folder / "2.parquet")

    found = files.read(str(files.folder / "*.parquet"), stream="data")
    assert found.rows == [{"id": 1, "a": "x", "b": None}, {"id": 2, "a": None, "b": True}]

    pq.write_table(pa.table({"id": ["3"]}), files.folder / "3.parquet")
    with pytest.raises((ContractError, ConnectorError), match=r"column `id` of .*3\.parquet"):
        files.read(str(files.folder / "*.parquet"), stream="data")


def test_row_groups_without_new_values_are_not_read(files: Files) -> None:
    """They are broken: who reads them fails."""
    path = files.folder / "data.parquet"
    table = pa.table({"id": list(range(1000)), "at": [number // 10 for number in range(1000)]})
    pq.write_table(table, path, row_group_size=100, compression="none", use_dictionary=False)
    first = files.read(str(path), incremental=True, cursor="at")
    assert [row["id"] for row in first.rows] == list(range(1000))
    assert position(first.saved) == {"cursor": "at", "value": "99"}

    pq.write_table(
        pa.table({"id": list(range(1200)), "at": [number // 10 for number in range(1200)]}),
        path,
        row_group_size=100,
        compression="none",
        use_dictionary=False,
    )
    metadata = pq.read_metadata(path)
    data = bytearray(path.read_bytes())
    for group in range(9):
        for column in range(2):
            start = metadata.row_group(group).column(column).data_page_offset
            data[start : start + 20] = bytes(20)
    path.write_bytes(data)

    second = files.read(str(path), incremental=True, cursor="at", state=first.saved)
    assert [row["id"] for row in second.rows] == list(range(1000, 1200))
    with pytest.raises(ConnectorError, match=r"data\.parquet"):
        files.read(str(path))


@pytest.mark.parametrize(
    "values",
    [
        pa.array([3, 1, None, 2, 3], pa.int32()),
        pa.array(["b", "a", None, "ö", "c"]),
        pa.array([dt.datetime(2024, 1, n, 0, 0, 0, n, UTC) for n in (3, 1, 2, 5, 4)], pa.timestamp("us", "UTC")),
        pa.array([dt.datetime(2024, 1, n) for n in (3, 1, 2, 5, 4)], pa.timestamp("ns")),
        pa.array([dt.date(2024, 1, n) for n in (3, 1, 2, 5, 4)]),
        pa.array([Decimal("1.10"), Decimal("-3.00"), None, Decimal("1.20"), Decimal("1.00")], pa.decimal128(10, 2)),
        pa.array([0.1, 0.30000000000000004, None, 0.3, -0.0]),
        pa.array([2**63, 1, None, 2**64 - 1, 7], pa.uint64()),
    ],
    ids=lambda values: str(values.type),
)
def test_a_cursor_of_any_type_ends_where_its_greatest_value_is(files: Files, values: pa.Array) -> None:
    path = files.folder / "data.parquet"
    table = pa.table({"n": [0, 1, 2, 3, 4], "at": values})
    pq.write_table(table, path, row_group_size=2)

    first = files.read(str(path), incremental=True, cursor="at")
    again = files.read(str(path), incremental=True, cursor="at", state=first.saved)

    assert [row["n"] for row in first.rows] == [0, 1, 2, 3, 4]
    assert [row["at"] for row in again.rows if row["at"] is not None] == []


def test_a_cursor_that_is_no_column(files: Files) -> None:
    path = files.folder / "data.parquet"
    pq.write_table(pa.table({"id": [1]}), path)

    with pytest.raises(ConfigError, match="no column `at`"):
        files.read(str(path), incremental=True, cursor="at")


def test_a_reading_goes_on_behind_a_row_group(files: Files) -> None:
    path = files.folder / "data.parquet"
    pq.write_table(pa.table({"id": list(range(1000))}), path, row_group_size=100)

    first = files.read(str(path), incremental=True, stop_after=3)
    rest = files.read(str(path), incremental=True, state=first.saved)

    assert [row["id"] for row in [*first.rows, *rest.rows]] == list(range(1000))
    assert files.read(str(path), incremental=True, state=rest.saved).rows == []


def test_parts_are_row_groups_in_order(files: Files) -> None:
    for number in range(3):
        ids = list(range(number * 500, number * 500 + 500))
        pq.write_table(pa.table({"id": ids}), files.folder / f"{number}.parquet", row_group_size=100)
    pattern = str(files.folder / "*.parquet")

    parts = files.parts(pattern, 2, 1 << 20, stream="data")

    assert len(parts) > 1
    read = [files.read(pattern, partition=part.token, stream="data").rows for part in parts]
    assert [row["id"] for rows in read for row in rows] == list(range(1500))


@pytest.mark.parametrize("max_rows", [1, 7, 1000])
def test_batches_are_no_larger_than_asked_for(files: Files, max_rows: int) -> None:
    path = files.folder / "data.parquet"
    pq.write_table(pa.table({"id": list(range(2000))}), path, row_group_size=300)

    found = files.read(str(path), max_rows=max_rows)

    assert max(batch.num_rows for batch in found.batches) <= max_rows
    assert [row["id"] for row in found.rows] == list(range(2000))


def test_a_file_that_is_none_is_an_error_that_names_it(files: Files) -> None:
    path = files.write("data.parquet", b"PAR1 not really PAR1")

    with pytest.raises(ConnectorError, match=r"data\.parquet"):
        files.stream(path)


def test_no_rows_and_no_columns(files: Files) -> None:
    path = files.folder / "data.parquet"
    pq.write_table(pa.table({"id": pa.array([], pa.int64())}), path)

    assert files.stream(str(path)).id.name == "data"
    assert files.read(str(path)).rows == []
