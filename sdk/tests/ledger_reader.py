"""A reader that keeps every promise, with every power; and readers that break one each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from dativo_protocols import (
    Batch,
    Catalog,
    CatalogStream,
    ConfigError,
    ConnectionStatus,
    Estimate,
    Rejects,
    State,
    StreamId,
)
from dativo_sdk import Partition, ReadCatalog, SavedState
from pydantic import BaseModel, ConfigDict, Field

ENTRIES, PLACES = StreamId("entries"), StreamId("places", "shop")
METHODS = ("FULL_TABLE", "INCREMENTAL")
SCHEMAS = {
    ENTRIES: pa.schema([("id", pa.int64()), ("amount", pa.decimal128(10, 2)), ("note", pa.utf8()), ("day", pa.date32())]),
    PLACES: pa.schema([("name", pa.utf8()), ("open", pa.bool_())]),
}


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    rows: int = Field(default=10, ge=0, le=1000)
    place: str = ""


class LedgerReader:
    """Entries by number, a state after every batch; and two places, which are read whole."""

    name = "ledger"
    version = "1.0"
    __api_version__ = "1.0"
    Config = Config

    def initialize(self, config: Config, catalog: ReadCatalog | None, state: SavedState | None) -> None:
        if config.place == "nowhere":
            raise ConfigError("there is no place `nowhere`", hint="name another one")
        self.config, self.state = config, None
        self.catalog = catalog
        saved = None if state is None else state.of(ENTRIES)
        self.start, self.end = (0 if saved is None else saved["id"]), config.rows
        self.parts = {ENTRIES, PLACES}
        if catalog is not None and catalog.partition is not None:
            part = json.loads(catalog.partition)
            self.parts = {PLACES} if part is None else {ENTRIES}
            if part is not None:
                self.start, self.end = part
        self.rows = self.pieces()

    def get_schema(self) -> Catalog:
        return Catalog(
            (
                CatalogStream(ENTRIES, {}, ("id",), ("id",), METHODS, data=SCHEMAS[ENTRIES]),
                CatalogStream(PLACES, {}, data=SCHEMAS[PLACES]),
            )
        )

    def read_batch(self, max_rows: int) -> Batch | None:
        self.max_rows = max_rows
        return next(self.rows, None)

    def get_incremental_state(self) -> State | None:
        return self.state

    def close(self) -> None:
        self.rows = iter(())

    def check(self) -> ConnectionStatus:
        return ConnectionStatus(True)

    def partitions(self, count: int, target_bytes: int) -> Sequence[Partition]:
        found = []
        for start in range(self.start, self.end, 4):
            end = min(start + 4, self.end)
            found.append(Partition(json.dumps([start, end]).encode(), self.state_of(end)))
        return [*found, Partition(b"null")]

    def estimates(self) -> list[Estimate]:
        return [Estimate(stream, None, 1, "STREAM") for stream in (ENTRIES, PLACES) if self.wants(stream)]

    def wants(self, stream: StreamId) -> bool:
        return self.catalog is None or stream in self.catalog.selected

    def pieces(self) -> Iterator[Batch]:
        if ENTRIES in self.parts and self.wants(ENTRIES):
            while self.start < self.end:
                end = min(self.start + self.max_rows, self.end)
                numbers = range(self.start, end)
                self.start, self.state = end, self.state_of(end)
                yield self.batch(ENTRIES, [self.entry(n) for n in numbers])
        if PLACES in self.parts and self.wants(PLACES):
            places = [{"name": "Übersee", "open": True}, {"name": "nebenan", "open": None}]
            while places:
                rows, places = places[: self.max_rows], places[self.max_rows :]
                self.state = None
                yield self.batch(PLACES, rows)

    def entry(self, n: int) -> dict[str, Any]:
        from datetime import date
        from decimal import Decimal

        return {"id": n, "amount": Decimal(n) / 4, "note": None if n % 3 else f"n{n}", "day": date(2024, 1, 1 + n % 28)}

    def state_of(self, end: int) -> State:
        return State(json.dumps({"id": end}).encode(), ENTRIES)

    def batch(self, stream: StreamId, rows: list[dict[str, Any]]) -> Batch:
        data = pa.RecordBatch.from_pylist(rows, schema=SCHEMAS[stream])
        fields = None if self.catalog is None or stream not in self.catalog.selected else self.catalog.selected[stream].fields
        if fields is not None:
            data = data.select([name for name in data.schema.names if name in fields])
        return Batch(stream, data, data.num_rows, data.nbytes)


class LosesARowAtItsStates(LedgerReader):
    """Begins one behind where it should."""

    def initialize(self, config: Config, catalog: ReadCatalog | None, state: SavedState | None) -> None:
        super().initialize(config, catalog, state)
        self.start += state is not None


class IgnoresItsState(LedgerReader):
    def initialize(self, config: Config, catalog: ReadCatalog | None, state: SavedState | None) -> None:
        super().initialize(config, catalog, None)


class DoublesRowsWithoutAKey(LedgerReader):
    """Goes on with the row that it had last."""

    def initialize(self, config: Config, catalog: ReadCatalog | None, state: SavedState | None) -> None:
        super().initialize(config, catalog, state)
        self.start -= state is not None

    def get_schema(self) -> Catalog:
        entries, places = super().get_schema().streams
        return Catalog((CatalogStream(ENTRIES, {}, (), ("id",), METHODS, data=entries.data), places))


class SaysMoreThanItGave(LedgerReader):
    """Its states are of the batch after."""

    def get_incremental_state(self) -> State | None:
        return None if self.state is None else self.state_of(min(self.start + 1, self.end))


class ReadsWhatIsNotSelected(LedgerReader):
    def wants(self, stream: StreamId) -> bool:
        return True

    def estimates(self) -> list[Estimate]:
        return [each for each in super().estimates() if self.catalog is None or each.stream in self.catalog.selected]


class ReadsFieldsThatAreNotSelected(LedgerReader):
    def batch(self, stream: StreamId, rows: list[dict[str, Any]]) -> Batch:
        data = pa.RecordBatch.from_pylist(rows, schema=SCHEMAS[stream])
        return Batch(stream, data, data.num_rows, data.nbytes)


class GivesMoreThanIsAskedFor(LedgerReader):
    def read_batch(self, max_rows: int) -> Batch | None:
        return super().read_batch(max_rows + 1)


class SaysAnotherSchema(LedgerReader):
    def get_schema(self) -> Catalog:
        _, places = super().get_schema().streams
        other = pa.schema([("id", pa.int32()), *list(SCHEMAS[ENTRIES])[1:]])
        return Catalog((CatalogStream(ENTRIES, {}, ("id",), ("id",), METHODS, data=other), places))


class NamesAKeyThatIsNotThere(LedgerReader):
    def get_schema(self) -> Catalog:
        _, places = super().get_schema().streams
        return Catalog((CatalogStream(ENTRIES, {}, ("uuid",), ("id",), METHODS, data=SCHEMAS[ENTRIES]), places))


class KeepsItsPlaceForEverybody(LedgerReader):
    """What one reader has read, no other one reads again while it is open."""

    taken: set[int] = set()  # noqa: RUF012

    def pieces(self) -> Iterator[Batch]:
        own: set[int] = set()
        self.own = own
        for batch in super().pieces():
            if batch.stream == ENTRIES:
                if self.start in self.taken:
                    continue
                own.add(self.start)
                self.taken.add(self.start)
            yield batch

    def close(self) -> None:
        self.taken.difference_update(getattr(self, "own", ()))
        super().close()


class ClosesOnce(LedgerReader):
    def close(self) -> None:
        if not hasattr(self, "rows"):
            raise AttributeError("nothing is open")
        super().close()


class SaysStatesThatAreNoObjects(LedgerReader):
    def state_of(self, end: int) -> State:
        return State(json.dumps([end]).encode(), ENTRIES)

    def initialize(self, config: Config, catalog: ReadCatalog | None, state: SavedState | None) -> None:
        found = None if state is None else state.of(ENTRIES)
        fitting = None if found is None else SavedState({ENTRIES: json.dumps({"id": found[0]}).encode()})
        super().initialize(config, catalog, fitting)


class SaysStatesOfAnotherStream(LedgerReader):
    def get_incremental_state(self) -> State | None:
        return self.state or State(b'{"id":10}', ENTRIES)


class FailsInItsOwnWords(LedgerReader):
    """Has no model, and believes what it is told."""

    Config = None  # type: ignore[assignment]

    def initialize(self, config: Any, catalog: ReadCatalog | None, state: SavedState | None) -> None:
        rows = config.get("rows", 10)
        if rows == -5:
            raise ConfigError("`rows` is below 0")
        super().initialize(Config.model_construct(rows=rows + 0, place=str(config.get("place", ""))), catalog, state)


class AcceptsWhatIsWrong(LedgerReader):
    Config = None  # type: ignore[assignment]

    def initialize(self, config: Any, catalog: ReadCatalog | None, state: SavedState | None) -> None:
        rows = config.get("rows", 10)
        super().initialize(Config(rows=rows if isinstance(rows, int) and 0 <= rows < 1000 else 10), catalog, state)

    def check(self) -> ConnectionStatus:
        return ConnectionStatus(True)


class ChecksNothing(LedgerReader):
    def check(self) -> ConnectionStatus:
        return ConnectionStatus(False, "always")


class MiscountsItsRows(LedgerReader):
    def batch(self, stream: StreamId, rows: list[dict[str, Any]]) -> Batch:
        whole = super().batch(stream, rows)
        return Batch(stream, whole.data, whole.rows + 1, whole.nbytes)


class ForgetsAPart(LedgerReader):
    def partitions(self, count: int, target_bytes: int) -> Sequence[Partition]:
        return super().partitions(count, target_bytes)[1:]


class GivesPartsTheStateBehind(LedgerReader):
    """Each part has the state of the part after it."""

    def partitions(self, count: int, target_bytes: int) -> Sequence[Partition]:
        parts = super().partitions(count, target_bytes)
        states = [*(part.state for part in parts[1:-1]), self.state_of(self.end), None]
        return [Partition(part.token, state) for part, state in zip(parts, states, strict=True)]


class ChangesItsTypes(LedgerReader):
    """Every second one has other types."""

    made = 0

    def initialize(self, config: Config, catalog: ReadCatalog | None, state: SavedState | None) -> None:
        super().initialize(config, catalog, state)
        type(self).made += catalog is not None
        self.odd = type(self).made % 2

    def get_schema(self) -> Catalog:
        _, places = super().get_schema().streams
        known: dict[str, Any] = {"properties": {name: {} for name in SCHEMAS[ENTRIES].names}}
        return Catalog((CatalogStream(ENTRIES, known, ("id",), ("id",), METHODS), places))

    def batch(self, stream: StreamId, rows: list[dict[str, Any]]) -> Batch:
        whole = super().batch(stream, rows)
        data = pa.record_batch(whole.data)
        if stream == ENTRIES and self.odd and "note" in data.schema.names:
            place = data.schema.get_field_index("note")
            data = data.set_column(place, "note", data.column("note").cast(pa.large_utf8()))
        return Batch(stream, data, data.num_rows, data.nbytes)


class PrintsToTheWire(LedgerReader):
    """Takes the program's own way out."""

    def initialize(self, config: Config, catalog: ReadCatalog | None, state: SavedState | None) -> None:
        super().initialize(config, catalog, state)
        from dativo_sdk._program import output

        output.write_arrow_frame = lambda *arguments, **named: 0  # type: ignore[attr-defined]


class NeverRejects(LedgerReader):
    """Rejected rows without the columns that they must have."""

    def pieces(self) -> Iterator[Any]:
        yield from super().pieces()
        if PLACES in self.parts and self.wants(PLACES):
            self.state = None
            yield Rejects(PLACES, pa.record_batch({"reason": ["no"]}), 1)
