"""What every reader must do, of each of these."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dativo_readers
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dativo_sdk import Checkable, Estimating, Partitionable
from dativo_sdk.conformance import READER_CHECKS, ReaderCase, ReaderCheck, run_reader_check

from .database import Database

NOWHERE = {"path": "/nowhere/data"}


class CsvCase(ReaderCase):
    reader = dativo_readers.Csv
    bad_configs = (NOWHERE, {}, {"path": 1}, {"path": "x", "delimiter": ";;"})
    powers = frozenset({Checkable, Estimating, Partitionable})

    def make(self, path: Path) -> tuple[type[Any], Mapping[str, Any]]:
        for name, first in (("a", 0), ("b", 300)):
            rows = [f"{number},x{number},{'many' if number % 90 == 7 else number}\n" for number in range(first, first + 300)]
            (path / f"{name}.csv").write_text("id,name,n\n" + "".join(rows))
        types = {"n": "int64"}
        return self.reader, {
            "path": str(path / "*.csv"),
            "stream": "rows",
            "types": types,
            "block_bytes": 300,
            "primary_key": ["id"],
        }


class JsonLinesCase(ReaderCase):
    reader = dativo_readers.JsonLines
    bad_configs = (NOWHERE, {}, {"path": 1}, {"path": "x", "nested": "flat"})
    powers = frozenset({Checkable, Estimating})

    def make(self, path: Path) -> tuple[type[Any], Mapping[str, Any]]:
        for name, first in (("a", 0), ("b", 300)):
            records = [{"id": number, "n": "many" if number % 90 == 7 else number} for number in range(first, first + 300)]
            (path / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
        return self.reader, {"path": str(path / "*.jsonl"), "stream": "rows", "types": {"n": "int64"}, "block_bytes": 300}


class ParquetCase(ReaderCase):
    reader = dativo_readers.Parquet
    bad_configs = (NOWHERE, {}, {"path": 1})
    powers = frozenset({Checkable, Estimating, Partitionable})

    def make(self, path: Path) -> tuple[type[Any], Mapping[str, Any]]:
        for name, first in (("a", 0), ("b", 300)):
            table = pa.table({"id": list(range(first, first + 300)), "name": ["x"] * 300})
            pq.write_table(table, path / f"{name}.parquet", row_group_size=100)
        return self.reader, {"path": str(path / "*.parquet"), "stream": "rows", "primary_key": ["id"]}


@pytest.mark.parametrize("check", READER_CHECKS, ids=str)
@pytest.mark.parametrize("case", [CsvCase, JsonLinesCase, ParquetCase], ids=lambda case: case.reader.__name__)
def test_files(case: type[ReaderCase], check: ReaderCheck, tmp_path: Path) -> None:
    run_reader_check(check, case(), tmp_path)


@pytest.mark.server
@pytest.mark.parametrize("check", READER_CHECKS, ids=str)
def test_postgres(check: ReaderCheck, database: Database, tmp_path: Path) -> None:
    rows = "SELECT i AS id, i::text AS v FROM generate_series(1, 100) i"
    queries = {name: {"sql": rows, "key": ["id"], "cursor": "id"} for name in ("a", "b")}

    class PostgresCase(ReaderCase):
        reader = dativo_readers.Postgres
        config = database.config(queries=queries)
        bad_configs = (database.config(password="wrong"), database.config(sslmode="strictly"))
        powers = frozenset({Partitionable})

    run_reader_check(check, PostgresCase(), tmp_path)
