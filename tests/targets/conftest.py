"""An S3 server for the file targets and a PostgreSQL, one each a test process."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dativo.keys._local import add_key
from tests.servers.postgres import PostgresServer, postgres_server
from tests.servers.seaweedfs import S3Server, seaweedfs


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    with seaweedfs() as server:
        yield server


@pytest.fixture
def bucket(s3: S3Server) -> dict[str, Any]:
    """A target's configuration: an empty folder of the server's bucket, and few retries, for tests are impatient."""
    return {
        "path": f"s3://{s3.bucket}/{secrets.token_hex(6)}/shop",
        "storage_options": {
            "endpoint": s3.endpoint,
            "allow_http": True,
            "access_key_id": s3.access_key,
            "secret_access_key": s3.secret_key,
            "max_retries": 3,
            "retry_timeout_seconds": 5,
        },
    }


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Any]:
    """An `encryption` with keys `footer` and `pii` in a file."""
    file = tmp_path / "keys.json"
    for key_id in ("footer", "pii"):
        add_key(file, key_id)
    return {"kms": {"type": "local", "file": str(file)}, "footer_key": "footer", "audit": str(tmp_path / "audit.jsonl")}


@pytest.fixture
def by_column(keys: dict[str, Any]) -> dict[str, Any]:
    return {**keys, "column_keys": {"pii": ["email"]}, "quarantine_key": "pii"}
