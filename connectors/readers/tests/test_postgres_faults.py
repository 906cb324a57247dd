"""Servers that end, tables that go, statements that are ended: what the reader says, and whether to try again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from dativo_protocols import ConfigError, ConnectorError, StreamId
from dativo_sdk import Selection

from tests.servers.postgres import PostgresServer, postgres_server

from .database import Database, by, drain

MANY = "CREATE TABLE t AS SELECT i AS id, repeat('x', 500) AS v FROM generate_series(1, 100000) i; ALTER TABLE t ADD UNIQUE (id)"
WHOLE = {"t": Selection(replication_method="FULL_TABLE")}


@pytest.fixture(scope="module")
def mortal() -> Iterator[PostgresServer]:
    """A server that may be killed."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def doomed(mortal: PostgresServer) -> Database:
    name = f"d{time.monotonic_ns()}"
    mortal.sql(f"CREATE DATABASE {name}")
    return Database(mortal, name)


def failure(reader: Any) -> ConnectorError | ConfigError:
    with pytest.raises((ConnectorError, ConfigError)) as caught:
        drain(reader)
    return caught.value


def test_a_server_killed_in_the_midst_is_a_reason_to_try_again(doomed: Database) -> None:
    doomed.sql(MANY)
    with doomed.reader(doomed.catalog({"t": by("id")})) as reader:
        first = drain(reader, max_rows=1000, stop_after=3)
        doomed.server.kill()
        try:
            error = failure(reader)
        finally:
            doomed.server.start()
    assert isinstance(error, ConnectorError)
    assert error.retryable
    assert "was lost" in str(error) or "57P0" in str(error)
    second = doomed.read({"t": by("id")}, first.state)
    assert first.column("t", "id") + second.column("t", "id") == list(range(1, 100_001))


@pytest.mark.parametrize("how", ["pg_terminate_backend", "pg_cancel_backend"])
def test_a_session_that_is_ended_says_so(database: Database, how: str) -> None:
    database.sql(MANY)
    with database.reader(database.catalog(WHOLE)) as reader:
        drain(reader, max_rows=1000, stop_after=1)
        database.sql(f"SELECT {how}(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
        error = failure(reader)
    assert isinstance(error, ConnectorError)
    assert error.retryable == (how == "pg_terminate_backend")


def test_a_statement_that_takes_too_long_is_ended(database: Database) -> None:
    queries = {"q": {"sql": "SELECT 1 AS v, pg_sleep(20)::text AS w"}}
    catalog = database.catalog({".q": Selection()}, queries=queries)
    with database.reader(catalog, queries=queries, statement_timeout=1) as reader:
        error = failure(reader)
    assert "raise `statement_timeout`" in str(error.hint)
    assert not error.retryable


def test_a_table_that_is_gone_is_named(database: Database) -> None:
    database.sql("CREATE TABLE t AS SELECT 1 AS id; CREATE TABLE u AS SELECT 1 AS id")
    catalog = database.catalog({"t": by("id"), "u": Selection()})
    database.sql("DROP TABLE u")
    with database.reader(catalog) as reader:
        error = failure(reader)
    assert "stream `public.u` is not there" in str(error) or "`u`" in str(error)


def test_a_table_that_goes_before_its_turn_is_named(database: Database) -> None:
    """The catalog is asked without a lock on what is to be read."""
    database.sql(MANY.replace("TABLE t", "TABLE a") + "; CREATE TABLE b AS SELECT 1 AS id")
    with database.reader(database.catalog(["a", "b"])) as reader:
        drain(reader, max_rows=1000, stop_after=1)
        database.sql("SET lock_timeout = '5s'; DROP TABLE b")
        error = failure(reader)
    assert isinstance(error, ConnectorError)
    assert "cannot read stream `public.b`" in str(error)
    assert "42P01" in str(error)


def test_a_reader_that_is_closed_early_frees_the_server(database: Database) -> None:
    queries = {"q": {"sql": "SELECT generate_series(1, 200000000) AS id"}}
    catalog = database.catalog({".q": Selection()}, queries=queries)
    with database.reader(catalog, queries=queries) as reader:
        drain(reader, max_rows=10, stop_after=1)
    deadline = time.monotonic() + 10
    busy = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    while database.sql(busy) != [(0,)]:
        assert time.monotonic() < deadline, "the query goes on"
        time.sleep(0.05)


def test_a_value_of_a_gigabyte_is_an_error_and_not_a_crash(database: Database) -> None:
    database.sql("CREATE TABLE t (v bytea); INSERT INTO t SELECT decode(repeat('ab', 100000000), 'hex')")
    with pytest.raises(ConnectorError, match="longer than"):
        database.read(["t"], max_row_bytes=50 << 20)
    found = database.read(["t"])
    (batch,) = found.batches[StreamId("t", "public")]
    assert batch.column("v")[0].as_buffer().size == 100_000_000
