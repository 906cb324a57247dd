"""What the Iceberg target promises beyond the conformance kit."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars
import pyarrow as pa
import pytest
from dativo_protocols.errors import ConfigError, ContractError, TargetError
from dativo_sdk import ConfiguredStream, JobKey, WriteCatalog
from dativo_sdk.conformance import ORDERS, batch
from pyiceberg.catalog import load_catalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Table

from dativo.targets.iceberg import IcebergWriter
from dativo.targets.iceberg._partitions import PartitionRule

ONE, TWO = JobKey("acme", "one"), JobKey("acme", "two")
UTC = dt.UTC


@contextmanager
def opened(path: Path, job: JobKey = ONE, mode: str = "append", **config: Any) -> Iterator[IcebergWriter]:
    writer = IcebergWriter()
    try:
        stream = ConfiguredStream(ORDERS, mode, ("id",))  # type: ignore[arg-type]
        writer.initialize({"path": str(path), **config}, WriteCatalog(job, "run1", {ORDERS: stream}))
        yield writer
    finally:
        writer.close()


def load(path: Path, values: dict[str, Any], mode: str = "append", job: JobKey = ONE, **config: Any) -> None:
    with opened(path, job, mode, **config) as writer:
        writer.write_batch(batch(values))
        writer.commit(b"{}", final=True)


@contextmanager
def catalog(path: Path) -> Iterator[Any]:
    found = load_catalog("dativo", type="sql", uri=f"sqlite:///{path}/catalog.db", warehouse=f"file://{path}")
    try:
        yield found
    finally:
        found.close()


def table(path: Path, name: str = "orders") -> Table:
    with catalog(path) as found:
        loaded: Table = found.load_table(f"default.{name}")
        return loaded


def rows(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = table(path).scan().to_arrow().sort_by("id").to_pylist()
    return found


def files(path: Path) -> set[str]:
    return {task.file.file_path for task in table(path).scan().plan_files()}


def unnamed(path: Path) -> set[str]:
    """Data files that no snapshot names."""
    named = {entry["file_path"].removeprefix("file://") for entry in table(path).inspect.all_files().to_pylist()}
    return {str(file) for file in (path / "default/orders/data").iterdir()} - named


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"path": "x", "pathh": 1}, "unknown key `pathh`"),
        ({}, "needs `path`"),
        ({"path": "s3://bucket/x"}, "the embedded catalog needs a directory"),
        ({"path": "x", "namespace": "a.b"}, "namespaces in namespaces"),
        ({"path": "x", "partition_by": ["week(at)"]}, "`week\\(at\\)` in `partition_by` is no partition"),
        ({"path": "x", "partition_by": ["bucket(0, id)"]}, "is no partition"),
        ({"path": "x", "storage_options": {"region": "x"}}, "are for object stores"),
    ],
)
def test_a_wrong_configuration_says_what_is_wrong(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        IcebergWriter().initialize(config, WriteCatalog(ONE, "run1"))


def test_looking_at_a_place_that_cannot_be_says_what_is_wrong() -> None:
    with pytest.raises(ConfigError, match="needs `path`"):
        IcebergWriter().inspect({}, ONE, [])


def test_a_missing_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyiceberg", None)
    with pytest.raises(ConfigError) as caught:
        IcebergWriter().initialize({"path": str(tmp_path)}, WriteCatalog(ONE, "run1"))
    assert caught.value.hint == "pip install 'dativo[iceberg]'"


@pytest.mark.parametrize("text", ["at", "day(at)", "bucket(16, id)", "truncate(4, a b)", "identity(x)", "日本", "f(x"])
def test_partition_rules_are_read_and_written_alike(text: str) -> None:
    rule = PartitionRule.parse(text)
    assert PartitionRule.parse(str(rule)) == rule


def test_types_that_iceberg_lacks_hold_every_value_and_come_back(tmp_path: Path) -> None:
    columns = {
        "id": pa.array([1, 2], pa.int8()),
        "big": pa.array([2**64 - 1, None], pa.uint64()),
        "word": pa.array([2**32 - 1, 0], pa.uint32()),
        "half": pa.array([0.5, None], pa.float32()),
        "money": pa.array([Decimal("-0.01"), None], pa.decimal256(20, 2)),
    }
    load(tmp_path, columns)
    load(tmp_path, {"id": pa.array([3], pa.int8()), "big": pa.array([7], pa.uint64())})
    with opened(tmp_path) as writer:
        schema = writer.get_schema(ORDERS)
    assert schema is not None
    assert [str(kind) for kind in schema.types] == ["int8", "uint64", "uint32", "float", "decimal128(20, 2)"]
    assert [str(field.field_type) for field in table(tmp_path).schema().fields] == [
        "int", "decimal(20, 0)", "long", "float", "decimal(20, 2)",
    ]  # fmt: skip
    assert [row["big"] for row in rows(tmp_path)] == [Decimal(2**64 - 1), None, Decimal(7)]


@pytest.mark.parametrize("kind", [pa.decimal256(50, 2), pa.struct([("a.b", pa.int64())]), pa.duration("s")])
def test_types_that_cannot_be_held_are_refused_before_anything_is_written(kind: pa.DataType, tmp_path: Path) -> None:
    with opened(tmp_path) as writer, pytest.raises(ContractError) as caught:
        writer.write_batch(batch({"id": [1], "v": pa.nulls(1, kind)}))
    assert caught.value.facts["column"] == "v"


def test_partitions_by_every_transform(tmp_path: Path) -> None:
    rules = ["country", "day(at)", "bucket(4, id)", "truncate(2, name)", "month(day)", "hour(local)", "year(old)", "clock", "raw"]
    halves = range(20), range(10, 30)
    for ids, tag in zip(halves, ("a", "b"), strict=True):
        values = {
            "id": list(ids),
            "country": [("de", None, "日本")[number % 3] for number in ids],
            "at": pa.array([dt.datetime(2026, 1, 1 + number % 2, 5, tzinfo=UTC) for number in ids], pa.timestamp("us", "UTC")),
            "name": [f"né{number % 4}" for number in ids],
            "day": [dt.date(2026, 1 + number % 2, 1) for number in ids],
            "local": pa.array([dt.datetime(1960, 1, 1, 23)] * len(ids), pa.timestamp("us")),
            "old": [dt.date(1969, 12, 31)] * len(ids),
            "clock": pa.array([dt.time(1)] * len(ids), pa.time64("us")),
            "raw": [b"\x00" if number % 2 else b"" for number in ids],
            "tag": [tag] * len(ids),
        }
        load(tmp_path, values, "merge", partition_by={"orders": rules})
    assert [(row["id"], row["tag"]) for row in rows(tmp_path)] == [(number, "b" if number > 9 else "a") for number in range(30)]
    loaded = table(tmp_path)
    assert [str(field.transform) for field in loaded.spec().fields] == [
        "identity", "day", "bucket[4]", "truncate[2]", "month", "hour", "year", "identity", "identity",
    ]  # fmt: skip
    for filtered, expected in (("country == '日本'", 10), ("country is null", 10), ("id == 7", 1), ("day < '2026-02-01'", 15)):
        scan = loaded.scan(row_filter=filtered)
        assert scan.to_arrow().num_rows == expected, filtered
        assert len(list(scan.plan_files())) < len(files(tmp_path)), filtered


def test_a_partition_that_the_column_does_not_allow_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot partition by `day\\(id\\)`"):
        load(tmp_path, {"id": [1], "v": [1]}, partition_by=["day(id)"])
    with pytest.raises(ConfigError, match="cannot partition by `day\\(id\\)`"):
        load(tmp_path, {"id": pa.array([], pa.int64()), "v": pa.array([], pa.int64())}, partition_by=["day(id)"])
    load(tmp_path, {"id": [1], "v": [1]}, partition_by=["bucket(2, id)"])
    assert [str(field.transform) for field in table(tmp_path).spec().fields] == ["bucket[2]"]
    with pytest.raises(ConfigError, match="no column `nope`"):
        load(tmp_path, {"id": [1], "v": [1]}, "overwrite", partition_by={"orders": ["nope"]})


def test_columns_keep_their_field_ids_and_files_where_iceberg_promotes_types(tmp_path: Path) -> None:
    struct = pa.struct([("a", pa.int32())])
    before = {
        "id": pa.array([1], pa.int32()),
        "x": pa.array([0.5], pa.float32()),
        "d": pa.array([Decimal("0.1")], pa.decimal128(5, 1)),
        "s": pa.array([{"a": 1}], struct),
    }
    load(tmp_path, before)
    ids = {field.name: field.field_id for field in table(tmp_path).schema().fields}
    kept = files(tmp_path)
    after = {
        "id": pa.array([2**40], pa.int64()),
        "x": pa.array([0.1], pa.float64()),
        "d": pa.array([Decimal("123456.1")], pa.decimal128(20, 1)),
        "s": pa.array([{"a": 2**40, "b": "new"}], pa.struct([("a", pa.int64()), ("b", pa.utf8())])),
        "new": ["y"],
    }
    load(tmp_path, after)
    schema = table(tmp_path).schema()
    assert {field.name: field.field_id for field in schema.fields if field.name in ids} == ids
    assert kept < files(tmp_path)
    assert rows(tmp_path) == [
        {"id": 1, "x": 0.5, "d": Decimal("0.1"), "s": {"a": 1, "b": None}, "new": None},
        {"id": 2**40, "x": 0.1, "d": Decimal("123456.1"), "s": {"a": 2**40, "b": "new"}, "new": "y"},
    ]
    load(tmp_path, {"id": [1], "s": pa.array([{"a": 3, "b": "z"}], after["s"].type)}, "merge")
    assert [(row["id"], row["s"]) for row in rows(tmp_path)] == [(1, {"a": 3, "b": "z"}), (2**40, {"a": 2**40, "b": "new"})]


def test_a_type_that_iceberg_does_not_promote_is_a_new_column_and_history_stays_readable(tmp_path: Path) -> None:
    load(tmp_path, {"id": [1], "v": [7], "w": ["w"]})
    first = table(tmp_path).current_snapshot()
    assert first is not None
    load(tmp_path, {"id": [2], "v": ["x"], "w": ["w"]})
    loaded = table(tmp_path)
    assert [(row["id"], row["v"]) for row in rows(tmp_path)] == [(1, "7"), (2, "x")]
    assert [field.name for field in loaded.schema().fields] == ["id", "v", "w"]
    assert loaded.scan(snapshot_id=first.snapshot_id).to_arrow().to_pylist() == [{"id": 1, "v": 7, "w": "w"}]


def test_a_column_that_partitions_a_table_as_it_is_cannot_change_its_type(tmp_path: Path) -> None:
    load(tmp_path, {"id": [1], "day": [7]}, partition_by=["day"])
    for days in (pa.array(["x"]), pa.array([], pa.utf8())):
        with pytest.raises(TargetError, match="cannot fit the columns of `default"):
            load(tmp_path, {"id": pa.array([2] * len(days), pa.int64()), "day": days})
    load(tmp_path, {"id": [2], "day": [8]})
    assert [row["day"] for row in rows(tmp_path)] == [7, 8]


def test_a_replaced_table_may_lose_the_columns_it_was_partitioned_by(tmp_path: Path) -> None:
    load(tmp_path, {"id": [1, 2], "day": ["a", "b"], "v": [1, 2]}, partition_by=["bucket(2, id)", "truncate(1, day)"])
    load(tmp_path, {"id": ["x"], "v": [0.5]}, "overwrite", partition_by=["v"])
    load(tmp_path, {"id": ["y"], "v": [1.5], "new": [True]}, partition_by=["v"])
    assert rows(tmp_path) == [{"id": "x", "v": 0.5, "new": None}, {"id": "y", "v": 1.5, "new": True}]
    assert [field.name for field in table(tmp_path).spec().fields] == ["v"]


def test_an_overwrite_is_one_snapshot_and_no_file_is_written_twice(tmp_path: Path) -> None:
    load(tmp_path, {"id": [1], "old": ["x"]})
    load(tmp_path, {"id": [2], "new": pa.array([{"a": 1}])}, "overwrite")
    loaded = table(tmp_path)
    assert [snapshot.summary.operation.value for snapshot in loaded.snapshots()] == ["append", "overwrite"]  # type: ignore[union-attr]
    assert len(list((tmp_path / "default/orders/data").iterdir())) == 2


def test_a_snapshot_says_which_commit_of_which_run_it_is(tmp_path: Path) -> None:
    with opened(tmp_path) as writer:
        writer.write_batch(batch({"id": [1]}))
        writer.commit(b'{"at":1}')
        writer.write_batch(batch({"id": [2]}))
        writer.commit(b"x" * 5000, final=True)
    first, second = (snapshot.summary for snapshot in table(tmp_path).snapshots())
    assert first is not None
    assert second is not None
    assert {name: first[f"dativo.{name}"] for name in ("job", "run_id", "stream", "mode", "state")} == {
        "job": "acme/one", "run_id": "run1", "stream": "orders", "mode": "append", "state": '{"at":1}',
    }  # fmt: skip
    assert (second["dativo.state"], second["dativo.state-bytes"]) == (None, "5000")


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_two_jobs_that_write_to_one_table_lose_and_double_nothing(mode: str, tmp_path: Path) -> None:
    load(tmp_path, {"id": [0], "v": ["0"]}, mode)
    with opened(tmp_path, ONE, mode) as one, opened(tmp_path, TWO, mode) as two:
        one.write_batch(batch({"id": [1, 2], "v": ["1", "1"], "ones": ["a", "a"], "nested": pa.array([{"x": 1}, None])}))
        two.write_batch(batch({"id": [3], "v": ["2"], "twos": [0.5]}))
        two.commit(b"2", final=True)
        one.commit(b"1", final=True)
    load(tmp_path, {"id": [0], "v": ["x"]}, "merge", TWO)
    found = [(row["id"], row["v"], row["ones"], row["twos"], row["nested"]) for row in rows(tmp_path)]
    assert found == [
        (0, "x", None, None, None),
        (1, "1", "a", None, {"x": 1}),
        (2, "1", "a", None, None),
        (3, "2", None, 0.5, None),
    ]
    assert unnamed(tmp_path) == set()


def test_a_commit_that_another_writer_overtakes_at_the_last_moment_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(tmp_path, {"id": [1], "v": ["a"]}, "merge")
    from pyiceberg.catalog.sql import SqlCatalog

    committed = SqlCatalog.commit_table
    overtaken: list[bool] = []

    def late(self: SqlCatalog, native: Table, *args: Any) -> Any:
        if not overtaken:
            overtaken.append(True)
            load(tmp_path, {"id": [2], "v": ["b"], "extra": [1]}, "merge", TWO)
        return committed(self, native, *args)

    monkeypatch.setattr(SqlCatalog, "commit_table", late)
    load(tmp_path, {"id": [1, 3], "v": ["c", "d"], "more": [2, 2]}, "merge")
    assert rows(tmp_path) == [
        {"id": 1, "v": "c", "extra": None, "more": 2},
        {"id": 2, "v": "b", "extra": 1, "more": None},
        {"id": 3, "v": "d", "extra": None, "more": 2},
    ]
    assert unnamed(tmp_path) == set()


def test_a_table_that_somebody_else_made_is_merged_into(tmp_path: Path) -> None:
    with catalog(tmp_path) as found:
        found.create_namespace("default")
        data = pa.table({"id": pa.array([1, 2], pa.int32()), "v": ["a", "b"], "list": pa.array([[{"x": 1}], None])})
        found.create_table("default.orders", data.schema, location=f"file://{tmp_path}/elsewhere").append(data)
    load(tmp_path, {"id": [2, 3], "v": ["c", "d"]}, "merge")
    assert [(row["id"], row["v"]) for row in rows(tmp_path)] == [(1, "a"), (2, "c"), (3, "d")]


def test_a_column_of_a_type_that_is_not_written_is_told(tmp_path: Path) -> None:
    with catalog(tmp_path) as found:
        found.create_namespace("default")
        found.create_table("default.orders", pa.schema([("id", pa.int64()), ("key", pa.uuid())]))
    with pytest.raises(TargetError, match="column `key` of the type `uuid`"):
        load(tmp_path, {"id": [1]})


def test_a_required_column_gets_no_null(tmp_path: Path) -> None:
    with catalog(tmp_path) as found:
        found.create_namespace("default")
        found.create_table("default.orders", pa.schema([pa.field("id", pa.int64(), nullable=False), ("v", pa.utf8())]))
    load(tmp_path, {"id": [1], "v": ["a"]})
    with pytest.raises(ContractError, match="`id` must have a value in every row"):
        load(tmp_path, {"id": pa.array([None], pa.int64()), "v": ["b"]})
    load(tmp_path, {"id": [2], "v": ["b"]}, "merge")
    assert [row["id"] for row in rows(tmp_path)] == [1, 2]


def test_pyiceberg_polars_and_duckdb_read_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLARS_ICEBERG_PLANNER", "pyiceberg")
    load(
        tmp_path, {"id": [1, 2], "name": ["a", None], "at": pa.array([0, 1], pa.timestamp("us", "UTC"))}, partition_by=["day(at)"]
    )
    load(tmp_path, {"id": [2, 3], "name": ["b", "c"], "more": [[1], []]}, "merge")
    loaded = table(tmp_path)
    arrow = loaded.scan().to_arrow().sort_by("id")
    assert polars.scan_iceberg(loaded).collect().sort("id").to_dicts() == arrow.to_pylist()
    assert duckdb.sql("SELECT id, name, more FROM arrow ORDER BY id").fetchall() == [
        (1, "a", None), (2, "b", [1]), (3, "c", []),
    ]  # fmt: skip


def test_looking_at_a_place_leaves_nothing_there(tmp_path: Path) -> None:
    found = IcebergWriter().inspect({"path": str(tmp_path / "none")}, ONE, [ORDERS])
    assert (found.state, found.tables[ORDERS].table, found.tables[ORDERS].data) == (None, "orders", None)
    assert not (tmp_path / "none").exists()


def test_a_table_that_was_changed_under_the_writer_is_a_conflict_not_a_retry(tmp_path: Path) -> None:
    load(tmp_path, {"id": [1]})
    from dativo.targets.iceberg._catalog import IcebergCatalog

    ours = IcebergCatalog(str(tmp_path), "default", {})
    stale = ours.table("orders")
    assert stale is not None
    load(tmp_path, {"id": [2]})
    with pytest.raises(CommitFailedException):
        stale.append(pa.table({"id": [3]}))
    ours.close()
    assert table(tmp_path).properties.get("commit.retry.num-retries") is None
