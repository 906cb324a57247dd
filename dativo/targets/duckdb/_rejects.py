"""The quarantine table's rows."""

from __future__ import annotations

import datetime

import pyarrow as pa
from dativo_protocols import Rejects

__all__ = ["QUARANTINE_COLUMNS", "quarantine_rows"]

_SCHEMA = pa.schema(
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
QUARANTINE_COLUMNS = {name: name for name in _SCHEMA.names}


def quarantine_rows(rejects: Rejects, run_id: str) -> pa.RecordBatch:
    """Rejected rows as a quarantine table keeps them.

    The record is in `record` when it is UTF-8, and else in `record_bytes`; the other of the two is null.
    """
    data = pa.record_batch(rejects.data)
    records = data.column("record").to_pylist()
    texts = [_text(record) for record in records]
    raw = [record if text is None else None for record, text in zip(records, texts, strict=True)]
    count = data.num_rows
    arrays = [
        pa.array([run_id] * count, pa.utf8()),
        *(data.column(name).cast(_SCHEMA.field(name).type) for name in ("line", "column", "reason")),
        pa.array(texts, pa.utf8()),
        pa.array(raw, pa.binary()),
        pa.array([datetime.datetime.now(datetime.timezone.utc)] * count, pa.timestamp("us", "UTC")),
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA)


def _text(record: bytes | None) -> str | None:
    try:
        return None if record is None else record.decode()
    except UnicodeDecodeError:
        return None
