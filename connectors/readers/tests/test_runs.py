"""Jobs whose connector is one of the readers, from a file to a target."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.project import Project

from .files import WAYS


def orders(kind: str, path: Path, ids: Sequence[int]) -> None:
    rows = [{"id": number, "name": f"ö {number}", "amount": number / 4} for number in ids]
    if kind == "csv":
        path.write_text("id,name,amount\n" + "".join(f"{row['id']},{row['name']},{row['amount']}\n" for row in rows))
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=1000)


@pytest.mark.parametrize("way", WAYS)
def test_a_job_goes_on_with_new_files(project: Project, kind: str, way: str) -> None:
    (project.folder / "in").mkdir()
    orders(kind, project.folder / "in" / f"a.{kind}", range(3000))
    source: dict[str, Any] = {
        "connector": kind,
        "config": {"path": f"in/*.{kind}", "stream": "orders"},
        "streams": {"orders": {"mode": "incremental"}},
        **WAYS[way],
    }
    if kind == "parquet":
        source["streams"]["orders"]["cursor"] = "id"

    project.run(source)
    orders(kind, project.folder / "in" / f"b.{kind}", range(3000, 3100))
    os.utime(project.folder / "in" / f"b.{kind}", (4e9, 4e9))
    project.run(source)
    project.run(source)

    assert project.rows("select count(*), count(distinct id), sum(amount) from orders") == [(3100, 3100, sum(range(3100)) / 4)]
    assert project.rows("select name from orders where id = 3099") == [("ö 3099",)]


@pytest.mark.parametrize("isolation", ["in_process", "process"])
def test_two_at_a_time_give_the_same_rows_in_the_same_order(project: Project, kind: str, isolation: str) -> None:
    orders(kind, project.folder / f"data.{kind}", range(200_000))
    source = {"connector": kind, "config": {"path": str(project.folder / f"data.{kind}")}, "isolation": isolation, "parallel": 2}

    project.run(source, "parquet")

    assert [row["id"] for row in project.files("data")] == list(range(200_000))


def test_bad_rows_are_in_the_quarantine(project: Project) -> None:
    lines = [f"{number},many" if number % 10 == 3 else f"{number},{number}" for number in range(5000)]
    (project.folder / "data.csv").write_text("id,n\n" + "\n".join(lines))
    source = {"connector": "csv", "config": {"path": "data.csv", "types": {"n": "int64"}}}

    project.run(source, "parquet", on_bad_value="quarantine")

    assert [row["id"] for row in project.files("data")] == [number for number in range(5000) if number % 10 != 3]
    assert [row["line"] for row in project.rejected("data")] == [number + 2 for number in range(5000) if number % 10 == 3]
    project.run(source, "parquet", code=30, on_bad_value="fail", name="other")


def test_a_reader_has_in_a_sandbox_what_the_job_lets_it_have(project: Project) -> None:
    (project.folder / "in").mkdir()
    orders("csv", project.folder / "in" / "a.csv", range(10))
    source = {"connector": "csv", "isolation": "sandbox", "config": {"path": str(project.folder / "in" / "*.csv")}}

    project.run({**source, "sandbox": {"files": ["in"]}}, "parquet")
    assert len(project.files("data")) == 10
    project.run(source, "parquet", code=2, name="other")


def test_fields_and_types_of_the_job(project: Project, kind: str) -> None:
    orders(kind, project.folder / f"data.{kind}", range(10))
    streams = {"data": {"fields": ["id", "amount"], "types": {"amount": "string"}}}

    project.run({"connector": kind, "config": {"path": f"data.{kind}"}, "streams": streams})

    assert project.rows("select id, amount from data where id = 1") == [(1, "0.25")]
    assert not project.rows("select 1 from duckdb_columns() where table_name = 'data' and column_name = 'name'")


def test_the_command_of_the_page_says_what_it_shows(project: Project) -> None:
    (project.folder / "orders.csv").write_text("id,day,amount\n1,2026-01-31,9.50\n2,2026-02-01,12\n3,2026-02-02,\n")
    page = (Path(__file__).parents[3] / "docs" / "readers.md").read_text("utf-8")
    ((command, shown),) = re.findall(r"^```console\n\$ dativo (.*)\n((?:.*\n)*?)```", page, re.MULTILINE)

    assert project.dativo(*command.split()) == shown


@pytest.mark.parametrize("command", ["spec", "check", "discover"])
def test_recipes_are_asked(project: Project, kind: str, command: str) -> None:
    orders(kind, project.folder / f"data.{kind}", range(10))
    (project.folder / "config.json").write_text(json.dumps({"path": f"data.{kind}"}))
    options = [] if command == "spec" else ["--config", "config.json"]

    said = json.loads(project.dativo(command, kind, *options, "--json"))

    found: dict[str, Callable[[Any], bool]] = {
        "spec": lambda said: "path" in json.dumps(said),
        "check": lambda said: said["status"] == "SUCCEEDED",
        "discover": lambda said: "amount" in json.dumps(said),
    }
    assert found[command](said), said
