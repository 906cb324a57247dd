"""Readers of a few lines, each with one thing to test."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from typing import Any, ClassVar

import pyarrow as pa
from dativo_protocols import (
    Batch,
    Catalog,
    CatalogStream,
    ConfigError,
    ConnectorError,
    Estimate,
    Rejects,
    State,
    StreamId,
)
from dativo_sdk import Partition, ReadCatalog, SavedState
from pydantic import BaseModel

NUMBERS = StreamId("numbers")
WORDS = StreamId("words", "other")
SCHEMA = {"type": "object", "properties": {"id": {"type": "integer"}, "name": {"type": ["null", "string"]}}}
ARROW = pa.schema([pa.field("id", pa.int64()), pa.field("name", pa.utf8())])


def batch(stream: StreamId, ids: range) -> Batch:
    data = pa.record_batch({"id": list(ids), "name": [f"row {number}" for number in ids]}, schema=ARROW)
    return Batch(stream, data, data.num_rows, data.nbytes)


class Settings(BaseModel):
    rows: int = 10
    fail_at: int | None = None
    password: str = ""
    marks: str | None = None


class Numbers:
    """`rows` rows, two a batch, with a state behind each; it appends what is called to the file `marks`."""

    name = "numbers"
    version = "1.2"
    Config = Settings

    def initialize(self, config: Settings, catalog: ReadCatalog | None, state: SavedState | None) -> None:
        self.config = config
        self.partition = None if catalog is None else catalog.partition
        self.next = 0 if state is None else (state.of(NUMBERS) or {}).get("next", 0)
        self.end = config.rows
        if self.partition is not None:
            self.next, self.end = json.loads(self.partition)
        self.mark("initialize")

    def get_schema(self) -> Catalog:
        methods = ("FULL_TABLE", "INCREMENTAL")
        numbers = CatalogStream(NUMBERS, SCHEMA, ("id",), ("id",), methods, data=ARROW)
        return Catalog((numbers, CatalogStream(WORDS, SCHEMA, data=ARROW)))

    def read_batch(self, max_rows: int) -> Batch | Rejects | None:
        if self.config.fail_at is not None and self.next >= self.config.fail_at:
            raise ValueError(f"no row {self.next}, {self.config.password}")
        if self.next >= self.end:
            return None
        first, self.next = self.next, min(self.next + 2, self.end)
        return batch(NUMBERS, range(first, self.next))

    def get_incremental_state(self) -> State | None:
        return State(json.dumps({"next": self.next}).encode(), NUMBERS)

    def close(self) -> None:
        self.mark("close")

    def mark(self, what: str) -> None:
        if getattr(self, "config", None) and self.config.marks:
            with open(self.config.marks, "a") as file:
                file.write(f"{what} {os.getpid()}\n")


class Silent(Numbers):
    """Says nothing for a second after the first batch."""

    def read_batch(self, max_rows: int) -> Batch | Rejects | None:
        if self.next:
            time.sleep(1.0)
        return super().read_batch(max_rows)


class Talking(Silent):
    """Does so too, but logs meanwhile."""

    def read_batch(self, max_rows: int) -> Batch | Rejects | None:
        for _ in range(10 if self.next else 0):
            time.sleep(0.1)
            logging.getLogger("reader").warning("still here, %s", self.config.password)
        return Numbers.read_batch(self, max_rows)


class Refusing(Numbers):
    def initialize(self, config: Settings, catalog: ReadCatalog | None, state: SavedState | None) -> None:
        raise ConfigError(f"no such place as {config.password}", hint="mend it")


class Unreachable(Numbers):
    def get_schema(self) -> Catalog:
        raise ConnectorError("no route to the source", retryable=True)


class Scripted:
    """Gives the pieces of `script`, each with its state."""

    script: ClassVar[list[tuple[Batch | Rejects, State | None]]] = []

    def initialize(self, config: Any, catalog: ReadCatalog | None, state: SavedState | None) -> None:
        self.left = list(self.script)
        self.state: State | None = None

    def get_schema(self) -> Catalog:
        return Catalog((CatalogStream(NUMBERS, SCHEMA, data=ARROW), CatalogStream(WORDS, SCHEMA, data=ARROW)))

    def estimates(self) -> list[Estimate]:
        return [Estimate(NUMBERS, 4, None, "STREAM")]

    def read_batch(self, max_rows: int) -> Batch | Rejects | None:
        if not self.left:
            return None
        piece, self.state = self.left.pop(0)
        return piece

    def get_incremental_state(self) -> State | None:
        return self.state

    def close(self) -> None:
        """Nothing is held."""


class Parts(Numbers):
    """Read in parts of two rows, each with the state behind it."""

    releases_gil = True

    def partitions(self, count: int, target_bytes: int) -> list[Partition]:
        parts = [(first, min(first + 2, self.end)) for first in range(self.next, self.end, 2)]
        return [Partition(json.dumps(part).encode(), State(json.dumps({"next": part[1]}).encode(), NUMBERS)) for part in parts]


class HoldingParts(Parts):
    """Likewise, but its work is done in Python."""

    releases_gil = False


class SlowParts(Parts):
    """Takes its time for each batch."""

    def read_batch(self, max_rows: int) -> Batch | Rejects | None:
        if self.next < self.end:
            time.sleep(0.3)
        return super().read_batch(max_rows)


class StallingParts(Parts):
    """Says nothing of its third part, for a minute."""

    def read_batch(self, max_rows: int) -> Batch | Rejects | None:
        if self.next == 4:
            time.sleep(60.0)
        return super().read_batch(max_rows)


class LeavingParts(Parts):
    """Ends its process soon after a part."""

    def close(self) -> None:
        super().close()
        if self.end != 40:
            threading.Timer(0.05, os._exit, (3,)).start()


class NoParts(Parts):
    def partitions(self, count: int, target_bytes: int) -> list[Partition]:
        return []
