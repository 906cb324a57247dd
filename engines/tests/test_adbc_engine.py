"""A database through its ADBC driver: DuckDB's own, which needs no server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dativo_engines import Connector, EngineOptions, ReadCatalog, Selection, parse_reference
from dativo_engines.adbc import AdbcEngine
from dativo_protocols import Batch, ConfigError, Message, State, StreamId

from .readings import read_with, rows

ORDERS = StreamId("orders")


@pytest.fixture
def database(tmp_path: Path) -> str:
    path = str(tmp_path / "shop.duckdb")
    with duckdb.connect(path) as db:
        db.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, name VARCHAR, seen TIMESTAMP, price DECIMAL(10, 2))")
        db.execute(
            "INSERT INTO orders SELECT i, 'n' || i, TIMESTAMP '2026-01-01' + INTERVAL (i // 3) DAY, i / 4 FROM range(9) t(i)"
        )
        db.execute("CREATE VIEW cheap AS SELECT id, price FROM orders WHERE price < 1")
        db.execute("CREATE SCHEMA other; CREATE TABLE other.orders (x INTEGER)")
    return path


def engine(tmp_path: Path) -> AdbcEngine:
    name, connector = parse_reference("adbc:duckdb")
    assert name == "adbc"
    return AdbcEngine(connector, EngineOptions(tmp_path))


def config(database: str, **more: Any) -> dict[str, Any]:
    return {"options": {"path": database}, **more}


def read(
    tmp_path: Path, config: dict[str, Any], stream: StreamId = ORDERS, state: bytes | None = None, **chosen: Any
) -> list[Message]:
    reader = engine(tmp_path)
    return read_with(reader, config, ReadCatalog(reader.discover(config), {stream: Selection(**chosen)}), state)[0]


def last_state(messages: list[Message]) -> bytes:
    return [message.data for message in messages if isinstance(message, State)][-1]


def test_all_tables_and_views_are_offered_with_their_columns(database: str, tmp_path: Path) -> None:
    found = engine(tmp_path).discover(config(database))
    assert [stream.id for stream in found.streams] == [StreamId("cheap"), ORDERS, StreamId("orders", "other")]
    assert list(found.streams[1].json_schema["properties"]) == ["id", "name", "seen", "price"]
    assert engine(tmp_path).check(config(database)).succeeded


def test_a_table_is_read_whole(database: str, tmp_path: Path) -> None:
    found = read(tmp_path, config(database))
    assert sorted(row["id"] for row in rows(found)) == list(range(9))
    assert not [message for message in found if isinstance(message, State)]


def test_only_what_is_asked_for_is_selected_and_the_key(database: str, tmp_path: Path) -> None:
    found = rows(read(tmp_path, config(database, tables=["orders"]), fields=("name",)))
    assert set(found[0]) == {"id", "name"}


def test_a_query_is_a_stream(database: str, tmp_path: Path) -> None:
    found = config(database, queries={"sums": "SELECT sum(id) AS total FROM orders;"})
    assert [stream.id for stream in engine(tmp_path).discover(found).streams] == [StreamId("sums")]
    assert [int(row["total"]) for row in rows(read(tmp_path, found, StreamId("sums")))] == [36]


@pytest.mark.parametrize("cursor", ["id", "seen", "price"])
def test_a_cursor_reads_on_behind_the_last_value(cursor: str, database: str, tmp_path: Path) -> None:
    found = config(database, queries={"orders": {"sql": "SELECT * FROM orders", "cursor": cursor}})
    first = read(tmp_path, found)
    assert len(rows(first)) == 9
    assert rows(read(tmp_path, found, state=last_state(first))) == []
    with duckdb.connect(database) as db:
        db.execute("INSERT INTO orders VALUES (20, 'new', '2026-02-01', 99)")
    assert [row["id"] for row in rows(read(tmp_path, found, state=last_state(first)))] == [20]


def test_with_a_key_the_last_value_is_read_again(database: str, tmp_path: Path) -> None:
    found = config(database, tables={"orders": {"cursor": "seen", "primary_key": ["id"]}})
    first = read(tmp_path, found)
    assert [row["id"] for row in rows(read(tmp_path, found, state=last_state(first)))] == [6, 7, 8]


def test_a_state_never_lies_between_rows_of_one_value(database: str, tmp_path: Path) -> None:
    import pyarrow as pa
    from dativo_engines.adbc._cursor import CursorBatches

    batches = [pa.record_batch({"at": each}) for each in ([None, 1], [1, 1], [1, 2, 2], [2, 3])]
    cut = CursorBatches("at", pa.int64(), inclusive=False).cut(batches)
    assert [(batch["at"].to_pylist(), value) for batch, value in cut] == [
        ([None], None),
        ([1, 1, 1, 1], "1"),
        ([2, 2, 2], "2"),
        ([3], "3"),
    ]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"driver": "none"}, "there is no ADBC driver `none`"),
        ({"tables": {"orders": {"cursor": "nam"}}}, "stream `orders` has no column `nam`"),
        ({"queries": {"q": "SELECT FROM WHERE"}}, "the query failed"),
        ({"tables": ["nothing"]}, "the query failed"),
        ({"columns": 1}, "`columns`"),
    ],
)
def test_what_is_wrong_is_said(wrong: dict[str, Any], message: str, database: str, tmp_path: Path) -> None:
    status = engine(tmp_path).check(config(database, **wrong))
    assert not status.succeeded
    assert message in status.message


def test_the_reader_runs_in_a_process_of_its_own_as_well(database: str, tmp_path: Path) -> None:
    connector = Connector("adbc:duckdb", reader="duckdb", isolation="process")
    reader = AdbcEngine(connector, EngineOptions(tmp_path, tmp_dir=tmp_path / "private"))
    catalog = ReadCatalog(reader.discover(config(database)), {ORDERS: Selection()})
    messages, reading = read_with(reader, config(database), catalog, None)
    assert (len(rows(messages)), reading.rows_in) == (9, {ORDERS: 9})
    assert {type(message.data).__name__ for message in messages if isinstance(message, Batch)} == {"ArrowBatch"}


def test_secrets_are_marked_in_the_spec(tmp_path: Path) -> None:
    assert engine(tmp_path).spec().config_schema["properties"]["uri"]["airbyte_secret"] is True


def test_a_reference_names_a_driver() -> None:
    with pytest.raises(ConfigError, match="no ADBC driver"):
        parse_reference("adbc:a driver")
    assert json.dumps(parse_reference("adbc:postgresql")[1].reader) == '"postgresql"'
