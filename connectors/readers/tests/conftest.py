"""A PostgreSQL server, with a database of its own for each test; an S3 server; projects; readers of files, in both forms."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.project import Project
from tests.servers.postgres import PostgresServer, postgres_server
from tests.servers.seaweedfs import S3Server, seaweedfs

from .database import Database
from .files import CLASSES, PROGRAMS


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    with seaweedfs() as server:
        yield server


@pytest.fixture
def database(postgres: PostgresServer) -> Database:
    """A new, empty one."""
    name = f"d{secrets.token_hex(4)}"
    postgres.sql(f"CREATE DATABASE {name}")
    return Database(postgres, name)


@pytest.fixture(params=["class", "program"])
def way(request: pytest.FixtureRequest) -> Mapping[str, type[Any]]:
    """The readers of files, as classes of this process and as programs."""
    return CLASSES if request.param == "class" else PROGRAMS


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture(params=["csv", "jsonl", "parquet"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)
