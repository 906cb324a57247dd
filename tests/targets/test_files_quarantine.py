"""What the optional powers of the file targets give: counting, inspecting, and taking rows out of the quarantine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from dativo_protocols import StreamId
from dativo_protocols.errors import ConfigError, TargetError
from dativo_sdk import ConfiguredStream, JobKey, WriteCatalog
from dativo_sdk.conformance import ORDERS, batch, rejects

from dativo._dataset import dataset
from dativo.targets._files import FilesWriter
from dativo.targets.arrow import ArrowWriter
from dativo.targets.csv import CsvWriter
from dativo.targets.jsonl import JsonLinesWriter
from dativo.targets.parquet import ParquetWriter

JOB = JobKey("acme", "shop")
WRITERS = [ArrowWriter, CsvWriter, JsonLinesWriter, ParquetWriter]


@contextmanager
def opened(path: Path, kind: type[FilesWriter] = ParquetWriter, run: str = "run", mode: Any = "append") -> Iterator[FilesWriter]:
    writer = kind()
    try:
        writer.initialize({"path": str(path)}, WriteCatalog(JOB, run, {ORDERS: ConfiguredStream(ORDERS, mode)}))
        yield writer
    finally:
        writer.close()


def fill(path: Path, kind: type[FilesWriter] = ParquetWriter) -> None:
    """Three commits of two rejected rows each."""
    with opened(path, kind) as writer:
        for number in range(3):
            writer.write_rejects(rejects(records=[b"%d" % (2 * number), b"\xff%d" % (2 * number + 1)]))
            writer.commit(b"%d" % number)


def quarantined(writer: FilesWriter) -> dict[str, bytes]:
    rows = [row for part in writer.read_rejects(ORDERS) for row in part.to_pylist()]
    return {row["id"]: row["record"] for row in rows}


@pytest.mark.parametrize("kind", WRITERS)
def test_mended_rows_leave_the_quarantine_with_the_commit_that_loads_them(kind: type[FilesWriter], tmp_path: Path) -> None:
    fill(tmp_path, kind)
    with opened(tmp_path, kind) as writer:
        before = quarantined(writer)
        assert list(before.values()) == [b"0", b"\xff1", b"2", b"\xff3", b"4", b"\xff5"]
        names = list(before)
        writer.remove_rejects(ORDERS, [names[0], names[2], names[3]])
        writer.write_batch(batch({"id": [0, 2, 3]}))
        writer.write_rejects(rejects(records=[b"6"]))
        writer.commit(b"mended")
        after = quarantined(writer)
    assert list(after.values()) == [b"\xff1", b"4", b"\xff5", b"6"]
    assert list(after)[:3] == [names[1], names[4], names[5]]
    assert dataset(tmp_path).to_arrow("orders")["id"].to_pylist() == [0, 2, 3]
    assert dataset(tmp_path).quarantine("orders").num_rows == 4


def test_rows_say_which_run_brought_them_and_when(tmp_path: Path) -> None:
    fill(tmp_path)
    with opened(tmp_path) as writer:
        rows = pa.Table.from_batches(list(writer.read_rejects(ORDERS)))
        assert writer.rejected() == {ORDERS: 6}
    assert rows.schema.names == ["id", "run_id", "loaded_at", "line", "column", "reason", "record"]
    assert set(rows["run_id"].to_pylist()) == {"run"}
    assert rows["loaded_at"].to_pylist() == sorted(rows["loaded_at"].to_pylist())


def test_without_a_commit_nothing_leaves(tmp_path: Path) -> None:
    fill(tmp_path)
    with opened(tmp_path) as writer:
        writer.remove_rejects(ORDERS, list(quarantined(writer)))
    with opened(tmp_path) as writer:
        assert len(quarantined(writer)) == 6


def test_a_row_that_is_not_there_fails_the_commit(tmp_path: Path) -> None:
    fill(tmp_path)
    with opened(tmp_path) as writer:
        writer.remove_rejects(ORDERS, [*list(quarantined(writer))[:1], "nobody"])
        writer.write_batch(batch({"id": [1]}))
        with pytest.raises(TargetError, match="does not hold `nobody`"):
            writer.commit(b"1")
    assert (dataset(tmp_path).tables, dataset(tmp_path).quarantine("orders").num_rows) == ([], 6)


def test_a_row_that_another_run_took_out_in_between_fails_the_commit(tmp_path: Path) -> None:
    fill(tmp_path)
    other = ParquetWriter()
    other.initialize({"path": str(tmp_path)}, WriteCatalog(JobKey("acme", "other"), "run"))
    with opened(tmp_path) as writer:
        first = next(iter(quarantined(writer)))
        for each in (writer, other):
            each.remove_rejects(ORDERS, [first])
        other.commit(None)
        other.close()
        with pytest.raises(TargetError, match="does not hold"):
            writer.commit(b"1")
    assert dataset(tmp_path).quarantine("orders").num_rows == 5


def test_an_overwrite_takes_the_whole_quarantine(tmp_path: Path) -> None:
    fill(tmp_path)
    with opened(tmp_path, mode="overwrite") as writer:
        writer.remove_rejects(ORDERS, list(quarantined(writer))[:1])
        writer.write_batch(batch({"id": [1]}))
        writer.commit(b"1", final=True)
        assert writer.rejected() == {}


def test_inspection_makes_nothing(tmp_path: Path) -> None:
    found = ParquetWriter().inspect({"path": str(tmp_path / "out")}, JOB, [ORDERS])
    assert (found.state, found.tables[ORDERS].table, found.tables[ORDERS].data) == (None, "orders", None)
    assert list(tmp_path.iterdir()) == []


def test_inspection_tells_what_is_there_while_a_run_is_at_work(tmp_path: Path) -> None:
    with opened(tmp_path) as writer:
        writer.write_batch(batch({"id": [1, 2], "a b": ["x", "y"]}))
        writer.write_rejects(rejects(StreamId("lost")))
        writer.commit(b"1")
        files = {str(path) for path in tmp_path.rglob("*")}
        found = ParquetWriter().inspect({"path": str(tmp_path)}, JOB, [StreamId("Orders")])
        assert {str(path) for path in tmp_path.rglob("*")} == files
        assert (writer.count_rows(ORDERS), writer.count_rows(StreamId("lost"))) == (2, None)
    info = found.tables[ORDERS]
    assert (found.state, info.rows, dict(info.columns)) == (b"1", 2, {"id": "id", "a b": "a_b"})
    assert pa.schema(info.data).names == ["id", "a_b"]
    assert found.tables[StreamId("Orders")].table.casefold() != "orders"
    assert found.tables[StreamId("lost")].data is None


@pytest.mark.parametrize("mode", ["append_dedup", "merge", "scd2"])
def test_modes_that_change_rows_are_refused_with_the_target_that_can(mode: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"write: {mode}") as caught, opened(tmp_path, mode=mode):
        pass
    assert "`duckdb`" in (caught.value.hint or "")
