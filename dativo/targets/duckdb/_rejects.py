"""The quarantine table's rows: how they are written, read and taken out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
from dativo_protocols import Rejects

from dativo.targets._quarantine_table import QUARANTINE, REPLAYED
from dativo.targets._quarantine_table import quarantine_rows as rows_to_keep
from dativo.targets.duckdb._database import BATCHES, Database
from dativo.targets.duckdb._failure import failures

__all__ = ["QUARANTINE_COLUMNS", "give_ids", "quarantine_rows", "read_rejects", "remove_rejects"]

_PAGE_ROWS = 1000
QUARANTINE_COLUMNS = {name: name for name in (*QUARANTINE.names, "id")}


def quarantine_rows(rejects: Rejects, run_id: str, ids: Iterator[str]) -> pa.RecordBatch:
    """Rejected rows as a quarantine table keeps them.

    Args:
        ids: Of which each row gets one.
    """
    rows = rows_to_keep(rejects, run_id)
    return rows.append_column("id", pa.array([next(ids) for _ in range(rows.num_rows)], pa.utf8()))


def read_rejects(database: Database, table: str) -> Iterator[pa.RecordBatch]:
    """The committed rows, oldest first; the columns are those of `Replaying.read_rejects`."""
    query = (
        'SELECT id, run_id, loaded_at, line, "column", reason, coalesce(record_bytes, encode(record)) AS record '
        f"FROM {database.table(table)} ORDER BY loaded_at, rowid"
    )
    with failures(database.path, f"read `{table}`"):
        found = database.look(query)
    yield from found.cast(REPLAYED).to_batches(max_chunksize=_PAGE_ROWS)


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
