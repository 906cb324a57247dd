from __future__ import annotations

import datetime as dt
import errno
import json
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars
import pyarrow as pa
import pytest
from dativo_protocols import Batch, Rejects, StreamId
from dativo_protocols.errors import ConfigError, ContractError, TargetError
from dativo_sdk import ConfiguredStream, JobKey, Receipt, WriteCatalog, WriteMode

from dativo.targets.delta import DeltaWriter
from dativo.targets.lakehouse._writer import LakehouseWriter

deltalake = pytest.importorskip("deltalake", reason="the package `deltalake` is not installed")

ORDERS, ITEMS = StreamId("orders"), StreamId("items")
JOB = JobKey("acme", "shop")


class Crash(Exception):
    pass


class Lake:
    """A directory, and what others find in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state: bytes | None = None

    @contextmanager
    def run(self, *streams: ConfiguredStream, job: JobKey = JOB, **config: Any) -> Iterator[DeltaWriter]:
        writer = DeltaWriter()
        catalog = WriteCatalog(job, "run", {stream.id: stream for stream in streams})
        self.state = writer.initialize({"path": str(self.path), **config}, catalog)
        try:
            yield writer
        finally:
            writer.close()

    def load(self, rows: pa.Table | list[dict[str, Any]], mode: WriteMode = "append", key: str = "", **config: Any) -> Receipt:
        stream = ConfiguredStream(ORDERS, mode, (key,) if key else ())
        with self.run(stream, **config) as writer:
            writer.write_batch(batch(rows))
            return writer.commit(b"1", final=True)

    def table(self, name: str = "orders") -> Any:
        return deltalake.DeltaTable(self.path / name)

    def rows(self, name: str = "orders") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = pa.table(self.table(name).to_pyarrow_table()).to_pylist()
        return sorted(found, key=lambda row: str(row["id"]))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def batch(rows: pa.Table | list[dict[str, Any]], stream: StreamId = ORDERS) -> Batch:
    data = pa.RecordBatch.from_pylist(rows) if isinstance(rows, list) else rows.to_batches()[0]
    return Batch(stream, data, data.num_rows, data.nbytes)


def test_others_read_what_is_written(lake: Lake) -> None:
    lake.load([{"id": 1, "text": "é", "at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)}])
    lake.load([{"id": 2, "new": Decimal("1.50"), "text": None}, {"id": 1, "text": "x"}], "merge", "id")
    frame = polars.read_delta(str(lake.path / "orders")).sort("id")
    assert frame.select("id", "text", "new").rows() == [(1, "x", None), (2, None, Decimal("1.50"))]
    data = lake.table().to_pyarrow_dataset()
    with duckdb.connect() as connection:
        connection.register("orders", data)
        assert (
            connection.sql("SELECT id, text, new FROM orders ORDER BY id").fetchall() == frame.select("id", "text", "new").rows()
        )


def test_deltalake_can_go_on_with_a_table_and_we_after_it(lake: Lake) -> None:
    lake.load([{"id": 1}])
    deltalake.write_deltalake(lake.path / "orders", pa.table({"id": [2], "theirs": ["x"]}), mode="append", schema_mode="merge")
    lake.table().optimize.compact()
    lake.load([{"id": 2, "ours": 1}, {"id": 3, "ours": 2}], "merge", "id")
    assert lake.rows() == [
        {"id": 1, "theirs": None, "ours": None},
        {"id": 2, "theirs": None, "ours": 1},
        {"id": 3, "theirs": None, "ours": 2},
    ]


TYPES = [
    ("u8", pa.uint8(), [255, None]),
    ("u64", pa.uint64(), [2**64 - 1, None]),
    ("i16", pa.int16(), [-(2**15), None]),
    ("f32", pa.float32(), [0.5, None]),
    ("clock", pa.time64("us"), [dt.time(1, 2, 3, 4), None]),
    ("clocks", pa.list_(pa.time64("us")), [[dt.time(1), None], None]),
    ("inner", pa.struct([("clock", pa.time64("us")), ("u", pa.uint32())]), [{"clock": dt.time(23), "u": 2**32 - 1}, None]),
    ("map", pa.map_(pa.utf8(), pa.int64()), [[("a", 1)], None]),
]


def test_types_that_delta_lacks_come_back_as_they_were(lake: Lake) -> None:
    """A merge rewrites the file, and the rows of the first load go through the stored types twice."""
    columns = [pa.array([1, 2]), *(pa.array(values, kind) for _, kind, values in TYPES)]
    rows = pa.table(columns, names=["id", *(name for name, _, _ in TYPES)])
    lake.load(rows, "merge", "id")
    lake.load(rows.slice(1), "merge", "id")
    with lake.run(ConfiguredStream(ORDERS)) as writer:
        schema = writer.get_schema(ORDERS)
    assert schema is not None
    assert [(field.name, field.type) for field in schema][1:] == [(name, kind) for name, kind, _ in TYPES]
    found = lake.rows()
    assert [found[0][name] for name in ("u8", "u64", "clock", "clocks")] == [
        255,
        2**64 - 1,
        "01:02:03.000004",
        ["01:00:00.000000", None],
    ]
    assert found[0]["inner"] == {"clock": "23:00:00.000000", "u": 2**32 - 1}


@pytest.mark.parametrize("kind", [pa.decimal256(60, 2), pa.struct([("a", pa.int64()), ("A", pa.int64())])])
def test_a_type_without_a_place_is_refused(kind: pa.DataType, lake: Lake) -> None:
    with (
        lake.run(ConfiguredStream(ORDERS)) as writer,
        pytest.raises(ContractError, match="has no place in a `delta` table") as caught,
    ):
        writer.write_batch(batch(pa.table({"id": [1], "bad": pa.nulls(1, kind)})))
    assert caught.value.facts["column"] == "bad"


def test_partitions(lake: Lake) -> None:
    days = [dt.date(2026, 1, 1), dt.date(2026, 1, 2), None]
    rows = [{"id": number, "day": days[number % 3], "kind": "a b/ü"} for number in range(6)]
    lake.load(rows, partition_by=["day", "kind"])
    lake.load(
        [{"id": 1, "day": days[2], "kind": None}, {"id": 9, "day": days[0], "kind": "x"}],
        "merge",
        "id",
        partition_by=["day", "kind"],
    )
    assert lake.table().metadata().partition_columns == ["day", "kind"]
    assert [(row["id"], row["day"], row["kind"]) for row in lake.rows()] == [
        (0, days[0], "a b/ü"),
        (1, None, None),
        (2, None, "a b/ü"),
        (3, days[0], "a b/ü"),
        (4, days[1], "a b/ü"),
        (5, None, "a b/ü"),
        (9, days[0], "x"),
    ]
    assert lake.table().to_pyarrow_table(filters=[("day", "=", days[1])]).column("id").to_pylist() == [4]


def test_overwrite_gives_a_table_other_partitions(lake: Lake) -> None:
    lake.load([{"id": 1, "kind": "a"}], partition_by=["kind"])
    lake.load([{"id": 2, "kind": "b", "day": "x"}], "overwrite", partition_by={"orders": ["day"]})
    assert lake.table().metadata().partition_columns == ["day"]
    assert lake.rows() == [{"id": 2, "kind": "b", "day": "x"}]


@pytest.mark.parametrize(
    ("config", "rows", "error"),
    [
        ({"partition_by": {"orders": ["none"]}}, [{"id": 1}], ConfigError),
        ({"partition_by": ["price"]}, [{"id": 1, "price": 0.5}], ConfigError),
        ({"partition_by": ["kind"]}, [{"id": 1, "kind": ""}], ContractError),
    ],
)
def test_partitions_that_cannot_be(config: dict[str, Any], rows: list[dict[str, Any]], error: type, lake: Lake) -> None:
    with pytest.raises(error):
        lake.load(rows, **config)


@pytest.mark.parametrize(
    "config",
    [
        {"path": ""},
        {"paht": "x"},
        {"path": "x", "storage_options": {"a": "b"}},
        {"path": "s3://b/f", "storage_options": {"x": "y"}},
    ],
)
def test_a_wrong_configuration(config: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        DeltaWriter().initialize(config, WriteCatalog(JOB, "run"))


def test_a_run_that_comes_back_to_life_commits_nothing(lake: Lake) -> None:
    with lake.run(ConfiguredStream(ORDERS)) as old:
        old.write_batch(batch([{"id": 1}]))
        lake.load([{"id": 2}])
        with pytest.raises(TargetError, match="another run of job `acme/shop`") as caught:
            old.commit(b"old")
        assert caught.value.retryable
        with pytest.raises(TargetError, match="another run"):
            old.write_batch(batch([{"id": 3}]))
    assert lake.rows() == [{"id": 2}]
    with lake.run():
        assert lake.state == b"1"
    assert len(list((lake.path / "orders").glob("*.parquet"))) == 1


def crash_before_applying(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """The next writer dies when it has applied its commit to so many tables."""
    whole = LakehouseWriter._apply
    left = [count]

    def apply(self: LakehouseWriter, *args: Any) -> None:
        if not left[0]:
            raise Crash
        left[0] -= 1
        whole(self, *args)

    monkeypatch.setattr(LakehouseWriter, "_apply", apply)


def half_applied(lake: Lake, monkeypatch: pytest.MonkeyPatch, mode: WriteMode, count: int = 1) -> None:
    with monkeypatch.context() as patch:
        crash_before_applying(patch, count)
        streams = [ConfiguredStream(stream, mode, ("id",)) for stream in (ITEMS, ORDERS)]
        with lake.run(*streams) as writer:
            for stream in (ITEMS, ORDERS):
                writer.write_batch(batch([{"id": 1, "v": "new"}, {"id": 2, "v": "new"}], stream))
            with pytest.raises(Crash):
                writer.commit(b"2", final=True)


@pytest.mark.parametrize("mode", ["append", "append_dedup", "overwrite", "merge", "scd2"])
def test_a_commit_that_was_decided_is_brought_to_its_end(mode: WriteMode, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    half_applied(lake, monkeypatch, mode)
    assert not (lake.path / "orders" / "_delta_log").exists()
    for _ in range(2):
        with lake.run():
            assert lake.state == b"2"
        assert [[row["id"] for row in lake.rows(name)] for name in ("items", "orders")] == [[1, 2], [1, 2]]


def test_a_decided_merge_is_worked_out_anew_when_another_job_has_changed_the_table(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.load([{"id": 1, "v": "old"}, {"id": 5, "v": "old"}])
    half_applied(lake, monkeypatch, "merge")
    other = JobKey("acme", "other")
    with lake.run(ConfiguredStream(ORDERS), job=other) as writer:
        writer.write_batch(batch([{"id": 2, "v": 7, "w": 1}, {"id": 6, "v": 8, "w": 2}]))
        writer.commit(b"x", final=True)
    with lake.run():
        pass
    assert [(row["id"], row["v"], row["w"]) for row in lake.rows()] == [
        (1, "new", None),
        (2, "new", None),
        (5, "old", None),
        (6, "8", 2),
    ]


def test_two_jobs_merge_into_one_table_in_turns(lake: Lake) -> None:
    stream = ConfiguredStream(ORDERS, "merge", ("id",))
    with lake.run(stream) as one, lake.run(stream, job=JobKey("acme", "other")) as two:
        for turn in range(4):
            one.write_batch(batch([{"id": 1, "v": turn}, {"id": turn + 10, "v": turn}]))
            two.write_batch(batch([{"id": 1, "v": turn + 0.5}, {"id": turn + 20, "v": turn + 0.5}]))
            one.commit(b"1")
            two.commit(b"1")
    assert [row["v"] for row in lake.rows()] == [3.5, 0, 1, 2, 3, 0.5, 1.5, 2.5, 3.5]


def test_a_column_name_that_another_job_has_just_taken(lake: Lake) -> None:
    with lake.run() as writer:
        writer.write_batch(batch([{"a b": 1}]))
        with lake.run(job=JobKey("acme", "other")) as other:
            other.write_batch(batch([{"a-b": 1}]))
            other.commit(b"1")
        with pytest.raises(TargetError, match="a name that stream `orders` needs") as caught:
            writer.commit(b"1")
        assert caught.value.retryable
    lake.load([{"a b": 2}])
    assert [sorted(row) for row in pa.table(lake.table().to_pyarrow_table()).to_pylist()] == [["a_b", "a_b_c8687a08"]] * 2


def test_a_place_without_unnamed_files(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.open

    def refusing(path: Any, flags: int, *args: Any, **more: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "not here")
        return whole(path, flags, *args, **more)

    monkeypatch.setattr(os, "open", refusing)
    test_a_run_that_comes_back_to_life_commits_nothing(lake)
    assert list(lake.path.rglob(".*")) == []


def test_a_run_before_the_intent_leaves_nothing(lake: Lake) -> None:
    lake.load([{"id": 1}])
    writers = []
    for mode in ("append", "merge", "overwrite"):
        writer = DeltaWriter()
        stream = ConfiguredStream(ORDERS, mode, ("id",))
        writer.initialize({"path": str(lake.path), "file_size_bytes": 1}, WriteCatalog(JOB, "dead", {ORDERS: stream}))
        data = pa.table({"id": range(100_000), "text": [f"{number * 7919}" * 50 for number in range(100_000)]})
        writer.write_batch(batch(data))
        # As if it had died: nobody closes it.
        writers.append(writer)
    assert len(list(lake.path.glob("*/*.parquet"))) + len(list(lake.path.glob("_dativo/staging/*"))) > 1
    with lake.run():
        assert [file.name for file in lake.path.glob("*/*.parquet")] == [lake.table().file_uris()[0].rpartition("/")[2]]
        assert list(lake.path.glob("_dativo/staging/*")) == []


def test_tables_of_two_streams_have_one_commit_each_with_the_run_in_it(lake: Lake) -> None:
    with lake.run() as writer:
        for stream in (ORDERS, ITEMS):
            writer.write_batch(batch([{"id": 1}], stream))
        writer.commit(b"1")
    for name in ("orders", "items"):
        (entry,) = (lake.path / name / "_delta_log").iterdir()
        actions = [json.loads(line) for line in entry.read_text().splitlines()]
        assert [next(iter(action)) for action in actions] == ["commitInfo", "protocol", "metaData", "txn", "add"]
        assert actions[0]["commitInfo"]["dativo"]["run_id"] == "run"


def test_the_log_gets_checkpoints(lake: Lake) -> None:
    with lake.run(checkpoint_every=3) as writer:
        for number in range(5):
            writer.write_batch(batch([{"id": number}]))
            writer.commit(b"1")
    assert [file.name for file in (lake.path / "orders" / "_delta_log").glob("*.checkpoint.parquet")] == [
        "00000000000000000003.checkpoint.parquet"
    ]
    assert len(lake.rows()) == 5


def test_a_table_with_features_that_we_would_break_is_refused(lake: Lake) -> None:
    rows = pa.table({"id": [1]})
    deltalake.write_deltalake(lake.path / "orders", rows, configuration={"delta.enableChangeDataFeed": "true"})
    with pytest.raises(TargetError, match="a change data feed"):
        lake.load([{"id": 2}])


def test_inspecting_touches_nothing(lake: Lake) -> None:
    config = {"path": str(lake.path)}
    found = DeltaWriter().inspect(config, JOB, [ORDERS])
    assert (found.state, found.tables[ORDERS].table, found.tables[ORDERS].data) == (None, "orders", None)
    assert not lake.path.exists()
    lake.load([{"Id 1": 1, "id": 2}])
    before = sorted(lake.path.rglob("*"))
    found = DeltaWriter().inspect(config, JobKey("a", "b"), [])
    info = found.tables[ORDERS]
    assert (found.state, info.rows, dict(info.columns)) == (None, 1, {"Id 1": "Id_1", "id": "id"})
    assert sorted(lake.path.rglob("*")) == before


def test_quarantined_rows_are_replayed_once(lake: Lake) -> None:
    records = pa.record_batch(
        {"line": [1, 2, 2], "column": ["id"] * 3, "reason": ["bad"] * 3, "record": [b"{}", b"\xff", b"\xff"]}
    )
    with lake.run() as writer:
        writer.write_rejects(Rejects(ORDERS, records, 3))
        writer.commit(b"1")
    with lake.run() as writer:
        assert writer.rejected() == {ORDERS: 3}
        (found,) = writer.read_rejects(ORDERS)
        ids = found.column("id").to_pylist()
        assert (len(set(ids)), found.column("record").to_pylist()) == (3, [b"{}", b"\xff", b"\xff"])
        writer.remove_rejects(ORDERS, ids[:2])
        writer.write_batch(batch([{"id": 1}]))
        writer.commit(None)
        (left,) = writer.read_rejects(ORDERS)
        assert (left.column("record").to_pylist(), lake.rows()) == ([b"\xff"], [{"id": 1}])
        writer.remove_rejects(ORDERS, ids[:1])
        with pytest.raises(TargetError, match="1 rows to be taken out"):
            writer.commit(b"2")
    with lake.run() as writer:
        assert (lake.state, writer.count_rows(ORDERS), writer.count_rows(ITEMS)) == (b"1", 1, None)


def test_files_without_a_key_are_not_read_again(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    for start in (0, 100, 200):
        lake.load([{"id": number, "v": 0} for number in range(start, start + 100)])
    before = {file["path"] for file in pa.table(lake.table().get_add_actions()).to_pylist()}
    lake.load([{"id": number, "v": 1} for number in range(195, 305)], "merge", "id")
    after = {file["path"] for file in pa.table(lake.table().get_add_actions()).to_pylist()}
    assert (len(before & after), len(after)) == (1, 3)
    assert sum(row["v"] for row in lake.rows()) == 110


def test_in_a_bucket_an_old_run_is_fenced_as_well(bucket: dict[str, Any]) -> None:
    writers = [DeltaWriter() for _ in range(2)]
    for number, writer in enumerate(writers):
        writer.initialize({**bucket, "partition_by": ["v"]}, WriteCatalog(JOB, f"run{number}"))
        writer.write_batch(batch([{"id": number, "v": "x y"}]))
    writers[1].commit(b"1")
    with pytest.raises(TargetError, match="another run of job"):
        writers[0].commit(b"0")
    assert DeltaWriter().inspect(bucket, JOB, []).tables[ORDERS].rows == 1
    for writer in writers:
        writer.close()


def test_a_damaged_data_file_is_named(lake: Lake) -> None:
    lake.load([{"id": 1}])
    (file,) = (lake.path / "orders").glob("*.parquet")
    for payload in (b"PAR1 not", None):
        if payload is None:
            file.unlink()
        else:
            file.write_bytes(payload)
        with pytest.raises(TargetError, match=file.name) as caught:
            lake.load([{"id": 1}], "merge", "id")
        assert not caught.value.retryable
        assert not list(lake.path.glob("_dativo/staging/*"))


def test_a_disk_that_takes_no_more(lake: Lake) -> None:
    lake.load([{"id": 1}])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with lake.run() as writer:
        writer.write_batch(batch(pa.table({"id": range(100_000), "text": [f"{number * 7919}" * 9 for number in range(100_000)]})))
        whole = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        try:
            with pytest.raises(TargetError, match="cannot write"):
                writer.commit(b"2")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, whole)
    assert len(list((lake.path / "orders").glob("*.parquet"))) == 1
    lake.load([{"id": 2}])
    assert [row["id"] for row in lake.rows()] == [1, 2]
