"""The same rows in every form that the readers know, and what other hosts must make of them."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

NAMES = ("id", "name", "price", "flag", "day", "at")
ROWS: list[dict[str, Any]] = [
    dict(zip(NAMES, values, strict=True))
    for values in (
        (1, "plain", 1.5, True, date(2026, 1, 31), datetime(2026, 1, 1, 12, 30, 0, 250000, UTC)),
        (2, 'a "quoted", one\nof two lines', None, False, None, datetime(2026, 1, 2, tzinfo=UTC)),
        (9007199254740993, "東京 🚚", -1e-7, None, date(1999, 12, 31), datetime(2026, 1, 3, tzinfo=UTC)),
    )
]
NEW = {"id": 4, "name": "new", "price": 0.25, "flag": True, "day": date(2026, 2, 1), "at": datetime(2026, 2, 1, tzinfo=UTC)}


def in_json(row: dict[str, Any]) -> dict[str, Any]:
    """As a record has it."""
    return {**row, "day": row["day"] and row["day"].isoformat(), "at": row["at"].isoformat().replace("+00:00", "Z")}


def as_rows(records: list[dict[str, Any]], *fields: str) -> list[dict[str, Any]]:
    """Records as rows, in the order of their ids, with these fields or all: the texts of dates and moments are values again."""
    read = {"day": date.fromisoformat, "at": datetime.fromisoformat}
    names = fields or NAMES
    rows = [{name: record[name] and read.get(name, lambda value: value)(record[name]) for name in names} for record in records]
    return sorted(rows, key=lambda row: row["id"])


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    def cell(value: Any) -> str:
        if value is None:
            return ""
        return '"' + str(value).replace('"', '""') + '"' if isinstance(value, str) else str(value).lower()

    lines = [",".join(NAMES), *(",".join(cell(value) for value in in_json(row).values()) for row in rows)]
    text = "\n".join(lines).encode() + b"\n"
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(in_json(row), ensure_ascii=False) + "\n" for row in rows))


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    types = {"id": pa.int64(), "name": pa.string(), "price": pa.float64(), "flag": pa.bool_(), "day": pa.date32()}
    schema = pa.schema({**types, "at": pa.timestamp("us", "UTC")})
    pq.write_table(pa.Table.from_pylist(rows, schema), path)


TABLE = """
    CREATE TABLE goods (id bigint PRIMARY KEY, name text NOT NULL, price float8, flag bool, day date, at timestamptz NOT NULL,
        exact numeric(20, 2), loose numeric, doc jsonb, tags text[], uid uuid, raw bytea, secret text)
"""
MORE = {
    "exact": Decimal("123456789012345678.90"),
    "loose": Decimal("0.00000000000000000001"),
    "doc": {"b": [1, None, {"c": "ü"}], "a": 1.5},
    "tags": ["x", None, 'y "z"'],
    "uid": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    "raw": b"\x00\xff",
    "secret": "not selected",
}
"""Columns that a file has not, of the row that has them."""


def insert(connection: Any, rows: list[dict[str, Any]], more: dict[str, Any] | None = None) -> None:
    """Rows into the table `goods`; the first with more columns."""
    for number, row in enumerate(rows):
        whole = {**row, **(more if more and number == 0 else {})}
        values = {name: json.dumps(value) if name == "doc" else value for name, value in whole.items()}
        marks = ", ".join(["%s"] * len(values))
        connection.execute(f"INSERT INTO goods ({', '.join(values)}) VALUES ({marks})", list(values.values()))
