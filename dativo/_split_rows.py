"""A batch split in two: the rows to write, and those for the quarantine; and values that were nulled, noted in their rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pyarrow as pa
from dativo_protocols import encode_json_lines, frozen

from dativo import _compute as pc
from dativo._evolution import json_field
from dativo._names import CHANGES, EXTRA, OWN_COLUMNS

__all__ = ["Split", "noted", "split"]


@frozen
class Split:
    """What became of a batch.

    Attributes:
        batch: The rows to write; perhaps none.
        rejects: Those for the quarantine, or None: the columns of `dativo_protocols.Rejects`; `line` is not known here, and null.
    """

    batch: pa.RecordBatch
    rejects: pa.RecordBatch | None = None


def split(batch: pa.RecordBatch, bad: Mapping[int, tuple[str | None, str]], came: pa.RecordBatch) -> Split:
    """Takes the bad rows out of a batch.

    Args:
        bad: Column and reason, by row.
        came: The same rows as they came: so they are kept in the quarantine.
    """
    if not bad:
        return Split(batch)
    rows = sorted(bad)
    broken = pa.array(rows, pa.int64())
    keep = pc.invert(pc.is_in(pa.array(range(batch.num_rows), pa.int64()), value_set=broken))
    return Split(batch.filter(keep), _rejects(came.take(broken), [bad[row] for row in rows]))


def noted(batch: pa.RecordBatch, changes: Mapping[int, Sequence[tuple[str, str]]]) -> pa.RecordBatch:
    """The batch with what was nulled, column and reason by row, added to `_dativo_changes`; itself when that is nothing."""
    if not changes:
        return batch
    there = batch.schema.get_field_index(CHANGES)
    texts: list[str | None] = batch.column(there).to_pylist() if there >= 0 else [None] * batch.num_rows
    for row, cells in changes.items():
        before = json.loads(texts[row] or "[]")
        texts[row] = json.dumps([*before, *({"column": column, "reason": reason} for column, reason in cells)])
    column = pa.array(texts, pa.utf8())
    if there >= 0:
        return batch.set_column(there, json_field(CHANGES), column)
    return batch.append_column(json_field(CHANGES), column)


def _rejects(rows: pa.RecordBatch, reasons: list[tuple[str | None, str]]) -> pa.RecordBatch:
    """Rows as a quarantine keeps them: what the source sent, as far as the decoder has kept it, as JSON."""
    names = [name for name in rows.schema.names if name not in OWN_COLUMNS]
    records = encode_json_lines(rows.select(names)).splitlines() if names else [b"{}"] * rows.num_rows
    if EXTRA in rows.schema.names:
        for index, text in enumerate(rows.column(EXTRA).to_pylist()):
            if text is not None and text != "{}":
                between = b"," if records[index] != b"{}" else b""
                records[index] = records[index][:-1] + between + text.lstrip()[1:].encode()
    return pa.record_batch(
        {
            "line": pa.nulls(len(reasons), pa.int64()),
            "column": pa.array([column for column, _ in reasons], pa.utf8()),
            "reason": pa.array([reason for _, reason in reasons], pa.utf8()),
            "record": pa.array(records, pa.binary()),
        }
    )
