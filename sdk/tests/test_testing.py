"""What tests of plugins are written with."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from dativo_protocols import ConfigError, StreamId
from dativo_sdk import SavedState
from dativo_sdk.testing import discover, make_batch, read_all, run_program, select, target_of

from . import counting_reader, ledger_reader
from .ledger_reader import ENTRIES, PLACES, LedgerReader

TARGET = f"{Path(ledger_reader.__file__)}:LedgerReader"


def test_a_batch_of_rows_has_the_types_of_its_values_or_those_that_are_given() -> None:
    batch = make_batch("orders", [{"id": 1}, {"id": None, "note": "x"}], pa.schema([("id", pa.int32()), ("note", pa.utf8())]))
    assert (batch.stream, batch.rows) == (StreamId("orders"), 2)
    assert pa.record_batch(batch.data).to_pydict() == {"id": [1, None], "note": [None, "x"]}
    assert pa.record_batch(make_batch(PLACES, [{"id": 1}]).data).schema.field("id").type == pa.int64()


def test_a_reader_is_read_to_its_end() -> None:
    catalog = discover(LedgerReader, {"rows": 5})
    tables = read_all(LedgerReader, {"rows": 5}, catalog=select(catalog, "entries"), max_rows=2)
    assert {stream: table.num_rows for stream, table in tables.items()} == {ENTRIES: 5}
    assert read_all(LedgerReader, {"rows": 5})[PLACES].num_rows == 2
    with pytest.raises(ConfigError, match="no stream `none`"):
        select(catalog, "none")


@pytest.mark.parametrize("arrow", [True, False])
def test_a_program_is_run_and_decoded(arrow: bool) -> None:
    catalog = select(discover(LedgerReader, {"rows": 5}), replication_method="INCREMENTAL")
    state = SavedState({ENTRIES: b'{"id": 3}'})
    ended = run_program(TARGET, config={"rows": 5}, catalog=catalog, state=state, arrow=arrow)
    assert (ended.code, [row["id"] for row in ended.tables[ENTRIES].to_pylist()]) == (0, [3, 4])
    assert ended.state == SavedState({ENTRIES: b'{"id": 5}'})
    assert ended.of_type("TRACE")[0]["stream_status"]["status"] == "STARTED"


def test_rejected_rows_of_a_program_are_apart() -> None:
    ended = run_program(f"{Path(counting_reader.__file__)}:CountingReader", config={"bad": 2})
    assert ended.rejects[StreamId("numbers")].column("record").to_pylist() == [b"x", b"x"]


def test_a_class_is_found_as_a_target() -> None:
    assert target_of(LedgerReader) in (TARGET, "sdk.tests.ledger_reader:LedgerReader")
    assert target_of(type("Local", (), {})) is None
