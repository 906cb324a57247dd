from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest
from dativo_sdk import Counting, Inspecting, Quarantining, Replaying, Versioning
from dativo_sdk.conformance import CHECKS, Check, WriterCase, run_check

from dativo.targets.delta import DeltaWriter

deltalake = pytest.importorskip("deltalake", reason="the package `deltalake` is not installed")


class DeltaCase(WriterCase):
    """Reads with `deltalake`; Delta has no type for times, which are text."""

    powers = frozenset({Quarantining, Versioning, Counting, Inspecting, Replaying})
    config: ClassVar[Mapping[str, Any]] = {}

    def make(self, path: Path) -> tuple[DeltaWriter, dict[str, Any]]:
        return DeltaWriter(), {"path": str(path / "lake"), **self.config}

    def read_table(self, config: Mapping[str, Any], table: str) -> pa.Table | None:
        place = f"{config['path']}/{table}"
        if not deltalake.DeltaTable.is_deltatable(place):
            return None
        data = deltalake.DeltaTable(place).to_pyarrow_dataset()
        fragments = sorted(data.get_fragments(), key=lambda fragment: str(fragment.path))
        found = pa.concat_tables([data.schema.empty_table(), *(each.to_table(schema=data.schema) for each in fragments)])
        if "clock" in found.schema.names:
            times = [None if text is None else dt.time.fromisoformat(text) for text in found.column("clock").to_pylist()]
            found = found.set_column(found.schema.get_field_index("clock"), "clock", pa.array(times, pa.time64("us")))
        return found


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_conformance(check: Check, tmp_path: Path) -> None:
    run_check(check, DeltaCase(), tmp_path)
