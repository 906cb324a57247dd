"""The file targets in a bucket of a real S3 server: who wins, who is refused, what is left, and what errors say."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3
import duckdb
import obstore
import polars as pl
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
import pytest
from dativo_protocols import Batch, StreamId
from dativo_protocols.errors import ConfigError, TargetError
from dativo_sdk import ConfiguredStream, JobKey, WriteCatalog
from dativo_sdk.conformance import ORDERS, batch, rejects

from dativo._dataset import Dataset, dataset
from dativo.targets import _staging
from dativo.targets._file_names import clean
from dativo.targets._files import FilesWriter
from dativo.targets._object_file import ObjectSink
from dativo.targets._object_store import SETTLING, ObjectStore
from dativo.targets.arrow import ArrowWriter
from dativo.targets.csv import CsvWriter
from dativo.targets.jsonl import JsonLinesWriter
from dativo.targets.parquet import ParquetWriter
from tests.project import Project
from tests.servers.proxy import Proxy
from tests.servers.seaweedfs import S3Server

ONE, TWO = JobKey("acme", "one"), JobKey("acme", "two")
Config = dict[str, Any]


@contextmanager
def opened(
    config: Config, job: JobKey = ONE, run: str = "run", mode: Any = "append", kind: type[FilesWriter] = ParquetWriter
) -> Iterator[Any]:
    writer = kind()
    try:
        writer.initialize(config, WriteCatalog(job, run, {ORDERS: ConfiguredStream(ORDERS, mode)}))
        yield writer
    finally:
        writer.close()


def load(config: Config, values: dict[str, Any], job: JobKey = ONE, state: bytes = b"{}", **options: Any) -> None:
    with opened(config, job, **options) as writer:
        writer.write_batch(batch(values))
        writer.commit(state, final=True)


def committed(config: Config) -> Dataset:
    return dataset(config["path"], config["storage_options"])


def ids(config: Config) -> list[int]:
    return list(committed(config).to_arrow("orders")["id"].to_pylist())


def store(config: Config) -> ObjectStore:
    return ObjectStore(config["path"], config["storage_options"])


def through(config: Config, port: int, **options: Any) -> Config:
    """The same place by way of another port."""
    return config | {"storage_options": config["storage_options"] | {"endpoint": f"http://127.0.0.1:{port}"} | options}


def uploads(s3: S3Server) -> list[str]:
    """Uploads in parts that are neither complete nor aborted."""
    keys = {"aws_access_key_id": s3.access_key, "aws_secret_access_key": s3.secret_key, "region_name": s3.region}
    client = boto3.client("s3", endpoint_url=s3.endpoint, **keys)
    return [each["Key"] for each in client.list_multipart_uploads(Bucket=s3.bucket).get("Uploads", [])]


class Network:
    """What a proxy does to requests.

    Attributes:
        down: None is passed on.
        lose: The answer to the next one that begins so is not passed back.
        refused: How many were not passed on.
        lost: How many answers were lost.
    """

    def __init__(self) -> None:
        self.down = False
        self.lose = b""
        self.refused = self.lost = 0

    def __call__(self, request: bytes) -> str | None:
        if self.down:
            self.refused += 1
            return "before"
        if self.lose and request.startswith(self.lose):
            self.lose = b""
            self.lost += 1
            return "after"
        return None


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def proxy(s3: S3Server, network: Network) -> Iterator[Proxy]:
    with Proxy(s3.port, network) as made:
        yield made


def noise(rows: int, start: int = 0) -> Any:
    return batch({"id": pa.array(range(start, start + rows)), "noise": pa.array([os.urandom(200) for _ in range(rows)])})


@pytest.mark.parametrize("kind", [ArrowWriter, CsvWriter, JsonLinesWriter, ParquetWriter])
def test_every_format_is_written_and_read(kind: type[FilesWriter], bucket: Config) -> None:
    for start in (0, 50_000):
        with opened(bucket, kind=kind, run=f"run{start}") as writer:
            writer.write_batch(noise(50_000, start))
            writer.write_rejects(rejects(records=[b"%d" % start]))
            writer.commit(b"%d" % start, final=True)
    assert ids(bucket) == list(range(100_000))
    assert committed(bucket).quarantine("orders").to_arrow()["record"].to_pylist() == [b"0", b"50000"]
    assert committed(bucket).state(ONE) == b"50000"


def test_others_read_the_files_themselves(s3: S3Server, bucket: Config) -> None:
    load(bucket, {"id": [1, 2, 3]})
    (url,) = committed(bucket).files("orders")
    assert url.startswith(bucket["path"])
    options = {"aws_access_key_id": s3.access_key, "aws_secret_access_key": s3.secret_key, "aws_endpoint_url": s3.endpoint}
    assert pl.read_parquet(url, storage_options=options | {"aws_allow_http": "true", "aws_region": s3.region})["id"].sum() == 6
    place = s3.endpoint.removeprefix("http://")
    system = pyarrow.fs.S3FileSystem(
        access_key=s3.access_key, secret_key=s3.secret_key, region=s3.region, endpoint_override=place, scheme="http"
    )
    assert pq.read_table(url.removeprefix("s3://"), filesystem=system)["id"].to_pylist() == [1, 2, 3]


def test_polars_and_duckdb_take_a_table_as_it_is(bucket: Config) -> None:
    load(bucket, {"id": [1, 2, 3]})
    rows = committed(bucket)["orders"]
    assert pl.DataFrame(rows)["id"].to_list() == [1, 2, 3]
    assert duckdb.sql("SELECT sum(id) FROM rows").fetchall() == [(6,)]


def test_of_sixteen_puts_of_one_name_exactly_one_wins(bucket: Config) -> None:
    place = store(bucket)
    with ThreadPoolExecutor(16) as threads:
        for turn in range(2):
            won = list(threads.map(lambda n, path=f"_dativo/commits/{turn}": place.create(path, b"writer %d" % n), range(16)))
            assert won.count(True) == 1
            assert place.read([f"_dativo/commits/{turn}"]) == [b"writer %d" % won.index(True)]


@pytest.mark.parametrize("retries", [0, 3])
def test_a_commit_whose_answer_is_lost_is_known_to_have_happened(
    retries: int, proxy: Proxy, network: Network, bucket: Config
) -> None:
    with opened(through(bucket, proxy.port, max_retries=retries)) as writer:
        writer.write_batch(batch({"id": [1]}))
        # The data file goes up first.
        writer._staging.finish(writer._staging._lanes)
        network.lose = b"PUT "
        writer.commit(b"1")
        assert network.lost == 1
        writer.write_batch(batch({"id": [2]}))
        writer.commit(b"2")
    assert (ids(bucket), committed(bucket).state(ONE)) == ([1, 2], b"2")


def test_a_service_that_ignores_conditions_is_refused(bucket: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    put = obstore.put
    monkeypatch.setattr(obstore, "put", lambda *arguments, mode, **options: put(*arguments, **options))
    with pytest.raises(TargetError, match="does not know conditional puts"), opened(bucket):
        pass


def test_many_jobs_commit_to_one_table_at_the_same_time(bucket: Config) -> None:
    def work(number: int) -> None:
        with opened(bucket, JobKey("acme", f"job{number}")) as writer:
            for step in range(20):
                writer.write_batch(batch({"id": [100 * number + step]}))
                writer.commit(b"%d" % step)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(work, range(6)))
    assert sorted(ids(bucket)) == sorted(100 * number + step for number in range(6) for step in range(20))


def test_a_run_that_was_overtaken_cannot_commit(bucket: Config) -> None:
    with opened(bucket, run="same") as old:
        old.write_batch(batch({"id": [1]}))
        old._staging.finish(old._staging._lanes)
        with opened(bucket, run="same") as new:
            new.write_batch(batch({"id": [1]}))
            with pytest.raises(TargetError, match="another run of job `acme/one` has begun") as caught:
                old.commit(b"1")
            assert caught.value.retryable
            new.commit(b"1", final=True)
    assert ids(bucket) == [1]


def test_a_run_that_slept_while_it_opened_deletes_nothing_of_its_successors(bucket: Config) -> None:
    with opened(bucket) as old:
        load(bucket, {"id": [1]})
        clean(store(bucket), old._log, ONE, 0)
        assert ids(bucket) == [1]


def test_what_a_dead_run_left_is_deleted_by_the_next_one_of_its_job(bucket: Config) -> None:
    dead = ParquetWriter()
    dead.initialize(bucket, WriteCatalog(ONE, "dead"))
    dead.write_batch(batch({"id": [1]}))
    assert dead._staging is not None
    dead._staging.finish(dead._staging._lanes)
    load(bucket, {"id": [2]}, TWO)
    assert len(list(store(bucket).data_files())) == 2
    load(bucket, {"id": [3]}, ONE)
    assert [path.removeprefix(f"{bucket['path']}/") for path in committed(bucket).files("orders")] == sorted(
        store(bucket).data_files(), key=lambda path: path in committed(bucket).files("orders")[1]
    )


def test_replaced_files_are_kept_for_readers_and_deleted_later(bucket: Config) -> None:
    load(bucket, {"id": [1]})
    before = committed(bucket)
    load(bucket, {"id": [2]}, mode="overwrite")
    assert (before.to_arrow("orders")["id"].to_pylist(), ids(bucket)) == ([1], [2])
    with opened(bucket | {"keep_replaced_seconds": 0}, TWO):
        assert len(list(store(bucket).data_files())) == 1
    with pytest.raises(TargetError, match="is gone"):
        before.to_arrow("orders")


def test_a_run_that_is_closed_leaves_no_file_and_no_upload(s3: S3Server, bucket: Config) -> None:
    with opened(bucket | {"compression": "none"}) as writer:
        writer.write_batch(noise(200_000))
        writer._staging._flush(next(iter(writer._staging._lanes)))
        while not uploads(s3):
            assert writer._error is None
    assert (uploads(s3), list(store(bucket).data_files())) == ([], [])


def test_the_log_is_compacted(bucket: Config) -> None:
    for number in range(3):
        load(bucket, {"id": [number]}, mode="overwrite")
    with opened(bucket) as writer:
        for number in range(310):
            writer.commit(b"%d" % number)
    names = store(bucket).names("_dativo/commits")
    assert (int(names[0][:20]), int(names[-1][:20])) == (200, 317)
    assert (ids(bucket), committed(bucket).state(ONE)) == ([2], b"309")


def test_inspection_makes_nothing(bucket: Config) -> None:
    found = ParquetWriter().inspect(bucket, ONE, [ORDERS])
    assert (found.state, found.tables[ORDERS].table, found.tables[ORDERS].rows) == (None, "orders", None)
    with pytest.raises(ConfigError, match="there is no dataset"):
        committed(bucket)
    load(bucket, {"id": [1, 2]}, state=b"7")
    found = ParquetWriter().inspect(bucket, ONE, [])
    assert (found.state, found.tables[ORDERS].rows) == (b"7", 2)


@pytest.mark.parametrize(
    ("change", "reason", "hint"),
    [
        ({"secret_access_key": "wrong-and-secret"}, "SignatureDoesNotMatch", "check the credentials"),
        ({"access_key_id": "nobody-we-know"}, "InvalidAccessKeyId", "check the credentials"),
    ],
)
def test_wrong_credentials_are_named_without_being_shown(change: Config, reason: str, hint: str, bucket: Config) -> None:
    wrong = bucket | {"storage_options": bucket["storage_options"] | change}
    with pytest.raises(TargetError, match=reason) as caught, opened(wrong):
        pass
    error = caught.value
    assert (hint in (error.hint or ""), error.retryable, error.exit_code) == (True, False, 20)
    assert not any(value in f"{error} {error.hint} {error.facts}" for value in (*change.values(), "correct horse"))


def test_a_bucket_that_is_not_there_is_not_made(bucket: Config) -> None:
    with pytest.raises(TargetError, match="NoSuchBucket") as caught, opened(bucket | {"path": "s3://no-such-bucket/x"}):
        pass
    assert ("make the bucket first" in (caught.value.hint or ""), caught.value.retryable) == (True, False)


def test_a_server_that_does_not_answer_is_worth_another_try(bucket: Config) -> None:
    nowhere = through(bucket, 1, max_retries=1)
    with pytest.raises(TargetError, match="cannot list") as caught, opened(nowhere):
        pass
    assert (caught.value.retryable, "can it be reached?" in (caught.value.hint or "")) == (True, True)


def test_a_network_that_is_cut_fails_the_run_and_the_next_one_goes_on(proxy: Proxy, network: Network, bucket: Config) -> None:
    with opened(through(bucket, proxy.port, max_retries=1)) as writer:
        writer.write_batch(noise(1000))
        writer.commit(b"1000")
        writer.write_batch(noise(100_000, 1000))
        network.down = True
        proxy.cut()
        with pytest.raises(TargetError) as caught:
            writer.commit(b"101000")
        assert caught.value.retryable
    with opened(bucket, run="again") as writer:
        assert committed(bucket).state(ONE) == b"1000"
        writer.write_batch(noise(100_000, 1000))
        writer.commit(b"101000", final=True)
    assert ids(bucket) == list(range(101_000))
    assert len(list(store(bucket).data_files())) == 2


def test_a_run_that_fails_for_want_of_a_network_does_not_try_to_remove_each_of_its_files(
    proxy: Proxy, network: Network, bucket: Config
) -> None:
    with opened(through(bucket, proxy.port, max_retries=1) | {"file_size_bytes": 1}) as writer:
        for number in range(20):
            writer.write_batch(batch({"id": [number], f"column{number}": ["ends the file before"]}))
        writer._staging.finish(writer._staging._lanes)
        network.down = True
        proxy.cut()
    assert 0 < network.refused < 10


def test_a_connection_that_breaks_is_tried_again_unnoticed(proxy: Proxy, bucket: Config) -> None:
    with opened(through(bucket, proxy.port)) as writer:
        for number in range(5):
            writer.write_batch(batch({"id": [number]}))
            proxy.cut()
            writer.commit(b"%d" % number)
    assert ids(bucket) == list(range(5))


def test_a_server_killed_in_the_midst_of_a_run_and_started_again(bucket: Config, s3: S3Server) -> None:
    with opened(bucket | {"storage_options": bucket["storage_options"] | {"max_retries": 1}}) as writer:
        writer.write_batch(noise(1000))
        writer.commit(b"1000")
        writer.write_batch(noise(100_000, 1000))
        s3.kill()
        try:
            with pytest.raises(TargetError) as caught:
                writer.commit(b"101000")
        finally:
            s3.start()
    assert caught.value.retryable
    # The server answers before it has found all of its files.
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with suppress(TargetError):
            load(bucket, {"id": [0]}, TWO)
            break
    with opened(bucket, run="again") as writer:
        assert committed(bucket).state(ONE) == b"1000"
        writer.write_batch(noise(100_000, 1000))
        writer.commit(b"101000", final=True)
    assert sorted(ids(bucket)) == [0, *range(101_000)]


def test_rows_that_wait_on_a_disk_are_gone_afterwards(bucket: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_staging, "BUFFERED_BYTES", 1 << 20)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    streams = [StreamId(f"s{number}") for number in range(12)]
    with opened(bucket) as writer:
        for start in range(0, 5000, 1000):
            for stream in streams:
                rows = noise(1000, start)
                writer.write_batch(Batch(stream, rows.data, rows.rows, rows.nbytes))
        assert [path for path in tmp_path.rglob("*.arrow") if path.stat().st_size]
        writer.commit(b"1", final=True)
    assert list(tmp_path.iterdir()) == []
    data = committed(bucket)
    assert all(data.to_arrow(stream)["id"].to_pylist() == list(range(5000)) for stream in streams)


def test_files_that_end_together_wait_for_one_another(bucket: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting: list[int] = []
    settle = ObjectSink.settle

    def slow(sink: ObjectSink) -> None:
        time.sleep(0.01)
        waiting.append(SETTLING - sink._owner.settling._value)
        settle(sink)

    monkeypatch.setattr(ObjectSink, "settle", slow)
    streams = [StreamId(f"s{number}") for number in range(40)]
    with opened(bucket) as writer:
        for stream in streams:
            writer.write_batch(batch({"id": [1]}, stream))
        assert len(writer.commit(b"1").written) == 40
    assert (max(waiting), len(waiting)) == (SETTLING, 40)


def test_a_directory_of_a_dead_run_is_removed_and_one_of_a_living_run_is_not(
    bucket: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    living, later = store(bucket), store(bucket)
    (tmp_path / f"dativo-rows-{os.getuid()}-dead").mkdir()
    first = living.scratch()
    assert {first, later.scratch()} == set(tmp_path.iterdir())
    living.close()
    later.close()
    assert list(tmp_path.iterdir()) == []


def test_jobs_say_by_their_exit_code_what_is_wrong(project: Project, bucket: Config, s3: S3Server) -> None:
    messages = project.folder / "messages"
    lines: list[Any] = [
        {"type": "SCHEMA", "stream": "orders", "key_properties": [], "schema": {"properties": {"id": {"type": "integer"}}}},
        *({"type": "RECORD", "stream": "orders", "record": {"id": number}} for number in range(3)),
        {"type": "STATE", "value": {"at": 3}},
    ]
    messages.write_text("".join(json.dumps(line) + "\n" for line in lines))

    tap = project.folder / "replay"
    tap.write_text(f"#!/bin/sh\nexec cat {messages}\n")
    tap.chmod(0o755)

    def run(code: int, **change: Any) -> str:
        config = bucket | {"storage_options": bucket["storage_options"] | change}
        job = {"source": {"connector": f"singer:{tap}", "discover": False}, "target": {"connector": "parquet", "config": config}}
        (project.folder / "job.yaml").write_text(json.dumps({"name": "shop", "retry": {"attempts": 1}, **job}))
        return project.dativo("run", "job.yaml", "--json", code=code)

    run(0)
    assert ids(bucket) == [0, 1, 2]
    assert "wrong-and-secret" not in run(20, secret_access_key="wrong-and-secret")
    run(75, endpoint="http://127.0.0.1:1", max_retries=0)
