"""Whole runs into Delta tables: a scripted tap, the real engine and decoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import dativo
from tests.run.conftest import Tap, record, schema, state

deltalake = pytest.importorskip("deltalake", reason="the package `deltalake` is not installed")

ORDERS = schema(
    "orders", ["id"], id="integer", price={"type": ["null", "number"], "multipleOf": 0.01}, tags={"type": ["null", "array"]}
)


def rows(path: Path, table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pa.table(deltalake.DeltaTable(path / table).to_pyarrow_table()).to_pylist()
    return found


def test_two_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tap, lake = Tap(tmp_path), tmp_path / "lake"
    job = tap.job(target={"connector": "delta", "config": {"path": str(lake)}, "write": "merge"})
    tap.offers(ORDERS)
    tap.says(ORDERS, record("orders", id=1, price=1.25, tags=["a"]), record("orders", id=2, price="x"), state({"at": 1}))
    first = dativo.run(job)
    assert (first.status, first.written, first.quarantined) == ("succeeded", 1, 1)
    tap.says(ORDERS, record("orders", id=1, price=2.5), record("orders", id=3, price=3), state({"at": 2}))
    second = dativo.run(job)
    assert (second.status, second.written, second.state_after) == ("succeeded", 2, b'{"at": 2}')
    assert tap.handed_state == b'{"at": 1}'
    found = sorted((row["id"], str(row["price"]), row["tags"]) for row in rows(lake, "orders"))
    assert found == [(1, "2.50", None), (3, "3.00", None)]
    assert [(row["line"], row["column"], row["record"]) for row in rows(lake, "orders__quarantine")] == [
        (3, "price", '{"id": 2, "price": "x"}')
    ]
