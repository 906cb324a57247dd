"""The jobs in the pages about readers and writers of one's own run as they stand there."""

from __future__ import annotations

import os
import re
import shlex
import sqlite3
import subprocess
import sys
import time
from base64 import b64encode
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from dativo_engines.adbc._config import AdbcConfig

import dativo
from dativo._job import load_job

ROOT = Path(__file__).parents[2]


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def shop(project: Path) -> Path:
    """A project with a database, and the examples beside it."""
    (project / "examples").symlink_to(ROOT / "examples")
    with closing(sqlite3.connect("shop.sqlite")) as database, database:
        database.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, name TEXT)")
        database.execute("INSERT INTO orders VALUES (1, 'a'), (2, 'b')")
    return project


def rows() -> list[Any]:
    with duckdb.connect("shop.duckdb", read_only=True) as database:
        return database.execute("SELECT id, name FROM orders ORDER BY id").fetchall()


def test_the_reader(shop: Path) -> None:
    dativo.run(yaml.safe_load(blocks("native.md", "yaml")[0]))
    assert rows() == [(1, "a"), (2, "b")]


def test_the_writer(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_KEY", b64encode(bytes(32)).decode())
    Path("out").mkdir()
    (target,) = [block for block in blocks("native.md", "yaml") if block.startswith("target:")]
    dativo.run({**yaml.safe_load(blocks("native.md", "yaml")[0]), **yaml.safe_load(target)})
    assert len(list(Path("out/shop/orders").glob("*.aes"))) == 1


def test_the_server(shop: Path) -> None:
    location = f"{shop.parent}/shop.sock"
    command = blocks("flight.md", "console")[0].removeprefix("$ ").replace("/tmp/shop.sock", location)
    program, *arguments = shlex.split(command)
    assert program == "python"
    server = subprocess.Popen([sys.executable, *arguments])
    try:
        for _ in range(200):
            if os.path.exists(location):
                break
            time.sleep(0.1)
        dativo.run(yaml.safe_load(blocks("flight.md", "yaml")[0].replace("/tmp/shop.sock", location)))
    finally:
        server.terminate()
        server.wait(20)
    assert rows() == [(1, "a"), (2, "b")]


def test_the_database(shop: Path) -> None:
    job = load_job(yaml.safe_load(blocks("adbc.md", "yaml")[0]), environment={"SHOP_DB": "postgresql://x"})
    assert (job.connector.engine, job.connector.connector.reader) == ("adbc", "postgresql")
    config = AdbcConfig.model_validate(job.source_config)
    assert list(config.tables or ()) == ["orders", "sales.customers"]
    assert list(config.queries) == ["totals"]


def test_every_key_of_the_databases_configuration_is_documented() -> None:
    page = (ROOT / "docs" / "adbc.md").read_text(encoding="utf-8")
    assert [key for key in AdbcConfig.model_fields if not re.search(rf"\b{key}\b", page)] == []
