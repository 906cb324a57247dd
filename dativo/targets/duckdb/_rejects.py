"""The quarantine table's rows: how they are written, read and taken out."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence

import pyarrow as pa
from dativo_protocols import Rejects

from dativo.targets.duckdb._database import BATCHES, Database
from dativo.targets.duckdb._failure import failures

__all__ = ["QUARANTINE_COLUMNS", "give_ids", "quarantine_rows", "read_rejects", "remove_rejects"]

_PAGE_ROWS = 1000
_SCHEMA = pa.schema(
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
QUARANTINE_COLUMNS = {name: name for name in _SCHEMA.names}


_READ = pa.schema(
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


def quarantine_rows(rejects: Rejects, run_id: str, ids: Iterator[str]) -> pa.RecordBatch:
    """Rejected rows as a quarantine table keeps them.

    The record is in `record` when it is UTF-8, and else in `record_bytes`; the other of the two is null.

    Args:
        ids: Of which each row gets one.
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
        pa.array([datetime.datetime.now(datetime.UTC)] * count, pa.timestamp("us", "UTC")),
        pa.array([next(ids) for _ in range(count)], pa.utf8()),
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA)


def read_rejects(database: Database, table: str) -> Iterator[pa.RecordBatch]:
    """The committed rows, oldest first; the columns are those of `Replaying.read_rejects`."""
    query = (
        'SELECT id, run_id, loaded_at, line, "column", reason, coalesce(record_bytes, encode(record)) AS record '
        f"FROM {database.table(table)} ORDER BY loaded_at, rowid"
    )
    with failures(database.path, f"read `{table}`"):
        found = database.look(query)
    yield from found.cast(_READ).to_batches(max_chunksize=_PAGE_ROWS)


def give_ids(database: Database, table: str) -> None:
    """Gives rows ids that were written before there were any."""
    name = database.table(table)
    with failures(database.path, f"number the rows of `{table}`"):
        if "id" not in database.arrow_schema(table).names:
            database.run(f"ALTER TABLE {name} ADD COLUMN id VARCHAR")
        if database.run(f"SELECT 1 FROM {name} WHERE id IS NULL LIMIT 1"):
            database.run(f"UPDATE {name} SET id = CAST(gen_random_uuid() AS VARCHAR) WHERE id IS NULL")


def remove_rejects(database: Database, table: str, ids: Sequence[str]) -> int:
    """Deletes rows in the open transaction; gives how many there were."""
    name = database.table(table)
    (counts,) = database.run_over(
        pa.table({"id": pa.array(ids, pa.utf8())}), [f"DELETE FROM {name} WHERE id IN (SELECT id FROM {BATCHES})"], table
    )
    return int(counts[0][0])


def _text(record: bytes | None) -> str | None:
    try:
        return None if record is None else record.decode()
    except UnicodeDecodeError:
        return None
