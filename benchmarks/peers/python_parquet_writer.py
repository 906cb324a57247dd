"""A writer of Parquet that sees rows: what the target `parquet`, which sees columns, is measured against.

Each row becomes a dict, as with the loaders that hand records from the source to the sink; 10,000 of them become a row group. It
knows no states, no schema that changes, no rejected rows: a run that has them takes longer.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from dativo_protocols import Batch, StreamId
from dativo_sdk import API_VERSION, Receipt, WriteCatalog

ROWS = 10_000


class RowsToParquet:
    """One file for each stream."""

    write_modes = frozenset({"append"})
    __api_version__ = API_VERSION

    def initialize(self, config: Mapping[str, Any], catalog: WriteCatalog) -> bytes | None:
        self.folder = Path(config["path"])
        self.folder.mkdir(parents=True, exist_ok=True)
        self.writers: dict[StreamId, pq.ParquetWriter] = {}
        self.rows: dict[StreamId, list[dict[str, Any]]] = {}
        self.counts: dict[StreamId, int] = {}
        return None

    def get_schema(self, stream: StreamId) -> pa.Schema | None:
        return None

    def write_batch(self, batch: Batch) -> None:
        data = pa.record_batch(batch.data)
        if batch.stream not in self.writers:
            path = self.folder / f"{batch.stream.name}.parquet"
            self.writers[batch.stream] = pq.ParquetWriter(path, data.schema, compression="zstd")
        rows = self.rows.setdefault(batch.stream, [])
        for row in data.to_pylist():
            rows.append(row)
            if len(rows) == ROWS:
                self.write(batch.stream)
        self.counts[batch.stream] = self.counts.get(batch.stream, 0) + data.num_rows

    def write(self, stream: StreamId) -> None:
        rows, writer = self.rows[stream], self.writers[stream]
        writer.write_table(pa.Table.from_pylist(rows, writer.schema))
        rows.clear()

    def commit(self, state: bytes | None, *, final: bool = False) -> Receipt:
        for stream, rows in self.rows.items():
            if rows:
                self.write(stream)
        counts, self.counts = self.counts, {}
        return Receipt(counts, {}, commit_id="1")

    def close(self) -> None:
        for writer in self.writers.values():
            writer.close()
