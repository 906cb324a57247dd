from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from dativo_sdk import Counting, Inspecting, Quarantining, Replaying, Versioning
from dativo_sdk.conformance import CHECKS, Check, WriterCase, run_check

from dativo.targets.delta import DeltaWriter

deltalake = pytest.importorskip("deltalake", reason="the package `deltalake` is not installed")


class DeltaCase(WriterCase):
    """Reads with `deltalake`; Delta has no type for times, which are text."""

    powers = frozenset({Quarantining, Versioning, Counting, Inspecting, Replaying})

    def __init__(self, config: dict[str, Any] | None = None) -> None:
        self.config = config

    def make(self, path: Path) -> tuple[DeltaWriter, dict[str, Any]]:
        return DeltaWriter(), self.config or {"path": str(path / "lake")}

    def read_table(self, config: Mapping[str, Any], table: str) -> pa.Table | None:
        place = f"{config['path']}/{table}"
        options = readers_options(config)
        if not deltalake.DeltaTable.is_deltatable(place, options):
            return None
        data = deltalake.DeltaTable(place, storage_options=options).to_pyarrow_dataset()
        fragments = sorted(data.get_fragments(), key=lambda fragment: str(fragment.path))
        found = pa.concat_tables([data.schema.empty_table(), *(each.to_table(schema=data.schema) for each in fragments)])
        if "clock" in found.schema.names:
            times = [None if text is None else dt.time.fromisoformat(text) for text in found.column("clock").to_pylist()]
            found = found.set_column(found.schema.get_field_index("clock"), "clock", pa.array(times, pa.time64("us")))
        return found


def readers_options(config: Mapping[str, Any]) -> dict[str, str] | None:
    given = config.get("storage_options")
    return given and {
        "aws_endpoint": given["endpoint"],
        "aws_access_key_id": given["access_key_id"],
        "aws_secret_access_key": given["secret_access_key"],
        "aws_region": "us-east-1",
        "aws_allow_http": "true",
    }


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_conformance(check: Check, tmp_path: Path) -> None:
    run_check(check, DeltaCase(), tmp_path)


IN_A_BUCKET = [check for check in CHECKS if check.subject in ("modes", "recovery", "quarantine")]


@pytest.mark.parametrize("check", IN_A_BUCKET, ids=str)
def test_in_a_bucket(check: Check, bucket: dict[str, Any], tmp_path: Path) -> None:
    run_check(check, DeltaCase(bucket), tmp_path)
