"""Batches and rejected rows from Python values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import pyarrow as pa
from dativo_protocols import Batch, Rejects, StreamId

from dativo_sdk._writer import JobKey

__all__ = ["JOB", "ORDERS", "batch", "decimals", "json_field", "rejects"]

ORDERS = StreamId("orders")
JOB = JobKey("acme", "shop")


def batch(columns: Mapping[str, Any], stream: StreamId = ORDERS, fields: Iterable[pa.Field] = ()) -> Batch:
    """A batch from Python values or Arrow arrays; `fields` gives columns a type that their values do not say."""
    types = {field.name: field for field in fields}
    arrays = {
        name: value if isinstance(value, pa.Array) else pa.array(value, types[name].type if name in types else None)
        for name, value in columns.items()
    }
    schema = pa.schema([types.get(name, pa.field(name, array.type)) for name, array in arrays.items()])
    data = pa.RecordBatch.from_arrays(list(arrays.values()), schema=schema)
    return Batch(stream, data, data.num_rows, data.nbytes)


def json_field(name: str) -> pa.Field:
    """A column of JSON text, as batches carry it: utf8, marked with the extension name `arrow.json`."""
    return pa.field(name, pa.utf8(), metadata={b"ARROW:extension:name": b"arrow.json", b"ARROW:extension:metadata": b""})


def decimals(text: str, precision: int, scale: int) -> pa.Array:
    """One decimal."""
    return pa.array([Decimal(text)], pa.decimal128(precision, scale))


def rejects(stream: StreamId = ORDERS, records: Iterable[bytes] = (b'{"id":"x"}',)) -> Rejects:
    """Rejected rows, of lines 1, 2, 3…"""
    records = list(records)
    count = len(records)
    data = pa.record_batch(
        {
            "line": pa.array(range(1, count + 1), pa.int64()),
            "column": pa.array(["id"] * count, pa.utf8()),
            "reason": pa.array(["not an integer"] * count, pa.utf8()),
            "record": pa.array(records, pa.binary()),
        }
    )
    return Rejects(stream, data, count)
