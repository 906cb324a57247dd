"""The honest Python reader of a CSV file, against the SDK: a dict a row, types converted, validated.

It is what one writes in an afternoon, and what the Rust reader is measured against: the module `csv` gives rows as dicts, a
pydantic model converts and validates each, and pyarrow makes batches of lists of rows. It can be divided, for several processes.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import math
import os
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from dativo_protocols import Batch, Catalog, CatalogStream, State, StreamId
from dativo_sdk import Partition, ReadCatalog, SavedState
from pydantic import BaseModel, field_validator

SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        ("customer", pa.int64()),
        ("sku", pa.utf8()),
        ("name", pa.utf8()),
        ("email", pa.utf8()),
        ("quantity", pa.int64()),
        ("price", pa.float64()),
        ("discount", pa.float64()),
        ("paid", pa.bool_()),
        ("day", pa.date32()),
        ("created", pa.timestamp("us")),
        ("note", pa.utf8()),
    ]
)
STREAM = StreamId("orders")
ROWS = 10_000


class Config(BaseModel):
    """Where the file is."""

    path: str


class Order(BaseModel):
    """A row."""

    id: int
    customer: int | None
    sku: str | None
    name: str | None
    email: str | None
    quantity: int | None
    price: float | None
    discount: float | None
    paid: bool | None
    day: dt.date | None
    created: dt.datetime | None
    note: str | None

    @field_validator("*", mode="before")
    @classmethod
    def _empty_is_null(cls, value: Any) -> Any:
        return None if value == "" else value


class CsvRows:
    """Reads one file, row by row."""

    name = "python-csv"
    version = "1"
    __api_version__ = "1.0"
    Config = Config

    def initialize(self, config: Config, catalog: ReadCatalog | None, state: SavedState | None) -> None:
        self.path = config.path
        self.file = open(config.path, "rb")  # noqa: SIM115
        self.names = next(csv.reader([self.file.readline().decode()]))
        begin, end = self.file.tell(), os.fstat(self.file.fileno()).st_size
        if catalog is not None and catalog.partition is not None:
            begin, end = json.loads(catalog.partition)
        self.file.seek(begin)
        self.rows = csv.DictReader(self._lines(end), self.names)

    def _lines(self, end: int) -> Iterator[str]:
        """What is before `end`; of a file without line ends within quotes."""
        position = self.file.tell()
        for line in self.file:
            if position >= end:
                return
            position += len(line)
            yield line.decode()

    def get_schema(self) -> Catalog:
        return Catalog((CatalogStream(STREAM, {}, ("id",), data=SCHEMA),))

    def read_batch(self, max_rows: int) -> Batch | None:
        rows = []
        for row in self.rows:
            rows.append(Order.model_validate(row).model_dump())
            if len(rows) == min(max_rows, ROWS):
                break
        if not rows:
            return None
        batch = pa.RecordBatch.from_pylist(rows, SCHEMA)
        return Batch(STREAM, batch, batch.num_rows, batch.nbytes)

    def partitions(self, count: int, target_bytes: int) -> list[Partition]:
        begin, size = self.file.tell(), os.stat(self.path).st_size
        number = count * math.ceil((size - begin) / target_bytes / count)
        edges = [begin]
        with open(self.path, "rb") as file:
            for part in range(1, number):
                file.seek(begin + (size - begin) * part // number)
                file.readline()
                edges.append(file.tell())
        return [Partition(json.dumps(pair).encode()) for pair in zip(edges, [*edges[1:], size], strict=True)]

    def get_incremental_state(self) -> State | None:
        return None

    def close(self) -> None:
        if file := self.__dict__.get("file"):
            file.close()
