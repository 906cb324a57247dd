from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars
import pyarrow as pa
import pytest
from dativo_sdk import Counting, Inspecting, Quarantining, Replaying, Versioning
from dativo_sdk.conformance import CHECKS, Check, WriterCase, run_check
from pyiceberg.catalog import load_catalog
from pyiceberg.exceptions import NoSuchTableError

from dativo.targets.iceberg import IcebergWriter


class IcebergCase(WriterCase):
    powers = frozenset({Counting, Inspecting, Quarantining, Replaying, Versioning})

    def make(self, path: Path) -> tuple[IcebergWriter, dict[str, Any]]:
        return IcebergWriter(), {"path": str(path / "warehouse")}

    def read_table(self, config: Mapping[str, Any], table: str) -> pa.Table | None:
        """With polars' own reader: pyiceberg's gives a null list of structs as an empty one."""
        catalog = load_catalog("dativo", type="sql", uri=f"sqlite:///{config['path']}/catalog.db")
        try:
            return polars.scan_iceberg(catalog.load_table(f"default.{table}")).collect().to_arrow()
        except NoSuchTableError:
            return None
        finally:
            catalog.close()


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_conformance(check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLARS_ICEBERG_PLANNER", "pyiceberg")
    run_check(check, IcebergCase(), tmp_path)
