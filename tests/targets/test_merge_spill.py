"""A merge that needs more room than its memory has, on a disk without any."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from dativo_protocols import Batch, StreamId
from dativo_protocols.errors import TargetError
from dativo_sdk import ConfiguredStream, Counting, JobKey, WriteCatalog

from dativo._target import load_target
from tests.targets.test_adversity import mounted, remount

ORDERS = StreamId("orders")
ROWS = 300_000


def merged(target: str, config: dict[str, str], run: int) -> int | None:
    """Every row, in another order; how many there are."""
    writer = load_target(target)
    streams = {ORDERS: ConfiguredStream(ORDERS, "merge", ("id",), "at")}
    try:
        writer.initialize(config, WriteCatalog(JobKey("acme", "shop"), f"r{run}", streams))
        for start in range(0, ROWS, 50_000):
            ids = [each * 7919 % ROWS for each in range(start, start + 50_000)]
            data = pa.record_batch({"id": ids, "at": [run] * len(ids)})
            writer.write_batch(Batch(ORDERS, data, data.num_rows, data.nbytes))
        writer.commit(b"%d" % run, final=True)
        assert isinstance(writer, Counting)
        return writer.count_rows(ORDERS)
    finally:
        writer.close()


@pytest.mark.parametrize("target", ["delta", "iceberg"])
def test_a_merge_without_room_to_spill_is_tried_again(target: str, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    config = {"path": str(tmp_path / "lake"), "temporary": str(small), "merge_memory": "40MB"}
    with mounted(["-t", "tmpfs", "-o", "size=1m", "tmpfs"], small):
        with pytest.raises(TargetError) as caught:
            merged(target, config, 1)
        assert caught.value.exit_code == 75
        assert f"the disk of `{small}" in caught.value.message
        assert "free some space" in (caught.value.hint or "")

        assert remount(small, "size=300m")
        assert [merged(target, config, run) for run in (2, 3)] == [ROWS, ROWS]
        assert not list(small.iterdir())
