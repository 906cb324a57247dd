"""Rows on their way into a table: in memory, and beyond a few megabytes in a temporary table."""

from __future__ import annotations

import pyarrow as pa
from dativo_protocols import StreamId

from dativo import _compute as pc
from dativo.targets.postgres._connection import Connection
from dativo.targets.postgres._types import quoted, sql_type

__all__ = ["PLACE", "Stage"]

PLACE = "_dativo_place"
"""The staged column that numbers rows in the order in which they came."""

_NUMBERED_ROWS = 1 << 16


class Stage:
    """Rows of one schema, none of them seen by anybody else. What it has in the database is gone with the connection.

    Attributes:
        schema: The columns of the rows, by their names and types in the table.
        table: The temporary table's qualified name, once there is one.
        rows: Received.
        buffered_bytes: In memory.
        nullable: The columns in which a null came.
    """

    def __init__(self, connection: Connection, stream: StreamId, name: str, schema: pa.Schema, *, placed: bool) -> None:
        """Stages nothing yet.

        Args:
            name: Of the temporary table, unique in the session.
            placed: Whether rows are numbered in the column `PLACE`.
        """
        self.schema = schema
        self.table: str | None = None
        self.rows = 0
        self.buffered_bytes = 0
        self.nullable: set[str] = set()
        self._connection = connection
        self._stream = stream
        self._name = name
        self._placed = placed
        self._batches: list[pa.RecordBatch] = []

    def add(self, batch: pa.RecordBatch, nbytes: int) -> None:
        """Takes a batch of exactly this schema.

        Args:
            nbytes: What it takes in memory.
        """
        self.nullable |= {name for name, column in zip(self.schema.names, batch.columns, strict=True) if column.null_count}
        self._batches.append(batch)
        self.rows += batch.num_rows
        self.buffered_bytes += nbytes

    def spill(self) -> None:
        """Puts what is in memory into the temporary table."""
        if self.table is None:
            self._create()
        if not self._batches:
            return
        schema = self.schema
        first = self.rows - sum(batch.num_rows for batch in self._batches)
        batches = self._batches
        if self._placed:
            schema = schema.append(pa.field(PLACE, pa.int64()))
            batches = _numbered(batches, first, schema)
        self._connection.copy(
            self._name, schema, batches, f"stage rows of stream `{self._stream}`", stream=self._stream, temporary=True
        )
        self._batches = []
        self.buffered_bytes = 0

    def copy_into(self, table: str) -> None:
        """Appends what is in memory to a table of these columns, in the open transaction."""
        if self._batches:
            self._connection.copy(table, self.schema, self._batches, f"write to table `{table}`", stream=self._stream)
            self._batches = []
            self.buffered_bytes = 0

    def drop(self) -> None:
        """Drops the temporary table, in the open transaction."""
        if self.table is not None:
            self._connection.run(f"DROP TABLE {self.table}", f"drop what was staged of stream `{self._stream}`")

    def _create(self) -> None:
        columns = [f"{quoted(field.name)} {sql_type(field)}" for field in self.schema]
        if self._placed:
            columns.append(f"{PLACE} bigint")
        self.table = f"pg_temp.{quoted(self._name)}"
        self._connection.run(
            f"CREATE TEMPORARY TABLE {quoted(self._name)} ({', '.join(columns)})",
            f"stage rows of stream `{self._stream}`",
            stream=self._stream,
        )


def _numbered(batches: list[pa.RecordBatch], first: int, schema: pa.Schema) -> list[pa.RecordBatch]:
    counted = pa.array(range(min(_NUMBERED_ROWS, max(batch.num_rows for batch in batches))), pa.int64())
    numbered = []
    for batch in batches:
        for start in range(0, batch.num_rows, _NUMBERED_ROWS):
            part = batch.slice(start, _NUMBERED_ROWS)
            places = pc.add(counted.slice(0, part.num_rows), first)
            numbered.append(pa.RecordBatch.from_arrays([*part.columns, places], schema=schema))
            first += part.num_rows
    return numbered
