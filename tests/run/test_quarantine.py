"""Rows in quarantine: listed, shown, mended, and loaded again exactly once; in every target that can."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dativo_protocols import ConfigError, StreamId

import dativo
from dativo._quarantine import read_mended

DATIVO = Path(sys.executable).with_name("dativo")
TARGETS = {
    "duckdb": {"connector": "duckdb", "config": {"path": "shop.duckdb"}},
    "parquet": {"connector": "parquet", "config": {"path": "out"}},
}


class Shop:
    """A job whose tap sends four rows, of which two have a price that is no number, and a line that breaks off."""

    def __init__(self, tap: Any, say: Any, target: str) -> None:
        self.target = target
        schema = say.schema("orders", ["id"], id="integer", price="number")
        tap.offers(schema)
        tap.says(
            schema,
            say.record("orders", id=1, price=1.5),
            '{"type": "RECORD", "stream": "orders", "record": {"id": 2, "price": "2.50 EUR", "note": 1.10}}',
            say.record("orders", id=3, price="free"),
            say.record("orders", id=4, price=None),
            '{"type": "RECORD", "stream": "orders", "record": {"id": 5, "pri',
        )
        self.write(tap.job(dict(TARGETS[target])))

    def write(self, job: dict[str, Any]) -> None:
        self.job = job
        Path("jobs").mkdir(exist_ok=True)
        Path("jobs/shop.yaml").write_text(json.dumps(job))

    def dativo(self, *arguments: str, code: int = 0) -> str:
        ended = subprocess.run([str(DATIVO), *arguments], capture_output=True, text=True)
        assert ended.returncode == code, f"{arguments} exited {ended.returncode}\n{ended.stdout}\n{ended.stderr}"
        return ended.stdout if code == 0 else ended.stderr

    def quarantine(self) -> dict[str, int]:
        listed = json.loads(self.dativo("quarantine", "list", "shop", "--json"))
        return {each["stream"]: each["rows"] for each in listed["streams"]}

    def orders(self) -> dict[int, float | None]:
        if self.target == "parquet":
            rows = dativo.dataset("out")["orders"].to_arrow().to_pylist()
        else:
            import duckdb

            with duckdb.connect("shop.duckdb", read_only=True) as db:
                rows = [
                    dict(zip(("id", "price"), row, strict=True)) for row in db.execute("SELECT id, price FROM orders").fetchall()
                ]
        assert len({row["id"] for row in rows}) == len(rows), "a row is there twice"
        return {row["id"]: row["price"] for row in rows}


@pytest.fixture(params=TARGETS)
def shop(request: pytest.FixtureRequest, project: Path, tap: Any, say: Any) -> Shop:
    shop = Shop(tap, say, request.param)
    shop.dativo("run", "shop")
    return shop


def test_rejected_rows_are_shown_with_what_was_wrong(shop: Shop) -> None:
    rows = json.loads(shop.dativo("quarantine", "show", "shop", "--json", "--stream", "orders"))["rows"]

    assert shop.quarantine() == {"orders": 3}
    assert [(row["line"], row["column"]) for row in rows] == [(3, "price"), (4, "price"), (6, None)]
    assert [json.loads(row["record"])["id"] for row in rows[:2]] == [2, 3]
    assert rows[2]["record"].startswith('{"type": "RECORD"')
    assert len({row["id"] for row in rows}) == 3
    assert "price" in shop.dativo("quarantine", "show", "shop")


def test_mended_records_are_loaded_once(shop: Shop) -> None:
    shop.dativo("quarantine", "show", "shop", "--stream", "orders", "--output", "mended.jsonl")
    first, second, _ = Path("mended.jsonl").read_text().splitlines()
    assert '"note": 1.10' in first
    Path("mended.jsonl").write_text(first.replace('"2.50 EUR"', "2.50") + "\n")

    report = json.loads(shop.dativo("quarantine", "replay", "shop", "--records", "mended.jsonl", "--json"))

    assert (report["written"], report["quarantined"]) == (1, 0)
    assert shop.orders() == {1: 1.5, 2: 2.5, 4: None}
    assert shop.quarantine() == {"orders": 2}
    error = shop.dativo("quarantine", "replay", "shop", "--records", "mended.jsonl", code=2)
    assert "is in quarantine" in error
    assert shop.orders() == {1: 1.5, 2: 2.5, 4: None}
    assert json.loads(second)["stream"] == "orders"


def test_a_mended_job_takes_what_it_refused(shop: Shop) -> None:
    shop.dativo("quarantine", "replay", "shop", "--stream", "orders", "--set", "on_bad_value=null")

    assert shop.orders() == {1: 1.5, 2: None, 3: None, 4: None}
    (left,) = json.loads(shop.dativo("quarantine", "show", "shop", "--json"))["rows"]
    assert left["column"] is None


def test_a_line_that_broke_off_can_be_mended(shop: Shop) -> None:
    shop.dativo("quarantine", "show", "shop", "--output", "mended.jsonl")
    broken = Path("mended.jsonl").read_text().splitlines()[-1]
    line = json.loads(broken)
    Path("mended.jsonl").write_text(json.dumps({"id": line["id"], "stream": "orders", "record": {"id": 5, "price": 9}}))

    shop.dativo("quarantine", "replay", "shop", "--records", "mended.jsonl")

    assert shop.orders() == {1: 1.5, 4: None, 5: 9.0}
    assert shop.quarantine() == {"orders": 2}


def test_what_still_does_not_fit_stays(shop: Shop) -> None:
    before = shop.quarantine()

    report = json.loads(shop.dativo("quarantine", "replay", "shop", "--json"))

    assert (report["written"], report["quarantined"]) == (0, sum(before.values()))
    assert shop.quarantine() == before
    assert shop.orders() == {1: 1.5, 4: None}


def test_the_state_stays_as_it_was(shop: Shop, tap: Any, say: Any) -> None:
    tap.says(say.schema("orders", ["id"], id="integer", price="number"), say.state({"bookmarks": {"orders": 7}}))
    shop.dativo("run", "shop")

    shop.dativo("quarantine", "replay", "shop", "--set", "on_bad_value=null", "--stream", "orders")

    assert json.loads(shop.dativo("state", "show", "shop"))["bookmarks"] == {"orders": 7}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b"{}", "`mended.jsonl`, line 1: not an object with `id`, `stream` and `record`"),
        (b"what", "`mended.jsonl`, line 1: not an object with `id`, `stream` and `record`"),
        (b'\n{"id": "x", "stream": "orders", "record": 1}', "line 2: not an object with `id`, `stream` and `record`"),
        (b'{"id": "x", "stream": "oders", "record": {}}', "the job reads no stream `oders`"),
        (b'{"id": "x", "stream": "orders", "record": {}}\n{"id": "x", "stream": "orders", "record": {}}', "`x` comes twice"),
    ],
)
def test_a_file_that_cannot_be_replayed(text: bytes, error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        read_mended(text, "mended.jsonl", [StreamId("orders")])


def test_mended_records_keep_their_bytes() -> None:
    (mended,) = read_mended(b'{"stream":"orders","record": {"price": 1.10, "a":"\xc3\xa9"}, "id":"x"}', "m", [StreamId("orders")])

    assert mended.record == b'{"price": 1.10, "a":"\xc3\xa9"}'


def test_a_stream_without_rejected_rows_is_named(shop: Shop) -> None:
    assert "stream `users` has no rows in quarantine" in shop.dativo("quarantine", "show", "shop", "--stream", "users", code=2)
