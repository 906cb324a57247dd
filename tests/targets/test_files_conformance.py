from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from dativo_sdk import Counting, Inspecting, Quarantining, Replaying
from dativo_sdk.conformance import CHECKS, Check, WriterCase, run_check

from dativo._dataset import dataset
from dativo.targets._files import FilesWriter
from dativo.targets.arrow import ArrowWriter
from dativo.targets.csv import CsvWriter
from dativo.targets.jsonl import JsonLinesWriter
from dativo.targets.parquet import ParquetWriter


class FilesCase(WriterCase):
    modes = frozenset({"append", "overwrite"})
    powers = frozenset({Counting, Inspecting, Quarantining, Replaying})

    def __init__(self, writer: type[FilesWriter]) -> None:
        self.writer = writer

    def make(self, path: Path) -> tuple[FilesWriter, dict[str, Any]]:
        return self.writer(), {"path": str(path / "out")}

    def read_table(self, config: Mapping[str, Any], table: str) -> pa.Table | None:
        data = dataset(config["path"])
        if table in data.tables:
            return data.to_arrow(table)
        return data.quarantine(table.removesuffix("__quarantine")).to_arrow() if table.endswith("__quarantine") else None


@pytest.mark.parametrize("check", CHECKS, ids=str)
@pytest.mark.parametrize("writer", [ArrowWriter, CsvWriter, JsonLinesWriter, ParquetWriter])
def test_conformance(check: Check, writer: type[FilesWriter], tmp_path: Path) -> None:
    run_check(check, FilesCase(writer), tmp_path)
