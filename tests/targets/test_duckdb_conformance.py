from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from writer_conformance import CHECKS, Check, run_check

from dativo.targets.duckdb import DuckDBWriter


class DuckDBCase:
    modes = frozenset({"append", "overwrite", "merge"})

    def make(self, tmp_path: Path) -> tuple[DuckDBWriter, dict[str, Any]]:
        return DuckDBWriter(), {"path": str(tmp_path / "out.duckdb")}

    def read_table(self, config: Mapping[str, Any], table: str) -> pa.Table | None:
        with duckdb.connect(config["path"], read_only=True) as connection:
            if not connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = ?", [table]).fetchall():
                return None
            return connection.sql(f'FROM "{table}"').to_arrow_table()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_conformance(check: Check, tmp_path: Path) -> None:
    run_check(check, DuckDBCase(), tmp_path)
