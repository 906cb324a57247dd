"""What a job asks of every target alike: columns about its rows, and rejected rows that are mended and loaded again."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import dativo
from dativo.keys._local import add_key
from tests.crash.matrix.places import PLACES, Place, opened
from tests.keys.loading import MARK, leaks

DATIVO = Path(sys.executable).with_name("dativo")
FILES = ("parquet", "jsonl", "csv", "arrow")
SERVERS = ("postgres", "s3", "iceberg_rest")
TARGETS = [
    *(pytest.param(name, marks=pytest.mark.server) if name in SERVERS else name for name in PLACES),
    *(f"{name}, encrypted" for name in FILES),
]


class Target:
    """A place, with encryption perhaps."""

    def __init__(self, place: Place, folder: Path, keys: dict[str, Any] | None) -> None:
        self.place, self.folder, self.keys = place, folder, keys

    def job(self, tap: Any, **target: Any) -> dict[str, Any]:
        config = {**self.place.config(self.folder), **({"encryption": self.keys} if self.keys else {})}
        target = {"connector": self.place.connector, "config": config, "write": "append", **target}
        return dict(tap.job(target))

    def rows(self) -> list[dict[str, Any]]:
        """Of the table `orders`, as others read it; JSON as values."""
        table = self._encrypted() if self.keys else self.place.tables(self.folder)["orders"]
        return sorted(table.to_pylist(), key=lambda row: row["id"])

    def _encrypted(self) -> pa.Table:
        return dativo.dataset(self.place.config(self.folder)["path"], keys=self.keys)["orders"].to_arrow()


@pytest.fixture(scope="module")
def places() -> Iterator[Mapping[str, Place]]:
    """Each opened once."""
    with contextlib.ExitStack() as stack:

        class Opened(dict[str, Place]):
            def __missing__(self, name: str) -> Place:
                self[name] = stack.enter_context(opened(name))
                return self[name]

        yield Opened()


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest, places: Mapping[str, Place], project: Path) -> Target:
    name, _, encrypted = request.param.partition(", ")
    if not encrypted:
        return Target(places[name], project, None)
    file = project.parent / "keys.json"
    for key in ("footer", "rejected"):
        add_key(file, key)
    keys = {"kms": {"type": "local", "file": str(file)}, "footer_key": "footer", "quarantine_key": "rejected"}
    return Target(places[name], project, keys)


def value(json_text: Any) -> Any:
    """Some readers give JSON as text, others as what it says."""
    return json.loads(json_text) if isinstance(json_text, str) else json_text


def test_columns_about_rows(target: Target, tap: Any, say: Any) -> None:
    shape = say.schema("orders", ["id"], id="integer", price="number")
    tap.offers(shape)
    extracted = {"time_extracted": "2024-05-06T09:08:09.5+02:00"}
    tap.says(shape, {**say.record("orders", id=1, price=1.5, note="x"), **extracted}, say.record("orders", id=2, price="free"))
    job = {**target.job(tap, metadata=["loaded_at", "run_id", "extracted_at"]), "on_bad_value": "null"}
    began = dt.datetime.now(dt.UTC)

    report = dativo.run(job)

    first, second = target.rows()
    assert [(row["id"], row["price"]) for row in (first, second)] == [(1, 1.5), (2, None)]
    assert value(first["_dativo_extra"]) == {"note": "x"}
    assert [each["column"] for each in value(second["_dativo_changes"])] == ["price"]
    assert (second["_dativo_extra"], first["_dativo_changes"], second["_dativo_extracted_at"]) == (None, None, None)
    assert first["_dativo_extracted_at"] == dt.datetime(2024, 5, 6, 7, 8, 9, 500_000, dt.UTC)
    for row in (first, second):
        assert row["_dativo_run_id"] == report.run_id
        assert began - dt.timedelta(seconds=2) <= row["_dativo_loaded_at"] <= dt.datetime.now(dt.UTC)


class Commands:
    """The command line in the project's folder."""

    def __call__(self, *arguments: str) -> Any:
        ended = subprocess.run([str(DATIVO), *arguments, "--json"], capture_output=True, text=True)
        assert ended.returncode == 0, f"{arguments} exited {ended.returncode}\n{ended.stdout}\n{ended.stderr}"
        return json.loads(ended.stdout) if ended.stdout.strip() else None

    def quarantine(self) -> dict[str, int]:
        return {each["stream"]: each["rows"] for each in self("quarantine", "list", "shop")["streams"]}


