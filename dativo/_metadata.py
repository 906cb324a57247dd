"""Columns about a row that every target gets in the same way: when it was loaded, and by which run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dativo_protocols import Batch

from dativo._names import EXTRACTED_AT, LOADED_AT, RUN_ID

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["RowMetadata", "metadata_fields"]


class RowMetadata:
    """Adds the columns that a job asks for; `_dativo_extracted_at` comes from the decoder, which alone sees what the source says.

    Args:
        wanted: Of `loaded_at`, `run_id` and `extracted_at`.
        run_id: Of the attempt.
    """

    def __init__(self, wanted: Sequence[str], run_id: str) -> None:
        self._loaded_at = "loaded_at" in wanted
        self._run_id = run_id if "run_id" in wanted else None

    def added(self, batch: Batch) -> Batch:
        """The batch with its further columns last; itself when there are none."""
        if not self._loaded_at and self._run_id is None:
            return batch
        import pyarrow as pa

        data = pa.record_batch(batch.data)
        fields, columns = list(data.schema), list(data.columns)
        if self._loaded_at:
            kind = pa.timestamp("us", "UTC")
            fields.append(pa.field(LOADED_AT, kind))
            columns.append(pa.repeat(pa.scalar(time.time_ns() // 1000, pa.int64()).cast(kind), data.num_rows))
        if self._run_id is not None:
            fields.append(pa.field(RUN_ID, pa.utf8()))
            columns.append(pa.repeat(pa.scalar(self._run_id, pa.utf8()), data.num_rows))
        added = pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields, metadata=data.schema.metadata))
        nbytes = batch.nbytes + sum(column.nbytes for column in columns[data.num_columns :])
        return Batch(batch.stream, added, batch.rows, nbytes)


def metadata_fields(schema: pa.Schema, wanted: Sequence[str]) -> pa.Schema:
    """The schema with the columns that a job asks for, as its batches will have them."""
    import pyarrow as pa

    moment = pa.timestamp("us", "UTC")
    kinds = {"extracted_at": (EXTRACTED_AT, moment), "loaded_at": (LOADED_AT, moment), "run_id": (RUN_ID, pa.utf8())}
    added = [pa.field(*kind) for name, kind in kinds.items() if name in wanted and kind[0] not in schema.names]
    return pa.schema([*schema, *added])
