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
