"""What each mode makes of random rows, against the same rules in plain Python."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from dativo_protocols import Batch, StreamId
from dativo_sdk import ConfiguredStream, JobKey, WriteCatalog

from dativo.targets.delta import DeltaWriter

deltalake = pytest.importorskip("deltalake", reason="the package `deltalake` is not installed")

S = StreamId("orders")
UTC = dt.UTC
SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("part", pa.utf8()),
        ("v", pa.int64()),
        ("at", pa.timestamp("us", "UTC")),
        ("gone", pa.bool_()),
        ("_dativo_version", pa.int64()),
    ]
)
Row = dict[str, Any]


def run(path: Path, stream: ConfiguredStream, commits: Iterable[Iterable[list[Row] | int]], **config: Any) -> None:
    """One run: a commit is batches of rows, and versions that are activated."""
    writer = DeltaWriter()
    writer.initialize({"path": str(path), **config}, WriteCatalog(JobKey("a", "b"), "run", {S: stream}))
    for parts in commits:
        for part in parts:
            if isinstance(part, int):
                writer.activate_version(S, part)
            else:
                data = pa.RecordBatch.from_pylist(part, schema=SCHEMA)
                writer.write_batch(Batch(S, data, data.num_rows, data.nbytes))
        writer.commit(b"1")
    writer.close()


def table(path: Path) -> list[Row]:
    found: list[Row] = pa.table(deltalake.DeltaTable(path / "orders").to_pyarrow_table()).to_pylist()
    return found


def some_rows(chance: random.Random, count: int, version: int) -> list[Row]:
    def one() -> Row:
        at = None if chance.random() < 0.1 else dt.datetime(2026, 1, chance.randint(1, 9), tzinfo=UTC)
        key = (chance.choice([None, *range(12)]), chance.choice(["a", "b"]))
        gone = chance.choice([True, False, None, None])
        return {"id": key[0], "part": key[1], "v": chance.randint(0, 2), "at": at, "gone": gone, "_dativo_version": version}

    return [one() for _ in range(count)]


def key(row: Row) -> tuple[Any, ...]:
    return (row["id"], row["part"])


def moment(row: Row) -> dt.datetime:
    return row["at"] or dt.datetime.min.replace(tzinfo=UTC)


def merged(before: list[Row], rows: list[Row], stream: ConfiguredStream) -> list[Row]:
    there = {key(row): row for row in before}
    best: dict[tuple[Any, ...], Row] = {}
    versions = {key(row): row["_dativo_version"] for row in rows}
    for row in rows:
        old = best.get(key(row))
        if old is None or not stream.cursor or moment(row) >= moment(old):
            best[key(row)] = row
    for name, row in best.items():
        if name not in there or not stream.cursor or moment(row) >= moment(there[name]):
            there.pop(name, None)
            if not (stream.deletes == "hard" and row["gone"]):
                there[name] = dict(row)
        if name in there:
            there[name]["_dativo_version"] = versions[name]
    return list(there.values())


def told(before: list[Row], rows: list[Row], stream: ConfiguredStream) -> list[Row]:
    """`scd2` with the cursor `at`; moments of the commit are `...`."""
    after = [dict(row) for row in before]
    if stream.cursor:
        rows = sorted(rows, key=moment)
    opened = {key(row): row for row in after if row["_dativo_valid_to"] is None}
    late: list[Row] = []
    latest = {name: moment(row) for name, row in opened.items()}
    for row in rows:
        if stream.cursor and moment(row) < latest.get(key(row), moment(row)):
            late.append(row)
            continue
        since = (row["at"] if stream.cursor else None) or ...
        current = next((old for old in after if key(old) == key(row) and old["_dativo_valid_to"] is None), None)
        deleted = stream.deletes != "ignore" and bool(row["gone"])
        if current is not None:
            if not deleted and all(current[name] == row[name] for name in ("v", "at", "gone")):
                current["_dativo_version"] = row["_dativo_version"]
                continue
            current["_dativo_valid_to"] = since
        if not deleted:
            after.append({**row, "_dativo_valid_from": since, "_dativo_valid_to": None})
    for row in late:
        if opened[key(row)]["_dativo_valid_to"] is None:
            opened[key(row)]["_dativo_version"] = row["_dativo_version"]
    return after


def obsolete(rows: list[Row], version: int, stream: ConfiguredStream) -> list[Row]:
    if stream.write_mode == "scd2":
        for row in rows:
            if row["_dativo_version"] != version and row["_dativo_valid_to"] is None:
                row["_dativo_valid_to"] = ...
        return rows
    if stream.deletes == "hard":
        return [row for row in rows if row["_dativo_version"] == version]
    for row in rows:
        if row["_dativo_version"] != version:
            row["_dativo_deleted_at"] = ...
    return rows


def appended(before: list[Row], rows: list[Row], stream: ConfiguredStream) -> list[Row]:
    return [*before, *(dict(row) for row in rows)]


def deduplicated(before: list[Row], rows: list[Row], stream: ConfiguredStream) -> list[Row]:
    """By key and cursor, or by everything; the newest version they came with goes to the one that stays."""
    names = ("id", "part", "at") if stream.primary_key else ("id", "part", "v", "at", "gone")
    after = [dict(row) for row in before]
    for row in rows:
        same = [old for old in after if all(old[name] == row[name] for name in names)]
        for old in same:
            old["_dativo_version"] = row["_dativo_version"]
        if not same:
            after.append(dict(row))
    return after


def shown(rows: list[Row]) -> list[str]:
    """Sorted; moments of commits, which are of this year's end, as `...`."""

    def one(row: Row) -> Row:
        values = {name: _text(value) for name, value in sorted(row.items())}
        return {name: value for name, value in values.items() if not (name == "_dativo_deleted_at" and value is None)}

    return sorted(str(one(row)) for row in rows)


