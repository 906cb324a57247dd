"""Properties of a source that are named like Dativo's own columns, in every target."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import dativo


@pytest.mark.parametrize("connector", ["duckdb", "parquet", "jsonl"])
def test_a_property_named_like_an_own_column_lands_beside_it(project: Path, tap: Any, say: Any, connector: str) -> None:
    schema = {"id": "integer", "_dativo_extra": "string", "_dativo_changes": "string"}
    tap.offers(say.schema("orders", **schema))
    target = {"connector": connector, "config": {"path": "shop.duckdb" if connector == "duckdb" else "lake"}}
    for number in (1, 2):
        record = {"id": number, "_dativo_extra": "mine", "_dativo_changes": "too", "new": number}
        tap.says(say.schema("orders", **schema), say.record("orders", **record))
        assert dativo.run(tap.job(target)).written == 1
    if connector == "duckdb":
        import duckdb

        with duckdb.connect("shop.duckdb", read_only=True) as database:
            found = database.sql("SELECT * FROM orders ORDER BY id").to_arrow_table().to_pylist()
    else:
        found = dativo.dataset("lake")["orders"].to_arrow().to_pylist()
    # Names that begin like Dativo's own get a hash in the targets.
    names = ["id", "_dativo_extra__", "_dativo_changes__", "_dativo_extra"]
    columns = [next(name for name in found[0] if name.startswith(wanted)) for wanted in names[:3]] + names[3:]
    assert [[row[name] for name in columns] for row in found] == [[n, "mine", "too", f'{{"new":{n}}}'] for n in (1, 2)]
