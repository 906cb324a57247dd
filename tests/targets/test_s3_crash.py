"""A writer to a bucket killed with SIGKILL at each step of a commit, or without a network at any request, and run again.

Run as a script, this module is the victim. `python tests/targets/test_s3_crash.py 100` kills so many at random instants, and
`… network` lets the network fail at each request; each on a server of its own.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from dativo_protocols import Batch, StreamId
from dativo_protocols.errors import TargetError
from dativo_sdk import ConfiguredStream, JobKey, WriteCatalog
from dativo_sdk.conformance import rejects

from dativo._dataset import dataset
from dativo.targets._object_store import ObjectStore
from dativo.targets.parquet import ParquetWriter

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.servers.proxy import Proxy
from tests.servers.seaweedfs import S3Server, seaweedfs

JOB = JobKey("acme", "crash")
ORDERS, ITEMS, USERS = StreamId("orders"), StreamId("items"), StreamId("users")
STEPS, ROWS = 3, 2000


def load(config: dict[str, Any], run: str) -> None:
    """Resumes where the committed state says; a checkpoint is a step of rows in two streams; a third stream is overwritten."""
    writer = ParquetWriter()
    catalog = WriteCatalog(JOB, run, {USERS: ConfiguredStream(USERS, "overwrite")})
    state = writer.initialize({**config, "keep_replaced_seconds": 0}, catalog)
    try:
        send(writer, USERS, [7, 8, 9])
        for step in range(int(state or b"0"), STEPS):
            for stream in (ORDERS, ITEMS):
                send(writer, stream, list(range(step * ROWS, (step + 1) * ROWS)))
            writer.write_rejects(rejects(ORDERS))
            writer.commit(b"%d" % (step + 1))
        writer.commit(None, final=True)
    finally:
        writer.close()


def send(writer: ParquetWriter, stream: StreamId, ids: list[int]) -> None:
    data = pa.record_batch({"id": pa.array(ids, pa.int64())})
    writer.write_batch(Batch(stream, data, data.num_rows, data.nbytes))


def check(config: dict[str, Any], *, ended: bool) -> None:
    """What is committed is exactly what the state says, in every stream."""
    if not ObjectStore(config["path"], config["storage_options"]).exists():
        assert not ended
        return
    data = dataset(config["path"], config["storage_options"])
    steps = int(data.state(JOB) or b"0")
    assert not ended or steps == STEPS
    for stream in (ORDERS, ITEMS):
        ids = data.to_arrow(stream)["id"].to_pylist() if stream in data.streams else []
        assert ids == list(range(steps * ROWS)), (stream, steps, len(ids))
    assert (data.quarantine(ORDERS).num_rows if ORDERS in data.streams else 0) == steps
    users = data.to_arrow(USERS)["id"].to_pylist() if USERS in data.streams else []
    assert users == [7, 8, 9] or not (users or ended)


def left_over(config: dict[str, Any]) -> list[str]:
    store = ObjectStore(config["path"], config["storage_options"])
    data = dataset(config["path"], config["storage_options"])
    live = {path for stream in data.streams for path in (*data.files(stream), *data.quarantine(stream).paths)}
    return [path for path in store.data_files() if store.locate(path) not in live]


def victim(config: dict[str, Any], fault: str = "") -> subprocess.Popen[bytes]:
    environment = os.environ | {"DATIVO_FAULT_POINT": fault}
    command = [sys.executable, __file__, "victim", json.dumps(config)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)


@pytest.mark.parametrize(
    "fault",
    ["files.staged", "files.synced#2", "files.record_written", "files.record_written#3", "files.committed", "files.committed#5"],
)
def test_a_run_killed_at_a_step_and_run_again_gives_the_rows_of_an_undisturbed_one(fault: str, bucket: dict[str, Any]) -> None:
    with victim(bucket, fault) as process:
        assert process.wait(60) == -signal.SIGKILL
    check(bucket, ended=False)
    load(bucket, "second")
    check(bucket, ended=True)
    load(bucket, "third")
    assert all(path.startswith("users/") for path in left_over(bucket))


def fail_at(config: dict[str, Any], port: int, instant: int) -> bool:
    """A run whose network fails at a request, even numbers before it and odd ones after it; whether it came so far."""
    number, failed = 0, False

    def sees(_: bytes) -> str | None:
        nonlocal number, failed
        number += 1
        if number - 1 != instant // 2:
            return None
        failed = True
        return "after" if instant % 2 else "before"

    with Proxy(port, sees) as proxy:
        patience = {"max_retries": 0, "timeout_seconds": 2, "endpoint": f"http://127.0.0.1:{proxy.port}"}
        with suppress(TargetError):
            load({**config, "storage_options": config["storage_options"] | patience}, "first")
    check(config, ended=False)
    load(config, "second")
    check(config, ended=True)
    return failed


@pytest.mark.parametrize("first", range(4))
def test_a_network_that_fails_at_any_request_loses_and_doubles_nothing(first: int, s3: S3Server, bucket: dict[str, Any]) -> None:
    path, instant = bucket["path"], first
    while fail_at(bucket | {"path": f"{path}/{instant}"}, s3.port, instant):
        instant += 21
    assert instant > 40


def torture_network() -> None:
    """Every request, before it and after it."""
    with seaweedfs() as server:
        keys = {"access_key_id": server.access_key, "secret_access_key": server.secret_key, "allow_http": True}
        options = {"endpoint": server.endpoint, **keys}
        for instant in range(10_000):
            if not fail_at({"path": f"s3://{server.bucket}/cut{instant}", "storage_options": options}, server.port, instant):
                print(f"{instant} instants")
                return


def torture(count: int) -> None:
    """Kills at random instants, until each run has ended well."""
    kills = 0
    with seaweedfs() as server:
        keys = {"access_key_id": server.access_key, "secret_access_key": server.secret_key, "allow_http": True}
        options = {"endpoint": server.endpoint, **keys}
        for turn in range(10 * count):
            config = {"path": f"s3://{server.bucket}/turn{turn}", "storage_options": options}
            status = -signal.SIGKILL
            while status == -signal.SIGKILL:
                with victim(config) as process:
                    assert process.stdout is not None
                    assert process.stdout.readline() == b"begins\n"
                    time.sleep(random.uniform(0, 1.2))
                    process.kill()
                    status = process.wait(60)
                kills += status == -signal.SIGKILL
                check(config, ended=status == 0)
            assert status == 0
            if kills >= count:
                print(f"{kills} kills, {turn + 1} runs that ended well")
                return


if __name__ == "__main__":
    if sys.argv[1] == "victim":
        print("begins", flush=True)
        load(json.loads(sys.argv[2]), "first")
    elif sys.argv[1] == "network":
        torture_network()
    else:
        torture(int(sys.argv[1]))
