"""Rejected rows as a target with tables keeps them, and as they are read for a replay."""

from __future__ import annotations

import time
from collections.abc import Callable

import pyarrow as pa
from dativo_protocols import Rejects

__all__ = ["QUARANTINE", "REPLAYED", "quarantine_rows"]

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
"""Columns of a quarantine table, besides a target's own `id`. The record is in `record` where that is text that the target can
hold, and else in `record_bytes`; the other of the two is null."""

REPLAYED = pa.schema(
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
"""What `Replaying.read_rejects` gives."""


def quarantine_rows(
    rejects: Rejects, run_id: str, *, holds: Callable[[str], bool] = lambda text: True, fit: Callable[[str], str] = str
) -> pa.RecordBatch:
    """Rejected rows with the columns of `QUARANTINE`.

    Args:
        holds: Whether the target can hold a text as it is; a record that it cannot is kept as bytes.
        fit: Makes a column's name or a reason a text that the target can hold.
    """
    data = pa.record_batch(rejects.data)
    records = data.column("record").to_pylist()
    texts = [_text(record, holds) for record in records]
    raw = [record if text is None else None for record, text in zip(records, texts, strict=True)]
    said = [[None if text is None else fit(text) for text in data.column(name).to_pylist()] for name in ("column", "reason")]
    moment = pa.scalar(time.time_ns() // 1000, pa.int64()).cast(pa.timestamp("us", "UTC"))
    arrays = [
        pa.repeat(pa.scalar(run_id, pa.utf8()), data.num_rows),
        data.column("line").cast(pa.int64()),
        *(pa.array(texts_of, pa.utf8()) for texts_of in said),
        pa.array(texts, pa.utf8()),
        pa.array(raw, pa.binary()),
        pa.repeat(moment, data.num_rows),
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=QUARANTINE)


def _text(record: bytes | None, holds: Callable[[str], bool]) -> str | None:
    try:
        text = None if record is None else record.decode()
    except UnicodeDecodeError:
        return None
    return text if text is None or holds(text) else None
