"""What a run would do, before it does it; and that looking leaves nothing behind."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DATIVO = Path(sys.executable).with_name("dativo")
TARGETS = {
    "duckdb": {"connector": "duckdb", "config": {"path": "out/shop.duckdb"}},
    "parquet": {"connector": "parquet", "config": {"path": "out/files"}},
}


def plan(*arguments: str, code: int = 0) -> dict[str, Any]:
    ended = subprocess.run([str(DATIVO), "plan", "shop", "--json", *arguments], capture_output=True, text=True)
    assert ended.returncode == code, ended.stderr
    return json.loads(ended.stdout)


def run() -> None:
    ended = subprocess.run([str(DATIVO), "run", "shop"], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def everything(folder: Path) -> dict[str, str]:
    """All files below the folder, and what is in them."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "directory"
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture(params=TARGETS)
def job(request: pytest.FixtureRequest, project: Path, tap: Any) -> dict[str, Any]:
    Path("jobs").mkdir()
    job = tap.job(dict(TARGETS[request.param]), retry={"attempts": 1})
    job["source"]["config"]["catalog"] = None
    return job


def offer(job: dict[str, Any], tap: Any, *schemas: dict[str, Any], rows: list[dict[str, Any]] | None = None) -> None:
    tap.offers(*schemas)
    tap.says(*schemas, *(rows or []))
    job["source"]["config"] = tap.config
    Path("jobs/shop.yaml").write_text(json.dumps(job))


def test_a_plan_changes_nothing(job: dict[str, Any], tap: Any, say: Any, project: Path) -> None:
    offer(job, tap, say.schema("orders", ["id"], id="integer"))
    before = everything(project)

    first = plan()
    assert everything(project) == before
    run()
    before = everything(project)
    second = plan()

    assert everything(project) == before
    assert [first["streams"][0]["action"], second["streams"][0]["action"]] == ["create", "keep"]


def test_new_columns_and_wider_types_are_shown(job: dict[str, Any], tap: Any, say: Any) -> None:
    offer(job, tap, say.schema("orders", id="integer", price="integer"), rows=[say.record("orders", id=1, price=2)])
    job["target"]["write"] = "append"
    offer(job, tap, say.schema("orders", id="integer", price="integer"), rows=[say.record("orders", id=1, price=2)])
    run()
    offer(job, tap, say.schema("orders", id="integer", price="number", note="string"))

    (orders,) = plan()["streams"]

    assert (orders["action"], orders["write"], orders["rows"]) == ("alter", "append", 1)
    assert [(each["column"], each["before"], each["after"]) for each in orders["changes"]] == [
        ("price", "int64", "float64"),
        ("note", None, "string"),
    ]
    run()
    assert plan()["streams"][0]["action"] == "keep"


def test_a_broken_contract_is_known_beforehand(job: dict[str, Any], tap: Any, say: Any) -> None:
    offer(job, tap, say.schema("orders", id="integer"))
    run()
    job["contract"] = "freeze"
    offer(job, tap, say.schema("orders", id="integer", note="string"))

    (orders,) = plan(code=30)["streams"]

    assert orders["action"] == "refuse"
    assert "column `note` (string) is new" in orders["problem"]


def test_an_overwrite_that_takes_columns_away(job: dict[str, Any], tap: Any, say: Any) -> None:
    job["target"]["write"] = "overwrite"
    offer(job, tap, say.schema("orders", id="integer", note="string"), rows=[say.record("orders", id=1)])
    run()
    offer(job, tap, say.schema("orders", id="integer"))

    (orders,) = plan()["streams"]

    assert [(each["kind"], each["column"], each["before"], each["after"]) for each in orders["changes"]] == [
        ("column", "note", "string", None)
    ]


def test_the_plan_for_a_person(job: dict[str, Any], tap: Any, say: Any) -> None:
    offer(job, tap, say.schema("orders", ["id"], id="integer", note="string"))

    shown = subprocess.run([str(DATIVO), "plan", "shop"], capture_output=True, text=True).stdout

    how = " -> main.orders: merge, key (id)" if job["target"]["connector"] == "duckdb" else ": append, key (id)"
    assert shown.splitlines() == [
        f"default/shop into {job['target']['connector']}, from the beginning",
        "",
        f"+ orders{how}",
        "    + id  int64",
        "    + note  string",
        "",
        "tables: 1 to create",
    ]
