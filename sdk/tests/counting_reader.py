"""A reader of numbers, as plain as readers get: two streams, a state after every batch, what goes wrong on demand."""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
from dativo_protocols import Batch, Catalog, CatalogStream, ConfigError, ConnectorError, Rejects, State, StreamId
from dativo_sdk import ReadCatalog, SavedState

NUMBERS, SQUARES = StreamId("numbers"), StreamId("squares", "math")
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}, "text": {"type": ["null", "string"]}}}
NAMES = {NUMBERS: "n", SQUARES: "n"}


class CountingReader:
    """Counts.

    Settings: `rows` of each stream; `bad` rows at the end; `fail` is what goes wrong; `marks` is a file that gets a line for each
    close.
    """

    name = "counting"
    version = "1.2.3"
    __api_version__ = "1.0"

    def initialize(self, config: Any, catalog: ReadCatalog | None, state: SavedState | None) -> None:
        self.config = config
        if config.get("rows") == "many":
            raise ConfigError("`rows` is no number", hint="write a number")
        self.rows = int(config.get("rows", 3))
        self.fail = config.get("fail")
        if self.fail == "initialize":
            raise ConnectorError("the source is away", retryable=True)
        print("a line that is no message")
        os.write(1, b"neither is this\n")
        logging.getLogger("counting").warning("counts to %d", self.rows)
        every = [NUMBERS, SQUARES]
        self.left = [(each, self.start(state, each)) for each in every if catalog is None or each in catalog.selected]
        self.fields = None if catalog is None else {key: value.fields for key, value in catalog.selected.items()}
        self.bad = int(config.get("bad", 0))
        self.done: State | None = None

    def start(self, state: SavedState | None, stream: StreamId) -> int:
        saved = None if state is None else state.of(stream)
        return 0 if saved is None else saved["n"]

    def get_schema(self) -> Catalog:
        methods = ("FULL_TABLE", "INCREMENTAL")
        return Catalog(tuple(CatalogStream(each, SCHEMA, ("n",), ("n",), methods) for each in (NUMBERS, SQUARES)))

    def read_batch(self, max_rows: int) -> Batch | Rejects | None:
        if self.fail == "read":
            raise ZeroDivisionError("nothing to divide by")
        if self.fail == "sleep":
            time.sleep(60)
        while self.left:
            stream, start = self.left.pop(0)
            end = min(start + max_rows, self.rows)
            if start >= end:
                continue
            self.left.insert(0, (stream, end))
            values = range(start, end)
            data = pa.record_batch({"n": [n * n if stream == SQUARES else n for n in values], "text": [f"{n}\n" for n in values]})
            if self.fields is not None and (wanted := self.fields[stream]) is not None:
                data = data.select([name for name in data.schema.names if name in wanted])
            self.done = State(json.dumps({"n": end}, indent=1).encode(), stream)
            return Batch(stream, data, data.num_rows, data.nbytes)
        if self.bad:
            columns = {"line": [1] * self.bad, "column": ["n"] * self.bad, "reason": ["no"] * self.bad}
            data = pa.record_batch({**columns, "record": pa.array([b"x"] * self.bad, pa.binary())})
            self.bad, self.done = 0, None
            return Rejects(NUMBERS, data, data.num_rows)
        return None

    def get_incremental_state(self) -> State | None:
        return self.done

    def close(self) -> None:
        if marks := getattr(self, "config", {}).get("marks"):
            with Path(marks).open("a") as file:
                file.write("closed\n")


class Alternating(CountingReader):
    """Numbers, squares, numbers, squares; of numbers a state comes only at the end."""

    def read_batch(self, max_rows: int) -> Batch | Rejects | None:
        self.left.reverse()
        return super().read_batch(max_rows)

    def get_incremental_state(self) -> State | None:
        is_open = self.done is not None and self.done.stream == NUMBERS and (NUMBERS, self.rows) not in self.left
        return None if is_open else self.done


class Empty:
    """Has nothing, and loads nothing."""

    def initialize(self, config: Any, catalog: ReadCatalog | None, state: SavedState | None) -> None: ...

    def get_schema(self) -> Catalog:
        return Catalog((CatalogStream(NUMBERS, SCHEMA),))

    def read_batch(self, max_rows: int) -> None: ...

    def get_incremental_state(self) -> None: ...

    def close(self) -> None: ...
