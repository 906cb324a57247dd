"""The readers are sources of the real PyAirbyte, which checks them and reads them into its DuckDB cache."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC
from operator import itemgetter
from pathlib import Path
from typing import Any

import duckdb
import pytest

from . import goods
from .database import Database
from .hosts import INSTALL_SECONDS, PyAirbyte, built, python_reader
from .test_under_meltano import SQLITE

pytestmark = [pytest.mark.network, pytest.mark.xdist_group("pyairbyte"), pytest.mark.timeout(INSTALL_SECONDS)]


ID = itemgetter("id")


@pytest.fixture(scope="module")
def airbyte(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PyAirbyte]:
    host = PyAirbyte(tmp_path_factory.mktemp("pyairbyte"))
    yield host
    host.close()


def cached(cache: Path, stream: str) -> list[dict[str, Any]]:
    """The rows of a stream in PyAirbyte's cache, without its own columns. It keeps moments without their zone, and no floats."""
    with duckdb.connect(cache) as database:
        rows = database.sql(f"FROM main.{stream} ORDER BY id").to_arrow_table().to_pylist()
    said = [{name: value for name, value in row.items() if not name.startswith("_airbyte")} for row in rows]
    return [{name: restored(name, value) for name, value in row.items()} for row in said]


def restored(name: str, value: Any) -> Any:
    if value is None:
        return None
    return {"price": float, "at": lambda at: at.replace(tzinfo=UTC)}.get(name, lambda value: value)(value)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_files_are_read_once_and_new_ones_when_they_come(airbyte: PyAirbyte, tmp_path: Path, kind: str) -> None:
    write = {"csv": goods.write_csv, "jsonl": goods.write_jsonl, "parquet": goods.write_parquet}[kind]
    write(tmp_path / f"goods-1.{kind}", goods.ROWS)
    program, config = built(f"dativo-{kind}"), {"path": f"{tmp_path}/goods-*.{kind}", "primary_key": ["id"]}
    assert "path" in airbyte("spec", program, config)["properties"]
    airbyte("check", program, config)
    assert airbyte("streams", program, config) == ["goods"]
    cache = tmp_path / "cache.duckdb"
    reads = [airbyte("read", program, config, streams=["goods"], cache=str(cache)) for _ in range(2)]
    assert reads == [3, 0]
    assert cached(cache, "goods") == sorted(goods.ROWS, key=ID)
    write(tmp_path / f"goods-2.{kind}", [goods.NEW])
    assert airbyte("read", program, config, streams=["goods"], cache=str(cache)) == 1
    assert cached(cache, "goods") == sorted([*goods.ROWS, goods.NEW], key=ID)


def test_what_is_wrong_with_a_configuration_is_said(airbyte: PyAirbyte, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no file matches"):
        airbyte("check", built("dativo-csv"), {"path": f"{tmp_path}/none*.csv"})


@pytest.mark.server
def test_a_table_is_read_once_and_then_what_is_newer(airbyte: PyAirbyte, database: Database, tmp_path: Path) -> None:
    with database.connect() as connection:
        connection.execute(goods.TABLE)
        goods.insert(connection, goods.ROWS, goods.MORE)
    program, config = built("dativo-postgres"), database.config(boundary="exclusive")
    airbyte("check", program, config)
    assert airbyte("streams", program, config) == ["goods"]
    cache = tmp_path / "cache.duckdb"
    how = {"streams": ["goods"], "cursors": {"goods": "at"}, "cache": str(cache)}
    assert [airbyte("read", program, config, **how) for _ in range(2)] == [3, 0]
    rows = cached(cache, "goods")
    assert [{name: row[name] for name in goods.ROWS[0]} for row in rows] == sorted(goods.ROWS, key=ID)
    more = {name: rows[0][name] for name in ("uid", "secret")}
    assert more == {name: goods.MORE[name] for name in more}
    assert [json.loads(rows[0][name]) for name in ("doc", "tags")] == [goods.MORE["doc"], goods.MORE["tags"]]
    with database.connect() as connection:
        goods.insert(connection, [goods.NEW])
        connection.execute("UPDATE goods SET name = 'changed', at = '2026-03-01Z' WHERE id = 1")
    assert airbyte("read", program, config, **how) == 2
    assert [(row["id"], row["name"]) for row in cached(cache, "goods")][::2] == [(1, "changed"), (4, "new")]


@pytest.mark.server
def test_a_wrong_password_fails_the_check_and_is_not_shown(airbyte: PyAirbyte, database: Database) -> None:
    with pytest.raises(RuntimeError, match="password authentication failed") as failed:
        airbyte("check", built("dativo-postgres"), database.config(password="w0rse"))
    assert "w0rse" not in str(failed.value)


def test_a_reader_in_python_is_a_source_too(airbyte: PyAirbyte, tmp_path: Path) -> None:
    rows = [{"id": 1, "name": "plain", "price": 1.5}, {"id": 2, "name": "東京", "price": None}]
    database = sqlite3.connect(tmp_path / "shop.sqlite")
    database.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, name TEXT, price REAL)")
    database.executemany("INSERT INTO orders VALUES (:id, :name, :price)", rows)
    database.commit()
    program, config = python_reader(tmp_path, f"{SQLITE}:SqliteTables"), {"path": str(tmp_path / "shop.sqlite")}
    airbyte("check", program, config)
    how = {"streams": ["orders"], "cache": str(tmp_path / "cache.duckdb")}
    assert [airbyte("read", program, config, **how) for _ in range(2)] == [2, 0]
    assert cached(tmp_path / "cache.duckdb", "orders") == rows
    database.execute("INSERT INTO orders VALUES (3, 'new', 0.25)")
    database.commit()
    database.close()
    assert airbyte("read", program, config, **how) == 1
