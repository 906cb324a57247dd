"""What a source says about its rows, as columns of the tables: when they were extracted, and to which version they belong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import dativo


def lake(**more: Any) -> dict[str, Any]:
    return {"connector": "parquet", "config": {"path": "lake"}, **more}


def orders() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = dativo.dataset("lake")["orders"].to_arrow().to_pylist()
    return rows


def test_rows_say_when_they_were_extracted_and_their_version(project: Path, tap: Any, say: Any) -> None:
    tap.offers(say.schema("orders", id="integer"))
    tap.says(
        say.schema("orders", id="integer"),
        {**say.record("orders", id=1), "time_extracted": "2024-05-06T09:08:09.5+02:00", "version": 17},
        say.record("orders", id=2),
    )

    assert dativo.run(tap.job(lake(metadata=["extracted_at"], deletes="soft"))).written == 2

    found = [(row["id"], row["_dativo_extracted_at"], row["_dativo_version"]) for row in orders()]
    assert [(each, moment and moment.isoformat(), version) for each, moment, version in found] == [
        (1, "2024-05-06T07:08:09.500000+00:00", 17),
        (2, None, None),
    ]


def test_an_airbyte_source_says_when_it_emitted_a_row(project: Path, source: Any) -> None:
    source.offers("orders", incremental=False)
    source.says({"type": "RECORD", "record": {"stream": "orders", "data": {"id": 1}, "emitted_at": 1_700_000_000_250}})

    assert dativo.run(source.job(lake(metadata=["extracted_at"], write="append"))).written == 1

    assert [row["_dativo_extracted_at"].isoformat() for row in orders()] == ["2023-11-14T22:13:20.250000+00:00"]


@pytest.mark.parametrize("deletes", ["ignore", None])
def test_nobody_who_does_not_ask_gets_a_column(project: Path, tap: Any, say: Any, deletes: str | None) -> None:
    tap.offers(say.schema("orders", id="integer"))
    record = {**say.record("orders", id=1), "time_extracted": "2024-05-06T07:08:09Z", "version": 17}
    tap.says(say.schema("orders", id="integer"), record)

    dativo.run(tap.job(lake(**({} if deletes is None else {"deletes": deletes}))))

    assert orders() == [{"id": 1}]


@pytest.mark.parametrize(("deletes", "left"), [("hard", [2, 3]), ("soft", [1, 2, 3]), ("ignore", [1, 2, 3])])
def test_rows_of_older_versions_go_where_the_job_says_so(
    project: Path, tap: Any, say: Any, deletes: str, left: list[int]
) -> None:
    import duckdb

    def run(version: int, *ids: int) -> None:
        records = [{**say.record("orders", id=each), "version": version} for each in ids]
        active = {"type": "ACTIVATE_VERSION", "stream": "orders", "version": version}
        tap.says(say.schema("orders", ["id"], id="integer"), *records, active, say.state({"version": version}))
        dativo.run(tap.job(say.duckdb(deletes=deletes)))

    tap.offers(say.schema("orders", ["id"], id="integer"))
    run(1, 1, 2)
    run(2, 2, 3)

    with duckdb.connect("shop.duckdb", read_only=True) as database:
        found = database.sql("FROM orders ORDER BY id").to_arrow_table().to_pylist()
    assert [row["id"] for row in found] == left
    assert [row["id"] for row in found if row.get("_dativo_deleted_at")] == ([1] if deletes == "soft" else [])
    assert {row.get("_dativo_version") for row in found if row["id"] > 1} == ({None} if deletes == "ignore" else {2})


def test_history_is_kept_from_a_tap(project: Path, tap: Any, say: Any) -> None:
    import duckdb

    shape = say.schema("orders", ["id"], id="integer", at={"type": "string", "format": "date-time"}, price="integer")
    tap.offers(shape)
    for day, price in ((1, 5), (2, 5), (3, 6)):
        tap.says(shape, say.record("orders", id=1, at=f"2024-01-0{day}T00:00:00Z", price=price), say.state(day))
        dativo.run(tap.job(say.duckdb(write="scd2"), source={"streams": {"orders": {"cursor": "at"}}}))

    with duckdb.connect("shop.duckdb", read_only=True) as database:
        held = "SELECT price, day(_dativo_valid_from), day(_dativo_valid_to) FROM orders ORDER BY 2"
        assert database.sql(held).fetchall() == [(5, 1, 2), (5, 2, 3), (6, 3, None)]
