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
from dativo.targets.csv import CsvWriter
from dativo.targets.parquet import ParquetWriter


class BucketCase(WriterCase):
    modes = frozenset({"append", "overwrite"})
    powers = frozenset({Counting, Inspecting, Quarantining, Replaying})

    def __init__(self, writer: type[FilesWriter], config: dict[str, Any]) -> None:
        self.writer = writer
        self.config = config

    def make(self, path: Path) -> tuple[FilesWriter, dict[str, Any]]:
        return self.writer(), self.config

    def read_table(self, config: Mapping[str, Any], table: str) -> pa.Table | None:
        data = dataset(config["path"], config["storage_options"])
        if table in data.tables:
            return data.to_arrow(table)
        return data.quarantine(table.removesuffix("__quarantine")).to_arrow() if table.endswith("__quarantine") else None


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_conformance(check: Check, bucket: dict[str, Any], tmp_path: Path) -> None:
    run_check(check, BucketCase(ParquetWriter, bucket), tmp_path)


TEXT_CHECKS = [check for check in CHECKS if str(check).startswith(("every_type", "rejected", "a_column_widens", "overwrite"))]


@pytest.mark.parametrize("check", TEXT_CHECKS, ids=str)
def test_text_is_read_over_a_pipe(check: Check, bucket: dict[str, Any], tmp_path: Path) -> None:
    run_check(check, BucketCase(CsvWriter, bucket), tmp_path)