def test_rejected_rows_are_mended_and_loaded_once(target: Target, tap: Any, say: Any) -> None:
    shape = say.schema("orders", ["id"], id="integer", price="number", note="string")
    tap.offers(shape)
    tap.says(
        shape,
        say.record("orders", id=1, price=1.5, note=MARK),
        say.record("orders", id=2, price="2.50 EUR", note=MARK),
        say.record("orders", id=3, price="free", note=MARK),
        say.state({"at": 3}),
    )
    Path("jobs").mkdir()
    Path("jobs/shop.yaml").write_text(json.dumps(target.job(tap)))
    dativo_ = Commands()
    dativo_("run", "shop")
    assert dativo_.quarantine() == {"orders": 2}
    shown = dativo_("quarantine", "show", "shop")["rows"]
    assert [(row["column"], json.loads(row["record"])["id"]) for row in shown] == [("price", 2), ("price", 3)]

    (mended, _) = shown
    record = json.loads(mended["record"]) | {"price": 2.5}
    mended_file = Path("..", "mended.jsonl")
    mended_file.write_text(json.dumps({"id": mended["id"], "stream": "orders", "record": record}))
    report = dativo_("quarantine", "replay", "shop", "--records", str(mended_file))
    assert (report["written"], report["quarantined"], dativo_.quarantine()) == (1, 0, {"orders": 1})

    report = dativo_("quarantine", "replay", "shop", "--set", "on_bad_value=null")
    assert (report["written"], report["quarantined"], dativo_.quarantine()) == (1, 0, {})
    assert Counter((row["id"], row["price"]) for row in target.rows()) == Counter([(1, 1.5), (2, 2.5), (3, None)])
    assert {row["note"] for row in target.rows()} == {MARK}
    if target.keys:
        assert leaks(target.folder) == []
    elif target.place.name in ("jsonl", "csv"):
        assert leaks(target.folder) != [], "the search would not find it"


@pytest.mark.parametrize("mode", ["merge", "scd2"])
@pytest.mark.parametrize("name", ["duckdb", "postgres", "delta", "iceberg", "iceberg_rest"])
def test_rows_deleted_at_the_source(name: str, mode: str, places: Mapping[str, Place], project: Path, tap: Any, say: Any) -> None:
    """By a mark, to be removed; and by a version that is active no more, to be marked. History ends in both."""
    target = Target(places[name], project, None)
    moment = {"type": ["null", "string"], "format": "date-time"}
    orders = say.schema("orders", ["id"], id="integer", _ab_cdc_deleted_at=moment)
    users = say.schema("users", ["id"], id="integer")
    tap.offers(orders, users)

    def run(version: int, marked: int | None, *ids: int) -> None:
        rows = [say.record("orders", id=each, _ab_cdc_deleted_at=None) for each in ids if each != marked]
        if marked is not None:
            rows.append(say.record("orders", id=marked, _ab_cdc_deleted_at="2026-01-02T00:00:00Z"))
        rows += [{**say.record("users", id=each), "version": version} for each in ids]
        active = {"type": "ACTIVATE_VERSION", "stream": "users", "version": version}
        tap.says(orders, users, *rows, active, say.state({"version": version}))
        job = target.job(tap, write=mode)
        job["source"]["streams"] = {"orders": {"deletes": "hard"}, "users": {"deletes": "soft"}}
        dativo.run(job)

    run(1, None, 1, 2)
    run(2, 2, 2, 3)

    tables = {name: table.to_pylist() for name, table in target.place.tables(project).items()}
    ended = {"merge": "_dativo_deleted_at", "scd2": "_dativo_valid_to"}[mode]
    assert sorted((row["id"], row[ended] is None) for row in tables["users"]) == [(1, False), (2, True), (3, True)]
    left = [(1, True), (3, True)] if mode == "merge" else [(1, True), (2, False), (3, True)]
    assert sorted((row["id"], row.get("_dativo_valid_to") is None) for row in tables["orders"]) == left
