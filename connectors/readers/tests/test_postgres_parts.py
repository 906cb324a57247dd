"""Parts of a table are the whole of it, as it was when they were made."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest
from dativo_protocols import StreamId
from dativo_sdk import Partition, SavedState, Selection

from .database import Database, by

ROWS = 60_000
FILL = f"SELECT i AS id, repeat('x', 200) AS v, i % 7 AS c FROM generate_series(1, {ROWS}) i"


def parts_of(reader: Any, count: int = 2, target_bytes: int = 4 << 20) -> Sequence[Partition]:
    parts: Sequence[Partition] = reader.partitions(count, target_bytes)
    return parts


def read_part(database: Database, streams: dict[str, Selection], part: Partition) -> list[int]:
    found = database.read(streams, partition=part.token)
    assert not any(found.states) or part.state is None
    return [value for batches in found.batches.values() for batch in batches for value in batch.column("id").to_pylist()]


@pytest.mark.parametrize("analyzed", [True, False])
def test_parts_are_the_whole(database: Database, analyzed: bool) -> None:
    database.sql(f"CREATE TABLE t AS {FILL}")
    if analyzed:
        database.sql("ANALYZE t")
    streams = {"t": Selection(replication_method="FULL_TABLE")}
    with database.reader(database.catalog(streams)) as reader:
        parts = parts_of(reader)
        assert len(parts) > 2
        each = [read_part(database, streams, part) for part in parts]
    assert sorted(value for part in each for value in part) == list(range(1, ROWS + 1))
    assert max(map(len, each)) < 2 * min(map(len, each))


def test_parts_see_one_snapshot_whatever_is_written_meanwhile(database: Database) -> None:
    database.sql(f"CREATE TABLE t AS {FILL}")
    streams = {"t": Selection(replication_method="FULL_TABLE")}
    over = threading.Event()

    def write() -> None:
        with database.connect() as connection:
            number = ROWS
            while not over.is_set():
                number += 1
                connection.execute("INSERT INTO t VALUES (%s, '', 0)", [number])
                connection.execute("DELETE FROM t WHERE id = %s", [number - ROWS])
                connection.execute("UPDATE t SET v = v || 'y' WHERE id = %s", [number - ROWS + 5000])

    with database.reader(database.catalog(streams)) as reader:
        writer = threading.Thread(target=write)
        parts = parts_of(reader, count=4)
        writer.start()
        try:
            found = [value for part in parts for value in read_part(database, streams, part)]
        finally:
            over.set()
            writer.join()
    assert database.sql("SELECT min(id) > 1 FROM t") == [(True,)]
    assert sorted(found) == list(range(1, ROWS + 1))


def test_partitioned_tables_and_heirs_are_divided_too(database: Database) -> None:
    database.sql(
        f"""
        CREATE TABLE p (id int, v text, c int) PARTITION BY LIST (c);
        CREATE TABLE p0 PARTITION OF p FOR VALUES IN (0, 1, 2, 3, 4, 5); CREATE TABLE p6 PARTITION OF p DEFAULT;
        INSERT INTO p {FILL};
        CREATE TABLE parent AS {FILL}; CREATE TABLE heir (more int) INHERITS (parent);
        INSERT INTO heir SELECT {ROWS} + i, repeat('y', 300), 0, 0 FROM generate_series(1, {ROWS}) i;
        """
    )
    for table, rows in (("p", ROWS), ("parent", 2 * ROWS)):
        streams = {table: Selection(replication_method="FULL_TABLE")}
        with database.reader(database.catalog(streams)) as reader:
            parts = parts_of(reader)
            assert len(parts) > 2
            found = sorted(value for part in parts for value in read_part(database, streams, part))
        assert found == list(range(1, rows + 1))


def test_what_has_no_pages_is_one_part(database: Database) -> None:
    database.sql(f"CREATE TABLE t AS {FILL}; CREATE VIEW v AS SELECT * FROM t; CREATE TABLE small AS SELECT 1 AS id")
    whole = Selection(replication_method="FULL_TABLE")
    streams = {"v": whole, "small": whole, ".q": whole}
    queries = {"q": {"sql": "SELECT id FROM t"}}
    with database.reader(database.catalog(streams, queries=queries), queries=queries) as reader:
        parts = parts_of(reader)
        assert len(parts) == 3
        found = [database.read(streams, partition=part.token, queries=queries) for part in parts]
    counts = {stream.name: sum(map(len, batches)) for reading in found for stream, batches in reading.batches.items()}
    assert counts == {"v": ROWS, "small": 1, "q": ROWS}


def test_a_first_load_in_parts_ends_with_the_state_of_all(database: Database) -> None:
    database.sql(f"CREATE TABLE t AS {FILL}; INSERT INTO t VALUES (0, '', NULL); ALTER TABLE t ADD UNIQUE (id)")
    streams = {"t": by("id")}
    with database.reader(database.catalog(streams)) as reader:
        parts = parts_of(reader)
        assert [part.state is not None for part in parts] == [False] * (len(parts) - 1) + [True]
        found = sorted(value for part in parts for value in read_part(database, streams, part))
    assert found == list(range(ROWS + 1))
    assert parts[-1].state is not None
    state = SavedState().merged(parts[-1].state)
    database.sql(f"INSERT INTO t VALUES ({ROWS + 1}, '', 0)")
    assert database.read(streams, state).column("t", "id") == [ROWS + 1]
    with database.reader(database.catalog(streams), state) as reader:
        (later,) = parts_of(reader)
        assert read_part(database, streams, later) == [ROWS + 1]


def test_a_closed_reader_ends_its_snapshot(database: Database) -> None:
    database.sql(f"CREATE TABLE t AS {FILL}")
    with database.reader(database.catalog(["t"])) as reader:
        parts = parts_of(reader)
        # One more in the same snapshot keeps nothing open for others.
        drain_first = read_part(database, {"t": Selection()}, parts[0])
        assert drain_first
    with pytest.raises(Exception, match="snapshot"):
        read_part(database, {"t": Selection()}, parts[0])


def test_rows_are_estimated_where_they_were_counted(database: Database) -> None:
    database.sql(f"CREATE TABLE t AS {FILL}; CREATE TABLE u AS SELECT 1 AS id; ANALYZE t")
    with database.reader(database.catalog(["t", "u"])) as reader:
        (estimate,) = (one for one in reader.estimates() if one.stream == StreamId("t", "public"))
    assert estimate.rows == pytest.approx(ROWS, rel=0.1)
