"""The honest Python reader of a PostgreSQL table, against the SDK: a dict a row, types converted, validated.

It is what one writes in an afternoon, and what the Rust reader is measured against: a server-side cursor of psycopg that gives
rows as dicts, a pydantic model that each is validated with, and lists of rows that pyarrow makes batches of.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import psycopg
import pyarrow as pa
from dativo_protocols import Batch, Catalog, CatalogStream, State, StreamId
from dativo_sdk import ReadCatalog, SavedState
from psycopg.rows import dict_row
from pydantic import BaseModel, ConfigDict

SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        ("customer", pa.int64()),
        ("sku", pa.utf8()),
        ("name", pa.utf8()),
        ("email", pa.utf8()),
        ("quantity", pa.int64()),
        ("price", pa.decimal128(12, 2)),
        ("discount", pa.float64()),
        ("paid", pa.bool_()),
        ("day", pa.date32()),
        ("created", pa.timestamp("us", "UTC")),
        ("note", pa.utf8()),
    ]
)
JSON_SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        **{name: {"type": ["null", "integer"]} for name in ("customer", "quantity")},
        **{name: {"type": ["null", "string"]} for name in ("sku", "name", "email", "note")},
        "price": {"type": ["null", "number"], "multipleOf": 0.01},
        "discount": {"type": ["null", "number"]},
        "paid": {"type": ["null", "boolean"]},
        "day": {"type": ["null", "string"], "format": "date"},
        "created": {"type": ["null", "string"], "format": "date-time"},
    },
}


class Config(BaseModel):
    """Where the table is."""

    url: str
    table: str = "orders"


class Order(BaseModel):
    """A row."""

    model_config = ConfigDict(strict=True)

    id: int
    customer: int | None
    sku: str | None
    name: str | None
    email: str | None
    quantity: int | None
    price: Decimal | None
    discount: float | None
    paid: bool | None
    day: dt.date | None
    created: dt.datetime | None
    note: str | None


class PostgresRows:
    """Reads one table, row by row."""

    name = "python-postgres"
    version = "1"
    __api_version__ = "1.0"
    Config = Config

    def initialize(self, config: Config, catalog: ReadCatalog | None, state: SavedState | None) -> None:
        self.stream = StreamId(config.table, "public")
        self.connection = psycopg.connect(config.url, row_factory=dict_row)
        self.connection.execute("SET TimeZone = 'UTC'")
        self.rows = self._rows(config.table)

    def _rows(self, table: str) -> Iterator[dict[str, Any]]:
        with self.connection.cursor("rows") as cursor:
            cursor.itersize = 10_000
            cursor.execute(f'SELECT * FROM "{table}"')  # type: ignore[arg-type]
            yield from cursor

    def get_schema(self) -> Catalog:
        return Catalog((CatalogStream(self.stream, JSON_SCHEMA, ("id",), data=SCHEMA),))

    def read_batch(self, max_rows: int) -> Batch | None:
        rows = []
        for row in self.rows:
            rows.append(Order.model_validate(row).model_dump())
            if len(rows) == min(max_rows, 10_000):
                break
        if not rows:
            return None
        batch = pa.RecordBatch.from_pylist(rows, SCHEMA)
        return Batch(self.stream, batch, batch.num_rows, batch.nbytes)

    def get_incremental_state(self) -> State | None:
        return None

    def close(self) -> None:
        if connection := self.__dict__.get("connection"):
            connection.close()
