"""Write modes, versions, inspection and replay where the DuckDB file itself matters: constraints, row ids, logs, older files.

Run as a script this module is the victim of the fault points.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from dativo_protocols import Batch, Rejects, StreamId
from dativo_protocols.errors import ConfigError, ContractError, TargetError
from dativo_sdk import ConfiguredStream, JobKey, Receipt, WriteCatalog

from dativo.targets.duckdb import DuckDBWriter

ORDERS = StreamId("orders")
JOB = JobKey("acme", "shop")


def opened(path: Path, *streams: ConfiguredStream, run: str = "run") -> DuckDBWriter:
    writer = DuckDBWriter()
    writer.initialize({"path": str(path)}, WriteCatalog(JOB, run, {stream.id: stream for stream in streams}))
    return writer


def send(writer: DuckDBWriter, columns: dict[str, Any]) -> None:
    data = pa.record_batch(columns)
    writer.write_batch(Batch(ORDERS, data, data.num_rows, data.nbytes))


def load(path: Path, columns: dict[str, Any], mode: Any, key: tuple[str, ...] = ("id",), **more: Any) -> Receipt:
    writer = opened(path, ConfiguredStream(ORDERS, mode, key, **more))
    try:
        send(writer, columns)
        return writer.commit(b"{}", final=True)
    finally:
        writer.close()


def query(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(path)) as connection:
        rows: list[tuple[Any, ...]] = connection.execute(sql).fetchall()
    return rows


def rejects(*records: bytes) -> Rejects:
    count = len(records)
    columns = {"line": list(range(count)), "column": ["id"] * count, "reason": ["bad"] * count, "record": list(records)}
    return Rejects(ORDERS, pa.record_batch(columns), count)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shop.duckdb"


def test_a_primary_key_of_the_users_is_merged_by_cursor_and_mark(path: Path) -> None:
    query(path, 'CREATE TABLE orders (id BIGINT PRIMARY KEY, "at" BIGINT, gone BOOLEAN, v VARCHAR)')
    options: Any = {"cursor": "at", "deletes": "hard", "delete_mark": "gone"}
    load(path, {"id": [1, 2, 3, 3], "at": [5, 5, 5, 4], "gone": [False] * 4, "v": ["a", "b", "c", "old"]}, "merge", **options)
    load(path, {"id": [1, 2, 3], "at": [4, 6, 6], "gone": [True, True, False], "v": ["x", "y", "new"]}, "merge", **options)

    assert query(path, "SELECT id, v FROM orders ORDER BY id") == [(1, "a"), (3, "new")]


def test_a_primary_key_of_the_users_and_rows_that_are_there_already(path: Path) -> None:
    query(path, "CREATE TABLE orders (id BIGINT PRIMARY KEY, v VARCHAR)")
    for value in ("a", "b"):
        load(path, {"id": [1, 2, 2], "v": [value] * 3}, "append_dedup")

    assert query(path, "SELECT * FROM orders ORDER BY id") == [(1, "a"), (2, "a")]


def test_a_column_that_hides_row_ids(path: Path) -> None:
    for at, value in ((2, "a"), (1, "b"), (2, "c")):
        load(path, {"id": [1], "rowid": [at], "v": [value]}, "merge", cursor="rowid")
    assert query(path, "SELECT v FROM orders") == [("c",)]
    load(path, {"id": [1, 2], "rowid": [2, 2], "v": ["again", "d"]}, "append_dedup", cursor="rowid")
    assert query(path, "SELECT v FROM orders ORDER BY id") == [("c",), ("d",)]

    with pytest.raises(ContractError, match="has a column `rowid`"):
        load(path, {"id": [1], "rowid": [3], "v": ["x"]}, "scd2")


@pytest.mark.parametrize("mode", ["merge", "scd2"])
def test_a_mode_that_needs_a_key_says_so(path: Path, mode: str) -> None:
    with pytest.raises(ConfigError, match="has no primary key"):
        load(path, {"id": [1]}, mode, key=())


def test_history_of_many_rows_fits_the_memory(path: Path) -> None:
    rows = 150_000
    for turn in range(2):
        values = [f"{number % 7 + turn * (number % 2)} is a text of some length" for number in range(rows)]
        load(path, {"id": list(range(rows)), "v": values}, "scd2")

    counted = "SELECT count(*), count(*) FILTER (_dativo_valid_to IS NULL), count(DISTINCT id) FROM orders"
    assert query(path, counted) == [(rows + rows // 2, rows, rows)]


def test_a_mark_of_true_and_false_is_one_in_a_column_of_text(path: Path) -> None:
    query(path, "CREATE TABLE orders (id BIGINT, gone VARCHAR)")
    load(path, {"id": [1, 2], "gone": [True, False]}, "merge", deletes="hard", delete_mark="gone")

    assert query(path, "FROM orders") == [(2, "false")]


def test_soft_deletes_add_their_column(path: Path) -> None:
    load(path, {"id": [1], "_dativo_version": [1]}, "append", key=())
    writer = opened(path, ConfiguredStream(ORDERS, deletes="soft"))
    writer.activate_version(ORDERS, 2)
    receipt = writer.commit(b"2", final=True)
    writer.close()

    assert [(change.kind, change.column) for change in receipt.changes] == [("column", "_dativo_deleted_at")]
    assert query(path, "SELECT id, _dativo_deleted_at IS NULL FROM orders") == [(1, False)]


def test_a_table_without_versions_loses_no_row_to_one(path: Path) -> None:
    load(path, {"id": [1]}, "append", key=())
    writer = opened(path, ConfiguredStream(ORDERS, deletes="hard"))
    writer.activate_version(ORDERS, 2)
    writer.activate_version(StreamId("unheard"), 2)
    writer.commit(b"2", final=True)
    writer.close()

    assert query(path, "SELECT id FROM orders") == [(1,)]


def test_counts_are_of_what_is_committed(path: Path) -> None:
    load(path, {"id": [1, 2]}, "append", key=())
    writer = opened(path, ConfiguredStream(ORDERS))
    send(writer, {"id": list(range(200_000))})
    assert writer.count_rows(ORDERS) == 2
    writer.commit(b"2")
    assert writer.count_rows(ORDERS) == 200_002
    writer.close()


def test_looking_at_a_file_that_is_not_there_makes_none(path: Path) -> None:
    found = DuckDBWriter().inspect({"path": str(path / "deeper.duckdb")}, JOB, [ORDERS])

    assert (found.state, found.tables[ORDERS].table, found.tables[ORDERS].data) == (None, "main.orders", None)
    assert not path.exists()


def test_looking_at_a_file_changes_no_byte_of_it(path: Path) -> None:
    load(path, {"id": [1]}, "append", key=())
    before = path.read_bytes()
    found = DuckDBWriter().inspect({"path": str(path)}, JOB, [ORDERS])

    assert (found.state, found.tables[ORDERS].rows, path.read_bytes() == before) == (b"{}", 1, True)
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_looking_at_a_file_that_somebody_writes_can_be_tried_again(path: Path) -> None:
    load(path, {"id": [1]}, "append", key=())
    holder = f"import duckdb, sys; c = duckdb.connect({str(path)!r}); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", holder], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        with pytest.raises(TargetError) as caught:
            DuckDBWriter().inspect({"path": str(path)}, JOB, [ORDERS])
        process.communicate(b"")

    assert (caught.value.retryable, caught.value.facts["pid"]) == (True, process.pid)


def test_rows_of_older_quarantine_tables_get_ids(path: Path) -> None:
    writer = opened(path, ConfiguredStream(ORDERS))
    writer.write_rejects(rejects(b"1", b"2"))
    writer.commit(b"1", final=True)
    writer.close()
    query(path, "ALTER TABLE orders__quarantine DROP id")

    seen = []
    for _ in range(2):
        writer = opened(path, ConfiguredStream(ORDERS))
        rows = [row for part in writer.read_rejects(ORDERS) for row in part.to_pylist()]
        seen.append({row["record"]: row["id"] for row in rows})
        writer.close()
    assert seen[0] == seen[1]
    assert len(set(seen[0].values())) == 2

    writer = opened(path, ConfiguredStream(ORDERS))
    writer.remove_rejects(ORDERS, [seen[0][b"1"]])
    writer.write_rejects(rejects(b"3"))
    writer.commit(b"2", final=True)
    writer.close()
    assert query(path, "SELECT record FROM orders__quarantine ORDER BY loaded_at, record") == [("2",), ("3",)]


def test_a_run_that_began_before_the_file_was_made_is_fenced(path: Path) -> None:
    late = opened(path, ConfiguredStream(ORDERS), run="late")
    writer = opened(path, ConfiguredStream(ORDERS))
    send(writer, {"id": [1]})
    writer.commit(None, final=True)
    writer.close()

    with pytest.raises(TargetError, match="has written to") as caught:
        send(late, {"id": [2]})
    late.close()
    assert caught.value.retryable
    assert query(path, "SELECT id FROM orders") == [(1,)]


@pytest.mark.parametrize("mode", ["append", "append_dedup", "overwrite", "merge", "scd2"])
def test_killed_at_each_step_of_a_commit_reruns_end_with_the_same_rows(tmp_path: Path, mode: str) -> None:
    def rows(name: str) -> list[tuple[Any, ...]]:
        ended = ", _dativo_valid_to IS NULL" if mode == "scd2" else ""
        return query(tmp_path / name, f"SELECT id, v{ended} FROM orders ORDER BY ALL")

    for point in ("staged", "merged#2", "before_commit", "committed"):
        environment = {**os.environ, "DATIVO_FAULT_POINT": f"duckdb.{point}"}
        killed = subprocess.run([sys.executable, __file__, str(tmp_path / "killed"), mode], env=environment)
        assert killed.returncode == -signal.SIGKILL
    for name in ("killed", "undisturbed"):
        _play(tmp_path / name, mode)

    assert rows("killed") == rows("undisturbed")


def _play(path: Path, mode: Any) -> None:
    """Three commits; a run goes on behind the last one that was committed, one that overwrites begins anew."""
    writer = DuckDBWriter()
    catalog = WriteCatalog(JOB, f"run-{os.getpid()}", {ORDERS: ConfiguredStream(ORDERS, mode, ("id",))})
    state = writer.initialize({"path": str(path)}, catalog)
    for turn in range(0 if mode == "overwrite" else int(state or b"0"), 3):
        send(writer, {"id": [turn, turn + 1, turn + 1], "v": [f"{turn}a", f"{turn}b", f"{turn}c"]})
        writer.commit(str(turn + 1).encode(), final=turn == 2)
    writer.close()


if __name__ == "__main__":
    _play(Path(sys.argv[1]), sys.argv[2])
