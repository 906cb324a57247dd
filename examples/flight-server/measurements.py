"""A reader that is a server: `python measurements.py grpc+unix:///tmp/measurements.sock`.

    source:
      connector: flight:grpc+unix:///tmp/measurements.sock
      config: {count: 1000000}

What is dear, such as a large model or a slow login, is made once, for all readings.
"""

from __future__ import annotations

import json
import math
import os
import sys

import pyarrow as pa
from dativo_protocols import Batch, Catalog, CatalogStream, State, StreamId
from dativo_sdk import API_VERSION, ReadCatalog, SavedState
from dativo_sdk.flight import serve
from pydantic import BaseModel

MEASUREMENTS = StreamId("measurements")
SCHEMA = pa.schema([pa.field("id", pa.int64()), pa.field("value", pa.float64())])
BATCH = 1000

# Once, before anybody asks.
WAVE = [math.sin(step / 100) for step in range(BATCH)]


class Config(BaseModel):
    count: int = 100_000


class Measurements:
    """Numbered measurements, with the next number as the state."""

    name = "measurements"
    version = "1.0"
    __api_version__ = API_VERSION
    Config = Config

    def initialize(self, config: Config, catalog: ReadCatalog | None, state: SavedState | None) -> None:
        self._count = config.count
        self._next = 0 if state is None else (state.of(MEASUREMENTS) or {}).get("next", 0)

    def get_schema(self) -> Catalog:
        schema = {"type": "object", "properties": {"id": {"type": "integer"}, "value": {"type": "number"}}}
        return Catalog((CatalogStream(MEASUREMENTS, schema, (), (), ("FULL_TABLE", "INCREMENTAL"), data=SCHEMA),))

    def read_batch(self, max_rows: int) -> Batch | None:
        if self._next >= self._count:
            return None
        ids = range(self._next, min(self._next + min(max_rows, BATCH), self._count))
        self._next = ids.stop
        data = pa.record_batch([pa.array(ids, pa.int64()), pa.array(WAVE[: len(ids)])], schema=SCHEMA)
        return Batch(MEASUREMENTS, data, data.num_rows, data.nbytes)

    def get_incremental_state(self) -> State | None:
        return State(json.dumps({"next": self._next}).encode(), MEASUREMENTS)

    def close(self) -> None:
        """Nothing is held."""


if __name__ == "__main__":
    serve(Measurements, sys.argv[1], token=os.environ.get("DATIVO_FLIGHT_TOKEN"), ready=lambda server: print("ready", flush=True))
