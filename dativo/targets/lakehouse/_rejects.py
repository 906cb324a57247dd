"""Rows of quarantine tables."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
from dativo_protocols import Rejects

from dativo import _compute as pc
from dativo.targets import _quarantine_table as kept

__all__ = ["QUARANTINE", "quarantine_rows", "replay_rows"]

QUARANTINE = pa.schema([*kept.QUARANTINE, ("id", pa.utf8())])
"""Its columns; ids are unique in their table."""


def quarantine_rows(rejects: Rejects, run_id: str, ids: Iterator[str]) -> pa.RecordBatch:
    """Rejected rows as quarantine tables keep them.

    Args:
        ids: Of which each row gets one.
    """
    rows = kept.quarantine_rows(rejects, run_id)
    return rows.append_column("id", pa.array([next(ids) for _ in range(rows.num_rows)], pa.utf8()))


def replay_rows(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Quarantined rows as `Replaying.read_rejects` gives them."""
    texts, raw = batch.column("record").cast(pa.binary()), batch.column("record_bytes")
    arrays = [pc.coalesce(texts, raw) if name == "record" else batch.column(name) for name in kept.REPLAYED.names]
    return pa.RecordBatch.from_arrays(arrays, schema=kept.REPLAYED)
