"""The write modes against a plain model of them: any rows, in any order, over commits and runs."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from dativo_sdk._writer import ConfiguredStream, Versioning, WriteMode
from dativo_sdk.conformance._bench import Bench
from dativo_sdk.conformance._check import check
from dativo_sdk.conformance._data import ORDERS, batch
from dativo_sdk.conformance._expect import same

RUNS = 5


@dataclass(frozen=True)
class Row:
    """A row; `current` is false where its history has gone on."""

    id: int | None
    at: int | None
    v: str | None
    gone: bool | None
    version: int
    current: bool = True

    @property
    def says(self) -> tuple[object, ...]:
        return self.id, self.at, self.v, self.gone


def cursor(row: Row) -> tuple[bool, int]:
    """Null is the smallest."""
    return row.at is not None, row.at or 0


def merged(table: list[Row], came: list[Row], *, by_cursor: bool) -> list[Row]:
    for key in dict.fromkeys(row.id for row in came):
        new = [row for row in came if row.id == key]
        best = new[-1]
        for row in reversed(new) if by_cursor else ():
            best = row if cursor(row) > cursor(best) else best
        old = [row for row in table if row.id == key]
        if by_cursor and any(cursor(row) > cursor(best) for row in old):
            table = [replace(row, version=best.version) if row in old else row for row in table]
            continue
        table = [row for row in table if row.id != key] + ([] if best.gone else [best])
    return table


def deduplicated(table: list[Row], came: list[Row], *, by_cursor: bool) -> list[Row]:
    def identity(row: Row) -> tuple[object, ...]:
        return (row.id, row.at) if by_cursor else (row.id,)

    for row in came:
        if identity(row) in [identity(other) for other in table]:
            table = [replace(other, version=row.version) if identity(other) == identity(row) else other for other in table]
        else:
            table = [*table, row]
    return table


def remembered(table: list[Row], came: list[Row], *, by_cursor: bool) -> list[Row]:
    for key in dict.fromkeys(row.id for row in came):
        new = [row for row in came if row.id == key]
        last = next((row for row in table if row.id == key and row.current), None)
        if by_cursor:
            new = [row for row in new if last is None or cursor(row) >= cursor(last)]
            new.sort(key=cursor)
        for row in new:
            if last is not None and not row.gone and row.says == last.says:
                continue
            table = [replace(other, current=False) if other.id == key else other for other in table]
            table = table if row.gone else [*table, row]
            last = None if row.gone else row
        version = max(row.version for row in came)
        table = [replace(row, version=version) if row.id == key and row.current else row for row in table]
    return table


def activated(table: list[Row], version: int, *, history: bool) -> list[Row]:
    if history:
        return [row if row.version == version else replace(row, current=False) for row in table]
    return [row for row in table if row.version == version]


def some_rows(chance: random.Random, version: int) -> list[Row]:
    def one() -> Row:
        at = chance.choice([None, 1, 2, 3, 4])
        return Row(
            chance.choice([None, 1, 2, 3]),
            at,
            chance.choice([None, "a", "b"]),
            chance.choice([None, False, False, True]),
            version,
        )

    return [one() for _ in range(chance.randrange(7))]


def sent(rows: list[Row]) -> Any:
    columns: dict[str, Any] = {
        "id": pa.array([row.id for row in rows], pa.int64()),
        "at": pa.array([row.at for row in rows], pa.int64()),
        "v": pa.array([row.v for row in rows], pa.utf8()),
        "gone": pa.array([row.gone for row in rows], pa.bool_()),
        "_dativo_version": pa.array([row.version for row in rows], pa.int64()),
    }
    return batch(columns)


def compare(bench: Bench, mode: WriteMode, model: Callable[..., list[Row]], *, by_cursor: bool) -> None:
    mark = None if mode == "append_dedup" else "gone"
    stream = ConfiguredStream(ORDERS, mode, ("id",), "at" if by_cursor else None, "hard", mark)
    chance = random.Random(f"{mode} {by_cursor}")
    table: list[Row] = []
    version = 1
    for run in range(RUNS):
        writer = bench.open(stream)
        for final in (False, True):
            for activates in (True, False):
                came = some_rows(chance, version)
                for start in range(0, len(came) + 1, 3):
                    writer.write_batch(sent(came[start : start + 3]))
                table = model(table, came, by_cursor=by_cursor)
                if not activates or not isinstance(writer, Versioning) or chance.random() < 0.5:
                    break
                writer.activate_version(ORDERS, version)
                table = activated(table, version, history=mode == "scd2")
                version += 1
            writer.commit(b"{}", final=final)
        bench.close()
        found = [
            (row["id"], row["at"], row["v"], row["gone"], row["_dativo_version"], row.get("_dativo_valid_to") is None)
            for row in bench.rows(order=None)
        ]
        expected = [(*row.says, row.version, row.current) for row in table]
        same(sorted(found, key=repr), sorted(expected, key=repr), f"rows after run {run + 1}")


@check("merge")
def merge_agrees_with_its_model(bench: Bench) -> None:
    compare(bench, "merge", merged, by_cursor=False)


@check("merge")
def merge_by_cursor_agrees_with_its_model(bench: Bench) -> None:
    compare(bench, "merge", merged, by_cursor=True)


@check("append_dedup")
def append_dedup_agrees_with_its_model(bench: Bench) -> None:
    compare(bench, "append_dedup", deduplicated, by_cursor=False)


@check("append_dedup")
def append_dedup_by_cursor_agrees_with_its_model(bench: Bench) -> None:
    compare(bench, "append_dedup", deduplicated, by_cursor=True)


@check("scd2")
def scd2_agrees_with_its_model(bench: Bench) -> None:
    compare(bench, "scd2", remembered, by_cursor=False)


@check("scd2")
def scd2_by_cursor_agrees_with_its_model(bench: Bench) -> None:
    compare(bench, "scd2", remembered, by_cursor=True)
