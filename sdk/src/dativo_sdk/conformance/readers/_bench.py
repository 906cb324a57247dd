"""A reader at work: read whole, in parts, from a state, by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
from dativo_protocols import Batch, Catalog, CatalogStream, Rejects, State, StreamId

from dativo_sdk._config import make_config
from dativo_sdk._read_catalog import ReadCatalog, Selection
from dativo_sdk._saved_state import SavedState
from dativo_sdk.conformance._check import CheckSkipped
from dativo_sdk.conformance.readers._case import ReaderCase
from dativo_sdk.testing import discover

__all__ = ["ReaderBench", "Step", "same_rows"]

MAX_STEPS = 100_000
ALL_ROWS = 1 << 20

Rows = Mapping[StreamId, list[dict[str, Any]]]


@dataclass(frozen=True)
class Step:
    """What one call of `read_batch` gave, and the state behind it.

    Attributes:
        data: The Arrow data.
        rows: As the piece says; `data` has the truth.
        saved: All states so far, merged.
    """

    stream: StreamId
    data: pa.RecordBatch
    rows: int
    nbytes: int
    is_rejects: bool
    state: State | None
    saved: SavedState


class ReaderBench:
    """What a check works with.

    Attributes:
        plugin: The class under test.
        config: As a user writes it.
    """

    def __init__(self, case: ReaderCase, plugin: type[Any], config: Mapping[str, Any]) -> None:
        self.case = case
        self.plugin = plugin
        self.config = config

    @cached_property
    def catalog(self) -> Catalog:
        """As discovered."""
        return discover(self.plugin, self.config)

    @cached_property
    def whole(self) -> list[Step]:
        """One read of everything."""
        return self.read()

    def stream(self, stream: StreamId) -> CatalogStream:
        """A stream of the catalog; it must be there."""
        for each in self.catalog.streams:
            if each.id == stream:
                return each
        raise AssertionError(f"expected rows of discovered streams only, found some of `{stream}`")

    def selection(self, *streams: StreamId, fields: Sequence[str] | None = None, partition: bytes | None = None) -> ReadCatalog:
        """These streams, or all; incrementally, where the reader says that it can."""
        selected = {
            stream.id: Selection(
                None if fields is None else tuple(fields),
                "INCREMENTAL" if {"INCREMENTAL", "LOG_BASED"} & {*stream.replication_methods} else "FULL_TABLE",
                stream.cursor[0] if stream.cursor else None,
            )
            for stream in self.catalog.streams
            if not streams or stream.id in streams
        }
        return ReadCatalog(self.catalog, selected, partition)

    @contextmanager
    def opened(self, catalog: ReadCatalog | None, state: SavedState | None = None) -> Iterator[Any]:
        """A reader that is initialized, and closed in the end."""
        reader = self.plugin()
        try:
            reader.initialize(make_config(self.plugin, self.config), catalog, state)
            yield reader
        finally:
            reader.close()

    def read(
        self, catalog: ReadCatalog | None = None, state: SavedState | None = None, *, max_rows: int | None = None
    ) -> list[Step]:
        """To the end."""
        with self.opened(catalog or self.selection(), state) as reader:
            return list(steps(reader, max_rows or self.case.max_rows, state))

    def needs_rows(self) -> None:
        """Skips what cannot be told of a reader that has none."""
        if not any(step.rows for step in self.whole):
            raise CheckSkipped("with this configuration the reader gives no rows")


def steps(reader: Any, max_rows: int, state: SavedState | None = None) -> Iterator[Step]:
    """Until the end, or until it is plain that there is none."""
    saved = state or SavedState()
    for _ in range(MAX_STEPS):
        piece = reader.read_batch(max_rows)
        if piece is None:
            return
        if not isinstance(piece, (Batch, Rejects)):
            raise AssertionError(f"expected a `Batch`, `Rejects` or None of `read_batch`, found {type(piece).__name__}")
        said = reader.get_incremental_state()
        saved = saved if said is None else saved.merged(said)
        nbytes = piece.nbytes if isinstance(piece, Batch) else 0
        data = pa.record_batch(piece.data)
        yield Step(piece.stream, data, piece.rows, nbytes, isinstance(piece, Rejects), said, saved)
    raise AssertionError(f"expected an end, found more than {MAX_STEPS} batches")


def rows_of(read: Sequence[Step]) -> dict[StreamId, list[dict[str, Any]]]:
    """Rows by stream, in their order; rejected ones are left out."""
    found: dict[StreamId, list[dict[str, Any]]] = {}
    for step in read:
        if not step.is_rejects:
            found.setdefault(step.stream, []).extend(step.data.to_pylist())
    return {stream: rows for stream, rows in found.items() if rows}


def counted(rows: Sequence[Mapping[str, Any]]) -> Counter[str]:
    """How often each row is there, whatever the order of its columns."""
    return Counter(repr(sorted(row.items())) for row in rows)


def same_rows(found: Rows, expected: Rows, what: str, *, ordered: bool = True) -> None:
    """Raises `AssertionError` unless each stream has the same rows."""
    for stream in {**expected, **found}:
        one, other = found.get(stream, []), expected.get(stream, [])
        if (one != other) if ordered else (counted(one) != counted(other)):
            first = next((place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), None)
            where = "" if first is None else f"; row {first} differs: {one[first]} and {other[first]}"
            raise AssertionError(
                f"{what}: expected {len(other)} row{'s' if len(other) != 1 else ''} of `{stream}`, found {len(one)}{where}"
            )
