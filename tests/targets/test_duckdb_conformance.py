from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from dativo_sdk import Counting, Inspecting, Naming, Quarantining, Replaying, Versioning
from dativo_sdk.conformance import CHECKS, Check, WriterCase, run_check

from dativo.targets.duckdb import DuckDBWriter


class DuckDBCase(WriterCase):
    powers = frozenset({Counting, Inspecting, Naming, Quarantining, Replaying, Versioning})

    def make(self, path: Path) -> tuple[DuckDBWriter, dict[str, Any]]:
        return DuckDBWriter(), {"path": str(path / "out.duckdb")}

    def can_read_while_open(self) -> bool:
        return False

    def read_table(self, config: Mapping[str, Any], table: str) -> pa.Table | None:
        with duckdb.connect(config["path"], read_only=True) as connection:
            if not connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = ?", [table]).fetchall():
                return None
            return connection.sql(f'FROM "{table}"').to_arrow_table()


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_conformance(check: Check, tmp_path: Path) -> None:
    run_check(check, DuckDBCase(), tmp_path)