def _text(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return "now" if value > NOW else value.isoformat()
    return "now" if value is ... else value


NOW = dt.datetime.now(UTC) - dt.timedelta(minutes=5)
KEY = ("id", "part")
RULES: list[tuple[ConfiguredStream, Callable[[list[Row], list[Row], ConfiguredStream], list[Row]]]] = [
    (ConfiguredStream(S, "merge", KEY, "at", "hard", "gone"), merged),
    (ConfiguredStream(S, "merge", KEY, "at", "soft", "gone"), merged),
    (ConfiguredStream(S, "merge", KEY, None, "hard", "gone"), merged),
    (ConfiguredStream(S, "scd2", KEY, "at", "hard", "gone"), told),
    (ConfiguredStream(S, "scd2", KEY, None, "soft", "gone"), told),
    (ConfiguredStream(S, "scd2", KEY, "at", "ignore", "gone"), told),
    (ConfiguredStream(S, "append", (), None, "hard"), appended),
    (ConfiguredStream(S, "append", (), None, "soft"), appended),
    (ConfiguredStream(S, "append_dedup", KEY, "at", "hard"), deduplicated),
    (ConfiguredStream(S, "append_dedup", (), None, "soft"), deduplicated),
]
NAMES = [f"{stream.write_mode}-{stream.cursor}-{stream.deletes}-{len(stream.primary_key)}" for stream, _ in RULES]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("stream", "rule"), RULES, ids=NAMES)
def test_random_rows(stream: ConfiguredStream, rule: Callable[..., list[Row]], seed: int, tmp_path: Path) -> None:
    chance = random.Random(f"{stream}{seed}")
    commits: list[list[list[Row] | int]] = []
    for version in (1, 1, 2, 3):
        rows = some_rows(chance, 30, version)
        activated: list[list[Row] | int] = [version] if version == 2 and stream.deletes != "ignore" else []
        commits.append([rows[:11], rows[11:20], *activated, rows[20:]])
    config = {"partition_by": ["part"], "file_size_bytes": 1} if seed else {}
    run(tmp_path, stream, commits, **config)
    assert shown(table(tmp_path)) == shown(expected_rows(commits, rule, stream))


def expected_rows(commits: list[list[list[Row] | int]], rule: Callable[..., list[Row]], stream: ConfiguredStream) -> list[Row]:
    """The rules look at a whole commit; an activation parts it."""
    expected: list[Row] = []
    for parts in commits:
        rows: list[Row] = []
        for part in parts:
            if isinstance(part, int):
                expected, rows = obsolete(rule(expected, rows, stream), part, stream), []
            else:
                rows += part
        expected = rule(expected, rows, stream)
    return expected
