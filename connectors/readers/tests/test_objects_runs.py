"""Jobs that load objects of a real S3 server: what is new, each row once, and no secrets in what is said."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tests.project import DATIVO, Project
from tests.servers.proxy import Proxy
from tests.servers.seaweedfs import S3Server

from .files import CLASSES, WAYS
from .objects import Objects, Ranges

PAGE = Path(__file__).parents[3] / "docs" / "readers.md"


def orders(kind: str, ids: range) -> bytes:
    if kind == "csv":
        return ("id,amount\n" + "".join(f"{number},{number / 4}\n" for number in ids)).encode()
    if kind == "jsonl":
        return "".join(json.dumps({"id": number, "amount": number / 4}) + "\n" for number in ids).encode()
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"id": ids, "amount": [number / 4 for number in ids]}), sink, row_group_size=1000)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def source(kind: str, objects: Objects, **more: Any) -> dict[str, Any]:
    config = {"path": objects.url(f"in/*.{kind}"), "stream": "orders", "storage_options": objects.options}
    return {"connector": kind, "config": config, "streams": {"orders": {"mode": "incremental"}}, **more}


@pytest.mark.parametrize("way", WAYS)
def test_a_job_loads_new_objects_only(project: Project, kind: str, way: str, s3: S3Server, tmp_path: Path) -> None:
    objects = Objects(CLASSES[kind], s3, tmp_path)
    objects.put(f"in/a.{kind}", orders(kind, range(3000)))
    job = source(kind, objects, **WAYS[way])
    if (kind, way) == ("parquet", "program"):
        # Airbyte's protocol has no streams that are incremental with and without a cursor.
        job["streams"]["orders"]["cursor"] = "id"

    first = project.run(job)
    objects.put(f"in/b.{kind}", orders(kind, range(3000, 3100)))
    second = project.run(job)
    third = project.run(job)

    assert [report["written"] for report in (first, second, third)] == [3000, 100, 0]
    assert project.rows("select count(*), count(distinct id), sum(amount) from orders") == [(3100, 3100, sum(range(3100)) / 4)]


@pytest.mark.parametrize("isolation", ["in_process", "process"])
def test_two_at_a_time_give_the_same_rows_in_the_same_order(
    project: Project, kind: str, isolation: str, s3: S3Server, tmp_path: Path
) -> None:
    objects = Objects(CLASSES[kind], s3, tmp_path)
    objects.put(f"in/a.{kind}", orders(kind, range(200_000)))

    project.run(source(kind, objects, isolation=isolation, parallel=2), "parquet")

    assert [row["id"] for row in project.files("orders")] == list(range(200_000))


def test_a_run_that_lost_its_server_is_gone_on_with(project: Project, kind: str, s3: S3Server, tmp_path: Path) -> None:
    """Nothing is lost, nothing is doubled: what was committed is not read again."""
    ranges = Ranges()
    with Proxy(s3.port, ranges) as proxy:
        objects = Objects(CLASSES[kind], s3, tmp_path, proxy.port)
        count = 400_000
        objects.put(f"in/a.{kind}", orders(kind, range(count)))
        objects.put(f"in/b.{kind}", orders(kind, range(count, count + 10)))
        job = source(kind, objects)
        if kind == "parquet":
            # Of the second object the footer arrives, and then no more.
            ranges.is_down = lambda request: b"/b.parquet" in request and b"bytes=0-" not in request
        else:
            # Of the first one some bytes.
            ranges.stop_after = 1 << 20

        project.run(job, code=75, checkpoint={"rows": 10_000}, retry={"attempts": 1})
        ((loaded,),) = project.rows("select count(*) from orders")
        assert 0 < loaded < count + 10

        ranges.stop_after, ranges.is_down = None, lambda _: False
        project.run(job, checkpoint={"rows": 10_000})

    assert project.rows("select count(*), count(distinct id) from orders") == [(count + 10, count + 10)]


@pytest.mark.parametrize("command", ["check", "discover", "read", "run"])
def test_no_secret_is_in_what_is_said(command: str, project: Project, s3: S3Server, tmp_path: Path) -> None:
    objects = Objects(CLASSES["csv"], s3, tmp_path)
    objects.put("in/a.csv", "id\n1\n")
    secret = "a-secret-that-nobody-may-see"
    job = source("csv", objects)
    job["config"]["storage_options"] = objects.options | {"secret_access_key": secret}
    whole = {"name": "x", "source": job, "target": {"connector": "parquet", "config": {"path": "out"}}}
    (project.folder / "config.json").write_text(json.dumps(job["config"]))
    (project.folder / "job.yaml").write_text(json.dumps(whole))
    arguments = [command, "job.yaml"] if command == "run" else [command, "csv", "--config", "config.json"]

    ended = subprocess.run([DATIVO, *arguments, "--verbose"], cwd=project.folder, capture_output=True, text=True)

    assert ended.returncode == (10 if command == "check" else 2), ended.stderr
    assert "SignatureDoesNotMatch" in ended.stdout + ended.stderr
    files = {path.name: path.read_bytes() for path in project.folder.rglob("*") if path.is_file()}
    assert secret not in ended.stdout + ended.stderr
    assert [name for name, data in files.items() if secret.encode() in data] == ["config.json", "job.yaml"]


def test_the_job_of_the_page_loads_what_is_there(
    project: Project, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = Objects(CLASSES["csv"], s3, tmp_path)
    objects.put("orders/2026/a.csv.gz", gzip.compress(b"id,amount\n1,2.50\n"))
    (found,) = [text for text in re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S) if "s3://" in text]
    job = yaml.safe_load(found.replace("s3://acme-lake/", objects.url("")))
    job["source"]["config"]["storage_options"] |= {"endpoint": s3.endpoint, "allow_http": True}
    (project.folder / "job.yaml").write_text(yaml.safe_dump(job))
    monkeypatch.setenv("S3_KEY_ID", s3.access_key)
    monkeypatch.setenv("S3_SECRET", s3.secret_key)

    project.dativo("run", "job.yaml")

    with duckdb.connect(str(project.folder / job["target"]["config"]["path"]), read_only=True) as database:
        assert database.execute("select id, amount from orders").fetchall() == [(1, Decimal("2.50"))]
