"""Columns about a row that every target gets in the same way."""

from __future__ import annotations

import time

import pyarrow as pa
from dativo_protocols import Batch, StreamId

from dativo._metadata import RowMetadata

ORDERS = Batch(StreamId("orders"), pa.record_batch({"id": [1, 2]}), 2, 16)


def test_nothing_is_added_unless_it_is_asked_for():
    assert RowMetadata(["extracted_at"], "r1").added(ORDERS) is ORDERS


def test_moment_and_run_come_last():
    before = time.time()

    added = RowMetadata(["run_id", "loaded_at"], "r1").added(ORDERS)

    data = pa.record_batch(added.data)
    assert data.schema.names == ["id", "_dativo_loaded_at", "_dativo_run_id"]
    assert data.column("_dativo_run_id").to_pylist() == ["r1", "r1"]
    assert before - 1 <= data.column("_dativo_loaded_at")[1].as_py().timestamp() <= time.time() + 1
    assert (added.rows, added.nbytes > 16) == (2, True)


def test_an_announcement_gets_the_columns_too():
    empty = Batch(ORDERS.stream, pa.record_batch({"id": pa.array([], pa.int64())}), 0, 0)

    assert pa.record_batch(RowMetadata(["run_id"], "r1").added(empty).data).schema.names == ["id", "_dativo_run_id"]
