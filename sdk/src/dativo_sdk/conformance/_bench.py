"""A writer at work: runs that open, write, commit and close."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
from dativo_protocols import Batch, Rejects

from dativo_sdk._writer import ConfiguredStream, DeleteMode, JobKey, Receipt, WriteCatalog, WriteMode, Writer
from dativo_sdk.conformance._case import WriterCase
from dativo_sdk.conformance._data import JOB

__all__ = ["Bench"]


class Bench:
    """What a check works with. One writer at a time is open: the next `open` closes the one before.

    Attributes:
        config: The configuration of the last writer opened.
        catalog: Its catalog.
        state: What its `initialize` returned.
        writer: The open writer.
    """

    def __init__(self, case: WriterCase, path: Path) -> None:
        self.case = case
        self.path = path
        self.config: dict[str, Any] = {}
        self.catalog = WriteCatalog(JOB, "run0")
        self.state: bytes | None = None
        self.writer: Writer | None = None
        self._runs = itertools.count(1)

    def open(self, *streams: ConfiguredStream, job: JobKey = JOB) -> Any:
        """Begins a run with these streams and a new run id; gives the writer (any, so that its optional powers can be called)."""
        self.close()
        self.writer, self.config = self.case.make(self.path)
        self.catalog = WriteCatalog(job, f"run{next(self._runs)}", {stream.id: stream for stream in streams})
        self.state = self.writer.initialize(self.config, self.catalog)
        return self.writer

    def close(self) -> None:
        """Ends the run."""
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    def load(
        self,
        *batches: Batch,
        mode: WriteMode = "append",
        key: tuple[str, ...] = (),
        cursor: str | None = None,
        deletes: DeleteMode = "ignore",
        delete_mark: str | None = None,
        rejected: Iterable[Rejects] = (),
        state: bytes | None = b"{}",
    ) -> Receipt:
        """One whole run with one commit, all its streams written the same way."""
        streams = dict.fromkeys(batch.stream for batch in batches)
        writer = self.open(*(ConfiguredStream(stream, mode, key, cursor, deletes, delete_mark) for stream in streams))
        for each in batches:
            writer.write_batch(each)
        for rows in rejected:
            writer.write_rejects(rows)
        receipt: Receipt = writer.commit(state, final=True)
        self.close()
        return receipt

    def table(self, name: str = "orders") -> pa.Table | None:
        """A table as somebody else sees it, or None when there is none."""
        return self.case.read_table(self.config, name)

    def rows(self, name: str = "orders", order: str | None = "id") -> list[dict[str, Any]]:
        """A table's rows, sorted by one column unless `order` is None; there must be such a table."""
        table = self.table(name)
        if table is None:
            raise AssertionError(f"there is no table `{name}`")
        found: list[dict[str, Any]] = table.to_pylist()
        return sorted(found, key=lambda row: row[order]) if order else found

    def column(self, column: str, name: str = "orders", order: str | None = "id") -> list[Any]:
        """One column's values, in the order of `rows`."""
        return [row[column] for row in self.rows(name, order)]
