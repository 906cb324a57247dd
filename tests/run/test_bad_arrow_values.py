"""Values of Arrow data that cannot be converted without a change go where the job says, wherever the reader runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import dativo

READER = """
from decimal import Decimal
import pyarrow as pa
from dativo_protocols import Batch, Catalog, CatalogStream, StreamId

TIMES = StreamId("times")
NANOS = pa.timestamp("ns")
SCHEMA = pa.schema([pa.field("id", pa.int64(), False), ("at", NANOS), ("n", pa.decimal128(10, 2)), ("left", NANOS)])
ROWS = [(1, 1000, "1.50", 1), (2, 1001, "2.00", 1), (3, 2000, "2.25", 1), (4, 1, "3.75", 1), (5, None, None, None)]

class Times:
    def initialize(self, config, catalog, state):
        self.left = [ROWS[:2], ROWS[2:]]

    def get_schema(self):
        return Catalog((CatalogStream(TIMES, {}, ("id",), (), ("FULL_TABLE",), data=SCHEMA),))

    def read_batch(self, max_rows):
        if not self.left:
            return None
        ids, ats, numbers, left = zip(*self.left.pop(0))
        numbers = [None if each is None else Decimal(each) for each in numbers]
        data = pa.record_batch([ids, pa.array(ats, SCHEMA.field("at").type), pa.array(numbers, SCHEMA.field("n").type),
                                pa.array(left, SCHEMA.field("left").type)], schema=SCHEMA)
        return Batch(TIMES, data, data.num_rows, data.nbytes)

    def get_incremental_state(self):
        return None

    def close(self):
        pass
"""
FINER = "a value is not a whole number of microseconds"
PLACES = "a number has more decimal places than the type"
everywhere = pytest.mark.parametrize("how", ["in_process", "process", "sandbox", "program"])


def run(how: str, on_bad_value: str) -> Any:
    Path("times.py").write_text(READER)
    Path("reader").write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m dativo_sdk.program "$PWD/times.py:Times" "$@"\n')
    Path("reader").chmod(0o755)
    streams = {"times": {"fields": ["id", "at", "n"], "types": {"n": "decimal(10,1)"}}}
    source = {"connector": "native:./times.py:Times", "isolation": how, "streams": streams}
    if how == "program":
        source = {"connector": "program:./reader", "streams": streams}
    job = {"name": "times", "source": source, "target": {"connector": "parquet", "config": {"path": "out"}, "write": "append"}}
    return dativo.run({**job, "on_bad_value": on_bad_value, "retry": {"attempts": 1}}).streams[0]


def rows(*columns: str) -> list[tuple[Any, ...]]:
    table = dativo.dataset(Path("out")).to_arrow("times")
    return sorted(zip(*(table.column(name).to_pylist() for name in columns), strict=True))


@everywhere
def test_such_a_row_is_quarantined_with_what_it_was(how: str, project: Path) -> None:
    report = run(how, "quarantine")
    assert (report.rows_in, report.written, report.quarantined) == (5, 2, 3)
    assert [number for (number,) in rows("id")] == [1, 5]
    rejected = dativo.dataset(Path("out")).quarantine("times").to_arrow().to_pylist()
    found = sorted((each["line"], each["column"], each["reason"]) for each in rejected)
    assert found == [(2, "at", FINER), (3, "n", PLACES), (4, "at", FINER)]
    (record,) = [each["record"] for each in rejected if each["line"] == 2]
    said = json.loads(record)
    assert (said["id"], said["at"], said["n"]) == (2, "1970-01-01T00:00:00.000001001", 2.0)


@everywhere
def test_such_a_cell_is_nulled_and_that_is_noted(how: str, project: Path) -> None:
    report = run(how, "null")
    assert (report.written, report.quarantined) == (5, 0)
    found = {
        number: (at is None, n is None, json.loads(changes or "[]"))
        for number, at, n, changes in rows("id", "at", "n", "_dativo_changes")
    }
    assert found == {
        1: (False, False, []),
        2: (True, False, [{"column": "at", "reason": FINER}]),
        3: (False, True, [{"column": "n", "reason": PLACES}]),
        4: (True, True, [{"column": "at", "reason": FINER}, {"column": "n", "reason": PLACES}]),
        5: (True, True, []),
    }


@everywhere
def test_such_a_value_ends_a_run_that_is_to_fail(how: str, project: Path) -> None:
    with pytest.raises(dativo.ContractError, match=f"stream `times`.*column `at`: {FINER}") as caught:
        run(how, "fail")
    assert caught.value.exit_code == 30
