"""Objects of a real S3 server, read as files of a disk are: the same values in every format, and no more than is asked for."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import json
import random
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from dativo_protocols import ConfigError, ConnectorError
from dativo_sdk import SavedState
from dativo_sdk.testing import discover

from dativo._environment import secret_values
from dativo.objectstore._options import CLIENT, OPTIONS
from tests.servers.proxy import Proxy
from tests.servers.seaweedfs import S3Server, seaweedfs

from .files import CLASSES, Files
from .objects import Objects, Ranges

ROOT = Path(__file__).parents[3]
ROWS = [{"id": number, "text": f"{number}, ö\n東", "n": number / 4 if number % 7 else None} for number in range(3000)]


def csv_text(rows: list[dict[str, Any]]) -> str:
    lines = [f'{row["id"]},"{row["text"]}",{"" if row["n"] is None else row["n"]}\n' for row in rows]
    return "id,text,n\n" + "".join(lines)


def json_lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def parquet_bytes(table: pa.Table, **how: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **how)
    return sink.getvalue()


WRITTEN: Mapping[str, tuple[str, bytes, dict[str, Any]]] = {
    "csv": ("csv", csv_text(ROWS).encode(), {}),
    "csv.gz": ("csv", gzip.compress(csv_text(ROWS).encode()), {}),
    "csv in UTF-16": ("csv", csv_text(ROWS).encode("utf-16"), {"encoding": "utf-16"}),
    "csv with bad lines": ("csv", (csv_text(ROWS[:50]) + "1,2\n" + csv_text(ROWS[50:])[10:]).encode(), {"origin": ["line"]}),
    "jsonl": ("jsonl", json_lines(ROWS).encode(), {}),
    "jsonl.gz": ("jsonl", gzip.compress(json_lines(ROWS).encode()), {}),
    "parquet": ("parquet", parquet_bytes(pa.Table.from_pylist(ROWS), row_group_size=700), {}),
    "empty csv": ("csv", b"", {"columns": ["a", "b"]}),
}


@pytest.mark.parametrize("written", WRITTEN)
def test_values_are_those_of_a_local_file(written: str, way: Mapping[str, type[Any]], s3: S3Server, tmp_path: Path) -> None:
    kind, data, settings = WRITTEN[written]
    name = f"data.{kind}" + (".gz" if written.endswith(".gz") else "")
    objects = Objects(way[kind], s3, tmp_path)

    found = objects.read(objects.put(name, data), **settings)
    local = Files(way[kind], tmp_path).read(str(objects.write(name, data)), **settings)

    assert [batch.schema for batch in found.batches[:1]] == [batch.schema for batch in local.batches[:1]]
    assert found.rows == local.rows
    assert [row["reason"] for row in found.rejected] == [row["reason"] for row in local.rejected]
    assert len(found.rows) == (0 if written == "empty csv" else len(ROWS))


def test_long_objects_come_in_ranges_and_in_order(way: Mapping[str, type[Any]], s3: S3Server, tmp_path: Path) -> None:
    ranges = Ranges()
    data = "id,noise\n" + "".join(f"{number},{number:0100d}\n" for number in range(300_000))
    with Proxy(s3.port, ranges) as proxy:
        objects = Objects(way["csv"], s3, tmp_path, proxy.port)
        url = objects.put("data.csv", data)
        found = objects.read(url, types={"noise": "string"})

    assert [row["id"] for row in found.rows] == list(range(300_000))
    assert max(end - start for _, start, end in ranges.asked) == 8 << 20
    # A sample needs the first two ranges, and asks for the next; a program is asked for its streams before it reads.
    sample = (256 << 10) + (1 << 20) + (4 << 20)
    assert ranges.fetched <= len(data) + 2 * sample


def test_patterns_mean_what_they_mean_on_a_disk(way: Mapping[str, type[Any]], s3: S3Server, tmp_path: Path) -> None:
    objects = Objects(way["csv"], s3, tmp_path)
    for number, name in enumerate(["a/1.csv", "a/2.csv", "a/b/3.csv", "c/4 x%20y.csv", "a-5.csv"]):
        objects.put(name, f"id\n{number}\n")
        objects.write(name, f"id\n{number}\n")
    local = Files(way["csv"], tmp_path)

    for pattern in ["a/*.csv", "a/**/*.csv", "**", "a*", "*/?.csv", "{a,c}/*", "[ac]/[0-9]*", "c/4 x%20y.csv"]:
        rows = objects.read(objects.url(pattern), stream="data").rows
        assert rows == local.read(str(tmp_path / pattern), stream="data").rows, pattern
        assert rows
    assert objects.read([objects.url("a/1.csv"), objects.url("a/*"), objects.url("c/*")], stream="data").rows == [
        {"id": 0},
        {"id": 1},
        {"id": 3},
    ]
    with pytest.raises(ConfigError, match="no file matches"):
        objects.read(objects.url("d/*.csv"))
    with pytest.raises(ConfigError, match=r"there is no object `s3://.*/none.csv`"):
        objects.read(objects.url("none.csv"))


def test_more_objects_than_a_list_has(way: Mapping[str, type[Any]], s3: S3Server, tmp_path: Path) -> None:
    objects = Objects(way["jsonl"], s3, tmp_path)
    objects.put_all((f"many/{number:04d}.jsonl", b'{"id": %d}\n' % number) for number in range(1001))

    found = objects.read(objects.url("many/*.jsonl"), stream="data", incremental=True)

    assert sorted(row["id"] for row in found.rows) == list(range(1001))
    assert objects.read(objects.url("many/*.jsonl"), stream="data", incremental=True, state=found.saved).rows == []


@pytest.mark.parametrize("incremental", [False, True])
def test_parts_are_the_whole_in_order(way: Mapping[str, type[Any]], s3: S3Server, tmp_path: Path, incremental: bool) -> None:
    objects = Objects(way["csv"], s3, tmp_path)
    url = objects.put("data.csv", "id,text\n" + "".join(f'{number},"{number}\nx"\n' for number in range(400_000)))

    parts = objects.parts(url, 2, 1 << 20, incremental=incremental)
    begins, ids = [], []
    for part in parts:
        begins.append(len(ids))
        ids += [row["id"] for row in objects.read(url, partition=part.token, incremental=incremental).rows]

    assert ids == list(range(400_000))
    assert len(parts) > 2
    for part, after in zip(parts[:-1], begins[1:], strict=True):
        if incremental:
            rest = objects.read(url, incremental=True, state=SavedState().merged(part.state))
            assert [row["id"] for row in rest.rows] == list(range(after, 400_000))


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_reading_goes_on_from_each_of_its_states(kind: str, way: Mapping[str, type[Any]], s3: S3Server, tmp_path: Path) -> None:
    """Also amid an object."""
    objects = Objects(way[kind], s3, tmp_path)
    table = pa.Table.from_pylist(ROWS[:400])
    data = {"csv": csv_text(ROWS[:400]).encode(), "jsonl": json_lines(ROWS[:400]).encode()}
    url = objects.put(f"a.{kind}", data.get(kind) or parquet_bytes(table, row_group_size=50))
    settings: dict[str, Any] = {} if kind == "parquet" else {"block_bytes": 1000, "threads": 2}

    whole = objects.read(url, incremental=True, max_rows=30, **settings)

    rows, amid = 0, 0
    for batch, state in zip(whole.batches, whole.states, strict=True):
        rows += batch.num_rows
        if state is not None:
            amid += b"position" in state.data
            rest = objects.read(url, incremental=True, state=SavedState().merged(state), **settings)
            assert [row["id"] for row in rest.rows] == list(range(rows, 400))
    assert amid > 2


def test_an_object_that_changed_within_a_second_is_read_again(way: Mapping[str, type[Any]], s3: S3Server, tmp_path: Path) -> None:
    """The time of its change may be the same."""
    objects = Objects(way["csv"], s3, tmp_path)
    state = None
    for number in range(3):
        url = objects.put("a.csv", f"id\n{number}\n")
        found = objects.read(url, incremental=True, state=state)
        assert found.rows == [{"id": number}]
        state = found.saved
    assert objects.read(url, incremental=True, state=state).rows == []


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_an_object_that_changes_amid_its_reading_is_an_error_to_try_again(kind: str, s3: S3Server, tmp_path: Path) -> None:
    objects = Objects(CLASSES[kind], s3, tmp_path)
    # More than what is fetched ahead.
    rows = [{"id": number, "noise": f"{number:0800d}"} for number in range(100_000)]
    if kind == "parquet":
        noise = pa.array([random.Random(group).randbytes(12 << 20) for group in range(8)])
        data = parquet_bytes(pa.table({"id": range(8), "noise": noise}), row_group_size=1, compression="none")
    elif kind == "csv":
        data = ("id,noise\n" + "".join(f"{row['id']},{row['noise']}\n" for row in rows)).encode()
    else:
        data = json_lines(rows).encode()
    url = objects.put("data", data)
    reader = objects.reader()
    config = {**objects.with_options({} if kind == "parquet" else {"threads": 1}), "path": url}
    reader.initialize(config, objects.catalog(config, incremental=True), None)
    try:
        assert reader.read_batch(1) is not None
        objects.put("data", data[: len(data) // 2])
        with pytest.raises(ConnectorError, match="was changed while it was read") as raised:
            deque(iter(lambda: reader.read_batch(65_536), None), maxlen=0)
    finally:
        reader.close()
    assert raised.value.retryable


def test_only_columns_and_row_groups_that_are_wanted_are_fetched(
    way: Mapping[str, type[Any]], s3: S3Server, tmp_path: Path
) -> None:
    rng = random.Random(1)
    columns = {"id": range(100_000), "noise": [rng.randbytes(100) for _ in range(100_000)], "last": range(100_000)}
    data = parquet_bytes(pa.table(columns), row_group_size=10_000)
    ranges = Ranges()
    with Proxy(s3.port, ranges) as proxy:
        objects = Objects(way["parquet"], s3, tmp_path, proxy.port)
        url = objects.put("data.parquet", data)
        found = objects.read(url, fields=["id"])
        assert found.table["id"].to_pylist() == list(range(100_000))
        assert ranges.fetched < len(data) // 10

        half = objects.read(url, fields=["id", "noise"], incremental=True, cursor="id", stop_after=1).batches[0]
        state = SavedState().merged(objects.read(url, fields=["id"], incremental=True, cursor="id").states[-1])
        ranges.asked.clear()
        assert half.num_rows
        assert objects.read(url, fields=["id", "noise"], incremental=True, cursor="id", state=state).rows == []
        assert ranges.fetched < len(data) // 10


def test_parquet_of_many_columns_and_long_chunks(way: Mapping[str, type[Any]], s3: S3Server, tmp_path: Path) -> None:
    """Chunks longer than what is fetched at a time, and pages across such borders."""
    rng = random.Random(2)
    wide = pa.table({f"c{number}": [rng.random() for _ in range(2000)] for number in range(120)})
    words = [rng.randbytes(rng.randrange(3000)) for _ in range(20_000)]
    long = pa.table({"id": range(20_000), "a": words, "b": words[::-1], "day": [dt.date(2024, 1, 1)] * 20_000})
    for number, (table, how) in enumerate(
        [(wide, {"row_group_size": 300}), (long, {"data_page_size": 5 << 20}), (long, {"compression": "zstd"})]
    ):
        objects = Objects(way["parquet"], s3, tmp_path)
        found = objects.read(objects.put(f"{number}.parquet", parquet_bytes(table, **how))).table
        assert found.equals(table.cast(found.schema))


def test_a_server_that_dies_amid_a_reading_loses_nothing(tmp_path: Path) -> None:
    with seaweedfs() as server:
        objects = Objects(CLASSES["csv"], server, tmp_path)
        rows = "".join(f"{number},{number:0100d}\n" for number in range(400_000))
        url = objects.put("data.csv", "id,noise\n" + rows)
        settings = objects.with_options({"types": {"noise": "string"}, "path": url})
        reader, ids, state, covered = objects.reader(), [], SavedState(), 0

        def step() -> bool:
            nonlocal state, covered
            piece = reader.read_batch(65_536)
            ids.extend([] if piece is None else pa.record_batch(piece.data)["id"].to_pylist())
            if piece is not None and (said := reader.get_incremental_state()) is not None:
                state, covered = state.merged(said), len(ids)
            return piece is None

        try:
            reader.initialize(settings, objects.catalog(settings, incremental=True), None)
            step()
            server.kill()
            with pytest.raises(ConnectorError, match="cannot read `s3://") as raised:
                deque(iter(step, True), maxlen=0)
        finally:
            reader.close()
        assert raised.value.retryable
        assert 0 < covered < 400_000

        server.start()
        objects.wait_for("data.csv")
        rest = objects.read(url, incremental=True, state=state, types={"noise": "string"})

    assert ids[:covered] + [row["id"] for row in rest.rows] == list(range(400_000))


def test_who_closes_a_reader_does_not_wait_for_a_store(s3: S3Server, tmp_path: Path) -> None:
    """It may have stopped to answer without a word."""
    released = threading.Event()
    ranges = Ranges()
    # The first ranges arrive, of later ones nothing does.
    ranges.is_down = lambda request: b"bytes=1310720-" in request and released.wait(60)
    with Proxy(s3.port, ranges) as proxy:
        objects = Objects(CLASSES["csv"], s3, tmp_path, proxy.port)
        url = objects.put("data.csv", "id,noise\n" + "".join(f"{number},{number:0500d}\n" for number in range(20_000)))
        config = objects.with_options({"types": {"noise": "string"}, "path": url, "sample_rows": 10})
        reader = objects.reader()
        try:
            reader.initialize(config, None, None)
            assert reader.read_batch(1) is not None
            started = time.monotonic()
            reader.close()
            assert time.monotonic() - started < 20
        finally:
            released.set()


def test_a_check_is_of_every_object(s3: S3Server, tmp_path: Path) -> None:
    """Also of those that a sample does not come to."""
    ranges = Ranges()
    with Proxy(s3.port, ranges) as proxy:
        objects = Objects(CLASSES["jsonl"], s3, tmp_path, proxy.port)
        objects.put_all((f"{number:02d}.jsonl", b'{"id": 1}\n') for number in range(40))
        reader = objects.reader()
        config = objects.with_options({"path": objects.url("*.jsonl"), "stream": "data", "sample_rows": 1})
        try:
            reader.initialize(config, None, None)
            assert reader.check().succeeded
            ranges.is_down = lambda request: b"/39.jsonl" in request
            failed = reader.check()
        finally:
            reader.close()
    assert not failed.succeeded
    assert "39.jsonl" in failed.message


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"secret_access_key": "a secret that is wrong"}, "SignatureDoesNotMatch"),
        ({"access_key_id": "nobody", "secret_access_key": "a secret that is wrong"}, "InvalidAccessKeyId"),
    ],
)
@pytest.mark.parametrize("pattern", ["*.csv", "a.csv"])
def test_wrong_credentials_are_told_with_the_services_code(
    change: dict[str, str], code: str, pattern: str, way: Mapping[str, type[Any]], s3: S3Server, tmp_path: Path
) -> None:
    objects = Objects(way["csv"], s3, tmp_path)
    objects.put("a.csv", "id\n1\n")

    with pytest.raises(ConfigError, match=code) as raised:
        objects.read(objects.url(pattern), storage_options=objects.options | change)

    assert "storage_options" in (raised.value.hint or "")
    assert "a secret that is wrong" not in f"{raised.value} {raised.value.hint}"


@pytest.mark.parametrize("name", ["*.csv", "a.csv"])
def test_a_missing_bucket_is_told(name: str, way: Mapping[str, type[Any]], s3: S3Server, tmp_path: Path) -> None:
    objects = Objects(way["csv"], s3, tmp_path)

    with pytest.raises(ConfigError, match="NoSuchBucket"):
        objects.read(f"s3://no-such-bucket/{name}")


def test_a_server_that_is_away_is_an_error_to_try_again(way: Mapping[str, type[Any]], s3: S3Server, tmp_path: Path) -> None:
    objects = Objects(way["csv"], s3, tmp_path)
    away = objects.options | {"endpoint": "http://127.0.0.1:1", "retry_timeout_seconds": 0.2}

    with pytest.raises(ConnectorError, match="Connection refused") as raised:
        objects.read(objects.url("*.csv"), storage_options=away)

    assert raised.value.retryable


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("ftp://host/a.csv", {}, "there is no store for `ftp://`"),
        ("s3://key:hunter2@b/a.csv", {}, "must not hold credentials"),
        ("gs://b/a.csv", {"region": "x"}, "unknown key `region`"),
        ("s3://b/a.csv", {"endpoint": "http://x"}, "the `endpoint` is not encrypted"),
        ("data.csv", {"region": "x"}, "`storage_options` are for object stores"),
        ("s3://b/a.csv", {"acess_key_id": "x"}, "acess_key_id"),
        ("s3://b/a.csv", {"secret_access_key": 1234567}, "secret_access_key"),
    ],
)
def test_wrong_settings_are_refused_and_not_shown(
    path: str, options: dict[str, Any], message: str, way: Mapping[str, type[Any]], tmp_path: Path
) -> None:
    files = Files(way["csv"], tmp_path)
    files.write("data.csv", "id\n1\n")

    with pytest.raises(ConfigError, match=message) as raised:
        discover(files.reader, {"path": path if "://" in path else str(tmp_path / path), "storage_options": options})

    assert "hunter2" not in str(raised.value)
    assert "1234567" not in str(raised.value)


def test_the_environment_gives_credentials(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = Objects(CLASSES["csv"], s3, tmp_path)
    url = objects.put("a.csv", "id\n1\n")
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    assert objects.read(url, storage_options=None).rows == [{"id": 1}]

    # A session of somebody else is not mixed with the job's own.
    monkeypatch.setenv("AWS_SESSION_TOKEN", "theirs")
    assert objects.read(url).rows == [{"id": 1}]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_options_are_those_of_targets_and_secret_ones_are_named(kind: str) -> None:
    schema = CLASSES[kind].config_schema["properties"]["storage_options"]
    found = next(each for each in [schema, *schema.get("anyOf", [])] if "properties" in each)["properties"]
    secret = {name for name, said in found.items() if "airbyte_secret" in json.dumps(said)}
    recipe = yaml.safe_load((ROOT / "connectors" / f"{kind}.yaml").read_text("utf-8"))

    assert set(found) == {*CLIENT, *(key for keys in OPTIONS.values() for key in keys)}
    assert recipe["secrets"] == [f"storage_options.{name}" for name in found if name in secret]
    assert secret_values([{"storage_options": dict.fromkeys(secret, "hunter2")}]) == ("hunter2",)
