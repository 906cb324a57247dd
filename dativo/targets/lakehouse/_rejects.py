"""Rows of quarantine tables."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pyarrow as pa
from dativo_protocols import Rejects

__all__ = ["QUARANTINE", "ids_of", "quarantine_rows", "replay_rows"]

QUARANTINE = pa.schema(
    [
        ("run_id", pa.utf8()),
        ("line", pa.int64()),
        ("column", pa.utf8()),
        ("reason", pa.utf8()),
        ("record", pa.utf8()),
        ("record_bytes", pa.binary()),
        ("loaded_at", pa.timestamp("us", "UTC")),
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


def quarantine_rows(rejects: Rejects, run_id: str, now: int) -> pa.RecordBatch:
    """Rejected rows as quarantine tables keep them; `now` in microseconds since 1970 UTC."""
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
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=QUARANTINE)


def ids_of(batch: pa.RecordBatch, seen: dict[str, int]) -> Iterator[str]:
    """Ids of quarantined rows: what the row says, hashed, and a count among those that say the same.

    Args:
        seen: Counts so far, for the batches of one table in order; brought up to date.
    """
    columns = [batch.column(name).cast(pa.int64()) if name == "loaded_at" else batch.column(name) for name in QUARANTINE.names]
    for row in zip(*(column.to_pylist() for column in columns), strict=True):
        said = hashlib.sha256(repr(row).encode("utf-8", "surrogatepass")).hexdigest()[:24]
        seen[said] = seen.get(said, 0) + 1
        yield f"{said}-{seen[said]}"


def replay_rows(batch: pa.RecordBatch, seen: dict[str, int]) -> pa.RecordBatch:
    """Quarantined rows as `Replaying.read_rejects` gives them."""
    ids = pa.array(list(ids_of(batch, seen)), pa.utf8())
    texts, raw = batch.column("record").cast(pa.binary()).to_pylist(), batch.column("record_bytes").to_pylist()
    records = pa.array([text if text is not None else each for text, each in zip(texts, raw, strict=True)], pa.binary())
    named = {"id": ids, "record": records}
    return pa.RecordBatch.from_arrays(
        [named[name] if name in named else batch.column(name) for name in _REPLAYED.names], schema=_REPLAYED
    )


def _text(record: bytes | None) -> str | None:
    try:
        return None if record is None else record.decode()
    except UnicodeDecodeError:
        return None
