"""Rows of quarantine tables."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
from dativo_protocols import Rejects

from dativo import _compute as pc

__all__ = ["QUARANTINE", "quarantine_rows", "replay_rows"]

QUARANTINE = pa.schema(
    [
        ("run_id", pa.utf8()),
        ("line", pa.int64()),
        ("column", pa.utf8()),
        ("reason", pa.utf8()),
        ("record", pa.utf8()),
        ("record_bytes", pa.binary()),
        ("loaded_at", pa.timestamp("us", "UTC")),
        ("id", pa.utf8()),
    ]
)
"""Its columns. The record is in `record` when it is UTF-8, and else in `record_bytes`; the other of the two is null."""

_REPLAYED = pa.schema(
    [
        ("id", pa.utf8()),
        ("run_id", pa.utf8()),
        ("loaded_at", pa.timestamp("us", "UTC")),
        ("line", pa.int64()),
        ("column", pa.utf8()),
        ("reason", pa.utf8()),
        ("record", pa.binary()),
    ]
)


def quarantine_rows(rejects: Rejects, run_id: str, now: int, ids: Iterator[str]) -> pa.RecordBatch:
    """Rejected rows as quarantine tables keep them.

    Args:
        now: In microseconds since 1970 UTC.
        ids: Of which each row gets one.
    """
    data = pa.record_batch(rejects.data)
    records = data.column("record").to_pylist()
    texts = [_text(record) for record in records]
    count = data.num_rows
    arrays = [
        pa.array([run_id] * count, pa.utf8()),
        *(data.column(name).cast(QUARANTINE.field(name).type) for name in ("line", "column", "reason")),
        pa.array(texts, pa.utf8()),
        pa.array([record if text is None else None for record, text in zip(records, texts, strict=True)], pa.binary()),
        pa.array([now] * count, pa.int64()).cast(pa.timestamp("us", "UTC")),
        pa.array([next(ids) for _ in range(count)], pa.utf8()),
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=QUARANTINE)


def replay_rows(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Quarantined rows as `Replaying.read_rejects` gives them."""
    texts, raw = batch.column("record").cast(pa.binary()), batch.column("record_bytes")
    arrays = [pc.coalesce(texts, raw) if name == "record" else batch.column(name) for name in _REPLAYED.names]
    return pa.RecordBatch.from_arrays(arrays, schema=_REPLAYED)


def _text(record: bytes | None) -> str | None:
    try:
        return None if record is None else record.decode()
    except UnicodeDecodeError:
        return None
