"""The readers are taps of the real meltano, which loads what they read with real targets: nothing of Dativo runs beside them."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from . import goods
from .database import Database
from .hosts import INSTALL_SECONDS, Meltano, built, python_reader, records

pytestmark = [pytest.mark.network, pytest.mark.xdist_group("meltano"), pytest.mark.timeout(INSTALL_SECONDS)]

FIELDS = ("id", "name", "flag", "day", "at")
SQLITE = Path(__file__).parents[3] / "examples" / "python-reader" / "sqlite_tables.py"


def test_files_are_loaded_once_and_new_ones_when_they_come(tmp_path: Path) -> None:
    goods.write_csv(tmp_path / "goods-1.csv.gz", goods.ROWS)
    config = {"path": "goods-*.csv*", "primary_key": ["id"]}
    meltano = Meltano(tmp_path, built("dativo-csv"), config, select=["goods.*", "!goods.price"])
    assert meltano.select()["goods.price"] == "excluded"
    assert meltano.select()["goods.id"] == "automatic"
    for _ in range(2):
        meltano.run()
        assert goods.as_rows(meltano.loaded("goods"), *FIELDS) == [{name: row[name] for name in FIELDS} for row in goods.ROWS]
        assert all("price" not in record for record in meltano.loaded("goods"))
    goods.write_csv(tmp_path / "goods-2.csv", [goods.NEW])
    meltano.run()
    assert goods.as_rows(meltano.loaded("goods")[3:], *FIELDS) == [{name: goods.NEW[name] for name in FIELDS}]


def test_values_arrive_as_they_are_in_every_kind_of_file(tmp_path: Path) -> None:
    # CSV is in the test above.
    for program, write in (("jsonl", goods.write_jsonl), ("parquet", goods.write_parquet)):
        folder = tmp_path / program
        folder.mkdir()
        write(folder / f"goods.{program}", goods.ROWS)
        meltano = Meltano(folder, built(f"dativo-{program}"), {"path": f"goods.{program}"}, select=["goods.*"])
        said = meltano.invoke()
        assert goods.as_rows(records(said)) == goods.ROWS
        assert [message["type"] for message in said] == ["SCHEMA", *["RECORD"] * 3, "STATE"]


def test_a_file_that_is_broken_fails_the_run(tmp_path: Path) -> None:
    goods.write_csv(tmp_path / "goods.csv", goods.ROWS)
    with (tmp_path / "goods.csv").open("a") as file:
        file.write("5,too,few\n")
    said = Meltano(tmp_path, built("dativo-csv"), {"path": "goods.csv"}, select=["*.*"])("run", "tap", "target-jsonl", fails=True)
    assert "1 row of `goods` could not be read" in said


@pytest.mark.server
def test_a_table_is_loaded_once_and_then_what_is_newer(database: Database, tmp_path: Path) -> None:
    with database.connect() as connection:
        connection.execute(goods.TABLE)
        goods.insert(connection, goods.ROWS, goods.MORE)
    incremental = {"public-goods": {"replication-method": "INCREMENTAL", "replication-key": "at"}}
    choices = {"select": ["public-goods.*", "!public-goods.secret"], "metadata": incremental}
    meltano = Meltano(tmp_path, built("dativo-postgres"), database.config(boundary="exclusive"), **choices)

    for _ in range(2):
        meltano.run()
        loaded = meltano.loaded("public-goods")
        assert goods.as_rows(loaded) == sorted(goods.ROWS, key=lambda row: row["id"])
    assert loaded[0]["doc"] == goods.MORE["doc"]
    assert "secret" not in loaded[0]
    with database.connect() as connection:
        goods.insert(connection, [goods.NEW])
        connection.execute("UPDATE goods SET name = 'changed', at = '2026-03-01Z' WHERE id = 1")
    meltano.run()
    assert [(row["id"], row["name"]) for row in meltano.loaded("public-goods")[3:]] == [(4, "new"), (1, "changed")]


@pytest.mark.server
def test_values_of_a_table_are_exact(database: Database, tmp_path: Path) -> None:
    with database.connect() as connection:
        connection.execute(goods.TABLE)
        goods.insert(connection, goods.ROWS, goods.MORE)
    meltano = Meltano(tmp_path, built("dativo-postgres"), database.config(), select=["public-goods.*"])
    said = meltano("invoke", "tap")
    lines = [json.loads(line, parse_float=str) for line in said.splitlines() if line.startswith('{"type":"RECORD"')]
    more = {"exact": "123456789012345678.90", "loose": "0.00000000000000000001", "raw": "AP8="}
    doc = {**goods.MORE["doc"], "a": "1.5"}
    row = lines[0]["record"]
    assert row == {**goods.in_json(goods.ROWS[0]), "price": "1.5", "at": row["at"], **goods.MORE, "doc": doc, **more}
    assert goods.as_rows(records([json.loads(line) for line in said.splitlines() if '"RECORD"' in line])) == goods.ROWS


def test_a_reader_in_python_is_a_tap_too(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "shop.sqlite")
    database.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, name TEXT, price REAL)")
    rows = [(1, "plain", 1.5), (2, "東京", None)]
    database.executemany("INSERT INTO orders VALUES (?, ?, ?)", rows)
    database.commit()
    meltano = Meltano(tmp_path, python_reader(tmp_path, f"{SQLITE}:SqliteTables"), {"path": "shop.sqlite"}, select=["orders.*"])
    for _ in range(2):
        meltano.run()
        assert [tuple(row.values()) for row in meltano.loaded("orders")] == rows
    database.execute("INSERT INTO orders VALUES (3, 'new', 0.25)")
    database.commit()
    database.close()
    meltano.run()
    assert [tuple(row.values()) for row in meltano.loaded("orders")] == [*rows, (3, "new", 0.25)]
