"""Encrypted files in a bucket: what leaves the machine, and what waits on it, is ciphertext."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pytest
from dativo_protocols import Batch, Rejects, StreamId
from dativo_protocols.errors import ConfigError, TargetError
from dativo_sdk import JobKey, WriteCatalog

import dativo
from dativo.keys._local import LocalKms, add_key
from dativo.targets import _staging
from dativo.targets._files import FilesWriter
from dativo.targets.csv import CsvWriter
from dativo.targets.parquet import ParquetWriter
from tests.servers.seaweedfs import S3Server

MARK = b"PLAINTEXT-MARKER"
USERS = StreamId("users")


def rows(start: int, count: int) -> pa.RecordBatch:
    numbers = range(start, start + count)
    return pa.record_batch({"id": list(numbers), "email": [f"{MARK.decode()}-{i}" for i in numbers]})


def objects(s3: S3Server, bucket: dict[str, Any]) -> dict[str, bytes]:
    """Every object of the dataset, as it lies in the bucket."""
    client = boto3.client(
        "s3",
        endpoint_url=s3.endpoint,
        region_name=s3.region,
        aws_access_key_id=s3.access_key,
        aws_secret_access_key=s3.secret_key,
    )
    prefix = bucket["path"].removeprefix(f"s3://{s3.bucket}/")
    listed = client.list_objects_v2(Bucket=s3.bucket, Prefix=prefix).get("Contents", [])
    found = {each["Key"]: client.get_object(Bucket=s3.bucket, Key=each["Key"])["Body"].read() for each in listed}
    client.close()
    return found


@pytest.mark.parametrize("kind", [ParquetWriter, CsvWriter])
def test_rows_rejected_rows_and_parked_rows(
    s3: S3Server, bucket: dict[str, Any], tmp_path: Path, kind: type[FilesWriter], monkeypatch: pytest.MonkeyPatch
) -> None:
    add_key(tmp_path / "keys.json", "footer")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(_staging, "BUFFERED_BYTES", 1 << 14)
    kms = {"type": "local", "file": str(tmp_path / "keys.json")}
    encryption = {"kms": kms, "footer_key": "footer", "audit": str(tmp_path / "audit.jsonl")}
    target = kind()
    target.initialize({**bucket, "encryption": encryption}, WriteCatalog(JobKey("acme", "shop"), "r1"))
    try:
        for step in range(8):
            data = rows(step * 50, 50)
            target.write_batch(Batch(USERS, data, data.num_rows, data.nbytes))
            reject = {"line": [step], "column": ["id"], "reason": ["bad"], "record": [MARK]}
            target.write_rejects(Rejects(USERS, pa.record_batch(reject), 1))
        waiting = [path for path in (tmp_path / "tmp").rglob("*") if path.is_file() and path.stat().st_size]
        assert waiting
        assert not [path for path in waiting if MARK in path.read_bytes()]
        target.commit(b"", final=True)
    finally:
        target.close()
    stored = objects(s3, bucket)
    assert len(stored) >= 3
    assert not [name for name, content in stored.items() if MARK in content]
    data = dativo.dataset(bucket["path"], bucket["storage_options"], keys=encryption)
    assert data.to_arrow("users")["id"].to_pylist() == list(range(400))
    assert data.quarantine("users").num_rows == 8
    with pytest.raises(ConfigError, match="is encrypted"):
        dativo.dataset(bucket["path"], bucket["storage_options"]).to_arrow("users")


def test_a_kms_that_fails_leaves_no_object_behind(
    s3: S3Server, bucket: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_key(tmp_path / "keys.json", "footer")
    kms = {"type": "local", "file": str(tmp_path / "keys.json")}
    encryption = {"kms": kms, "footer_key": "footer", "audit": str(tmp_path / "audit.jsonl")}
    target = CsvWriter()
    target.initialize({**bucket, "encryption": encryption}, WriteCatalog(JobKey("acme", "shop"), "r1"))

    def fail(*_: object) -> None:
        raise TargetError("the KMS cannot be reached", retryable=True)

    monkeypatch.setattr(LocalKms, "wrap", fail)
    data = rows(0, 10)
    target.write_batch(Batch(USERS, data, data.num_rows, data.nbytes))
    with pytest.raises(TargetError, match="cannot be reached") as raised:
        target.commit(b"", final=True)
    assert raised.value.retryable
    target.close()
    assert not [name for name in objects(s3, bucket) if "/users/" in name]
