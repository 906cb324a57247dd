"""A PostgreSQL server, with a database of its own for each test."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.servers.postgres import PostgresServer, postgres_server

from .database import Database


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture
def database(postgres: PostgresServer) -> Database:
    """A new, empty one."""
    name = f"d{secrets.token_hex(4)}"
    postgres.sql(f"CREATE DATABASE {name}")
    return Database(postgres, name)
