"""Jobs whose source is a reader of one's own: the example in Python, in this process and in one of its own."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from dativo_protocols import ConfigError

import dativo

READER = Path(__file__).parents[2] / "examples" / "python-reader" / "sqlite_tables.py"
REFERENCE = f"native:{READER}:SqliteTables"
DATIVO = Path(sys.executable).with_name("dativo")


def add(*rows: tuple[int, str, float | None]) -> None:
    with closing(sqlite3.connect("shop.sqlite")) as database, database:
        database.execute("CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, name TEXT, price REAL)")
        database.execute("CREATE TABLE IF NOT EXISTS empty (id INTEGER)")
        database.executemany("INSERT INTO orders VALUES (?, ?, ?)", rows)


def job(isolation: str, **parts: Any) -> dict[str, Any]:
    source = {"connector": REFERENCE, "config": {"path": "shop.sqlite"}, "isolation": isolation, **parts.pop("source", {})}
    if isolation == "sandbox":
        source["sandbox"] = {"files": ["shop.sqlite"]}
    return {"name": "shop", "source": source, "target": {"connector": "duckdb", "config": {"path": "shop.duckdb"}}, **parts}


def rows(query: str = "SELECT id, name, price FROM orders ORDER BY 1") -> list[tuple[Any, ...]]:
    with duckdb.connect("shop.duckdb", read_only=True) as database:
        return database.execute(query).fetchall()


def said(*arguments: str) -> Any:
    ended = subprocess.run([str(DATIVO), *arguments, "--json"], capture_output=True, text=True, check=True)
    return json.loads(ended.stdout)


isolated = pytest.mark.parametrize("isolation", ["in_process", "process", "sandbox"])


@isolated
def test_a_second_run_reads_what_came_since(isolation: str, project: Path) -> None:
    add((1, "a", 1.5), (2, "b", None))
    report = dativo.run(job(isolation))
    assert rows() == [(1, "a", 1.5), (2, "b", None)]
    assert {stream.stream: stream.rows_in for stream in report.streams} == {"empty": 0, "orders": 2}
    add((3, "c", 2.5))
    report = dativo.run(job(isolation))
    assert [stream.rows_in for stream in report.streams if stream.stream == "orders"] == [1]
    assert len(rows()) == 3


def test_the_state_of_one_way_to_run_it_serves_the_other(project: Path) -> None:
    add((1, "a", 1.5))
    dativo.run(job("in_process"))
    add((2, "b", None))
    report = dativo.run(job("process"))
    assert [stream.rows_in for stream in report.streams if stream.stream == "orders"] == [1]


@isolated
def test_streams_fields_and_types_are_those_of_the_job(isolation: str, project: Path) -> None:
    add((1, "a", 1.5))
    streams = {"orders": {"fields": ["name"], "types": {"id": "decimal(12,2)"}, "write": "append"}}
    dativo.run(job(isolation, source={"streams": streams}))
    columns = rows("SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'orders' ORDER BY 1")
    assert columns == [("id", "DECIMAL(12,2)"), ("name", "VARCHAR")]


@isolated
def test_a_contract_holds_for_arrow_data(isolation: str, project: Path) -> None:
    add((1, "a", 1.5))
    dativo.run(job(isolation, contract="freeze"))
    with closing(sqlite3.connect("shop.sqlite")) as database, database:
        database.execute("ALTER TABLE orders ADD COLUMN more TEXT")
        database.execute("INSERT INTO orders VALUES (2, 'b', 1, 'new')")
    with pytest.raises(dativo.ContractError, match="more"):
        dativo.run(job(isolation, contract="freeze", retry={"attempts": 1}))


@isolated
def test_a_plan_names_the_columns_that_a_run_will_make(isolation: str, project: Path) -> None:
    add((1, "a", 1.5))
    Path("jobs").mkdir()
    Path("jobs/shop.yaml").write_text(yaml.safe_dump(job(isolation)))
    (orders,) = [stream for stream in said("plan", "shop")["streams"] if stream["stream"] == "orders"]
    planned = {change["column"]: change["after"] for change in orders["changes"]}
    dativo.run(job(isolation))
    assert said("plan", "shop")["streams"][1]["changes"] == []
    assert list(planned) == ["id", "name", "price"]
    assert said("state", "show", "shop")


@pytest.mark.parametrize("isolation", ["in_process", "process"])
def test_the_command_line_asks_it(isolation: str, project: Path) -> None:
    add((1, "a", 1.5))
    how = (REFERENCE, "--isolation", isolation)
    assert "path" in json.dumps(said("spec", *how))
    assert said("check", *how, "--set", "path=shop.sqlite")["status"] == "SUCCEEDED"
    assert "orders" in json.dumps(said("discover", *how, "--set", "path=shop.sqlite"))


@isolated
def test_a_source_in_python(isolation: Any, project: Path) -> None:
    add((1, "a", 1.5), (2, "b", None))
    source = dativo.source(REFERENCE, {"path": "shop.sqlite"}, isolation=isolation, sandbox={"files": ["shop.sqlite"]})
    assert source.streams == ("empty", "orders")
    assert source.read("orders").to_arrow().column("id").to_pylist() == [1, 2]


@isolated
def test_a_wrong_configuration_has_exit_code_2(isolation: str, project: Path) -> None:
    add((1, "a", 1.5))
    with pytest.raises(ConfigError, match=r"there is no file `none.sqlite`\nhint: `path` is relative"):
        dativo.run(job(isolation, source={"config": {"path": "none.sqlite"}}))


@isolated
def test_a_custom_reader_takes_the_place_of_a_recipes_engine(isolation: str, project: Path) -> None:
    add((1, "a", 1.5))
    Path("connectors").mkdir()
    recipe = {"name": "shop-db", "version": "1", "default_engine": "singer", "config": {"path": "shop.sqlite"}}
    Path("connectors/shop-db.yaml").write_text(yaml.safe_dump({**recipe, "engines": {"singer": {"package": "tap-none==1"}}}))
    source = {"connector": "shop-db", "config": {}, "custom_reader": REFERENCE}
    dativo.run(job(isolation, source=source))
    assert rows() == [(1, "a", 1.5)]


def test_a_recipe_names_a_reader_beside_it(project: Path) -> None:
    add((1, "a", 1.5))
    Path("connectors").mkdir()
    Path("connectors/reader.py").write_text(READER.read_text())
    native = {"reader": "reader.py:SqliteTables", "isolation": "in_process"}
    recipe = {"name": "shop-db", "version": "1", "default_engine": "native", "engines": {"native": native}}
    Path("connectors/shop-db.yaml").write_text(yaml.safe_dump(recipe))
    dativo.run(job("in_process", source={"connector": "shop-db"}))
    assert rows() == [(1, "a", 1.5)]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"connector": "native:./x.py"}, "is no reader in"),
        ({"connector": "native:none"}, "there is no entry point `none`"),
        ({"connector": "native:none", "isolation": None}, "there is no entry point `none`"),
        ({"isolation": "in_process", "connector": "program:/bin/true"}, "always a process of its own"),
        ({"parallel": 2, "connector": "singer:tap-x", "isolation": None}, "reads everything at once"),
        ({"isolation": "sandbox", "connector": "singer:tap-x"}, "has no sandbox of that kind"),
        ({"runtime": "docker"}, "runs neither packages nor images"),
        ({"connector": f"native:{READER}:Nothing"}, "has no class `Nothing`"),
    ],
)
def test_what_cannot_be_is_an_error_of_the_job(source: dict[str, Any], message: str, project: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        dativo.run(job("in_process", source=source))
    assert message in caught.value.message


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example in C++."""
    if shutil.which("g++") is None:
        pytest.skip("no compiler")
    root, built = READER.parents[2], tmp_path_factory.mktemp("library") / "libsquares.so"
    options = ["-std=c++17", "-shared", "-fPIC", "-I", str(root / "sdk" / "include"), "-o", str(built)]
    subprocess.run(["g++", *options, str(root / "examples" / "cpp-reader" / "reader.cpp")], check=True)
    return built


@isolated
def test_a_shared_library_is_a_reader(isolation: Any, library: Path, project: Path) -> None:
    source = dativo.source(f"native:{library}", {"rows": 1000}, isolation=isolation)
    assert source.streams == ("squares",)
    assert source.read("squares").to_arrow().num_rows == 1000
