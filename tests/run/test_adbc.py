"""A real PostgreSQL, read through its ADBC driver."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

import dativo
from tests.servers.postgres import PostgresServer, postgres_server

TABLE = """
CREATE TABLE orders (
    id integer PRIMARY KEY, name text, price numeric(12, 3), seen timestamptz, day date, data jsonb, tags text[], raw bytea,
    ok boolean
);
INSERT INTO orders
SELECT i, 'name ' || i, i / 8.0, timestamptz '2026-01-01 00:00:00+02' + i * interval '1 hour', date '2026-01-01' + i,
       jsonb_build_object('i', i), array['a', null], '\\x00ff', i % 2 = 0
FROM generate_series(1, 1000) AS i;
CREATE SCHEMA sales;
CREATE TABLE sales.customers (x bigint);
CREATE VIEW late AS SELECT * FROM orders WHERE id > 990;
"""


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        server.sql(TABLE)
        yield server


def job(postgres: PostgresServer, config: dict[str, Any], **source: Any) -> dict[str, Any]:
    source = {"connector": "adbc:postgresql", "config": {"uri": postgres.url(), **config}, **source}
    return {"name": "shop", "source": source, "target": {"connector": "duckdb", "config": {"path": "shop.duckdb"}}}


def rows(query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect("shop.duckdb", read_only=True) as database:
        return database.execute(query).fetchall()


def test_tables_and_views_are_offered_with_their_keys(postgres: PostgresServer) -> None:
    found = dativo.source("adbc:postgresql", {"uri": postgres.url()}).discover()
    assert [(str(stream.id), stream.primary_key) for stream in found.streams] == [
        ("late", ()),
        ("orders", ("id",)),
        ("sales.customers", ()),
    ]


@pytest.mark.parametrize("isolation", ["in_process", "process"])
def test_a_table_is_merged_by_its_key_and_read_on_by_its_cursor(isolation: str, postgres: PostgresServer, project: Path) -> None:
    config = {"tables": {"orders": {"cursor": "seen"}}}
    dativo.run(job(postgres, config, isolation=isolation))
    assert rows("SELECT count(*), count(DISTINCT id), max(price)::VARCHAR, max(day)::VARCHAR FROM orders") == [
        (1000, 1000, "125.000", "2028-09-27")
    ]
    assert rows("SELECT name, seen AT TIME ZONE 'UTC' = TIMESTAMP '2025-12-31 23:00:00', raw, ok FROM orders WHERE id = 1") == [
        ("name 1", True, b"\x00\xff", False)
    ]
    report = dativo.run(job(postgres, config, isolation=isolation))
    # The row at the cursor's last value comes again.
    assert (report.streams[0].rows_in, rows("SELECT count(*) FROM orders")) == (1, [(1000,)])


def test_a_wrong_password_says_so(postgres: PostgresServer, project: Path) -> None:
    source = dativo.source("adbc:postgresql", {"uri": postgres.url(password="wrong")})
    status = source.check()
    assert (status.succeeded, "cannot connect" in status.message, "wrong" in status.message) == (False, True, False)
