"""What only the DuckDB target does: adoption of tables, constraints, the file's troubles, SIGKILL.

Run as a script this module is the victim of the SIGKILL test.
"""

from __future__ import annotations

import datetime as dt
import os
import random
import resource
import signal
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from dativo_protocols import Batch, Rejects, StreamId
from dativo_protocols.errors import ConfigError, ContractError, TargetError
from dativo_sdk import ConfiguredStream, JobKey, Receipt, WriteCatalog

from dativo._evolution import evolve, json_field
from dativo._exact_text import exact_text, json_text
from dativo.targets.duckdb import DuckDBWriter

ORDERS, USERS, ITEMS = StreamId("orders"), StreamId("users"), StreamId("items")
JOB = JobKey("acme", "shop")


def open_writer(path: Path, *streams: ConfiguredStream, **config: Any) -> tuple[DuckDBWriter, bytes | None]:
    writer = DuckDBWriter()
    catalog = WriteCatalog(JOB, f"run-{os.urandom(4).hex()}", {stream.id: stream for stream in streams})
    return writer, writer.initialize({"path": str(path), **config}, catalog)


def send(writer: DuckDBWriter, stream: StreamId, data: pa.RecordBatch) -> None:
    writer.write_batch(Batch(stream, data, data.num_rows, data.nbytes))


def load(path: Path, data: pa.RecordBatch, mode: str = "append", key: tuple[str, ...] = (), **config: Any) -> Receipt:
    writer, _ = open_writer(path, ConfiguredStream(ORDERS, mode, key), **config)  # type: ignore[arg-type]
    try:
        send(writer, ORDERS, data)
        return writer.commit(b"{}", final=True)
    finally:
        writer.close()


def query(path: Path, sql: str) -> list[tuple[Any, ...]]:
    import duckdb

    with duckdb.connect(str(path)) as connection:
        rows: list[tuple[Any, ...]] = connection.execute(sql).fetchall()
    return rows


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.duckdb"


def test_columns_have_duckdbs_own_types(path: Path) -> None:
    fields = [
        pa.field("n", pa.decimal128(38, 9)),
        pa.field("at", pa.timestamp("us", "UTC")),
        pa.field("local", pa.timestamp("us")),
        json_field("j"),
        pa.field("l", pa.list_(pa.int64())),
        pa.field("s", pa.struct([("a", pa.utf8())])),
        pa.field("b", pa.binary()),
    ]
    load(path, pa.record_batch([pa.nulls(1, field.type) for field in fields], schema=pa.schema(fields)))
    types = query(path, "SELECT data_type FROM duckdb_columns() WHERE table_name = 'orders' ORDER BY column_index")
    assert [kind for (kind,) in types] == [
        "DECIMAL(38,9)",
        "TIMESTAMP WITH TIME ZONE",
        "TIMESTAMP",
        "JSON",
        "BIGINT[]",
        "STRUCT(a VARCHAR)",
        "BLOB",
    ]


def test_dativos_own_tables_say_what_came_from_where(path: Path) -> None:
    load(path, pa.record_batch({"Order Id": [1]}))
    assert query(path, "SELECT tenant, job, state FROM _dativo_state") == [("acme", "shop", b"{}")]
    assert query(path, "SELECT * FROM _dativo_tables") == [(None, "orders", "orders", None)]
    assert query(path, "SELECT * FROM _dativo_columns") == [("orders", "Order Id", "Order_Id", "int64")]


def test_a_schema_is_made_and_holds_everything(path: Path) -> None:
    load(path, pa.record_batch({"id": [1]}), schema='raw "1"')
    assert query(path, 'SELECT id FROM "raw ""1""".orders') == [(1,)]
    writer, state = open_writer(path, schema='raw "1"')
    writer.close()
    assert state == b"{}"


def test_a_users_table_is_adopted_and_its_defaults_hold(path: Path) -> None:
    query(path, "CREATE TABLE Orders (ID INTEGER, note VARCHAR DEFAULT 'mine', mood ENUM ('good', 'bad'), key UUID)")
    query(path, "INSERT INTO Orders (ID) VALUES (1)")
    key = "00000000-0000-0000-0000-000000000001"
    receipt = load(path, pa.record_batch({"id": [2**40], "mood": ["bad"], "key": [key], "new": [True]}))
    changes = [(change.kind, change.column, change.before, change.after) for change in receipt.changes]
    assert changes == [("type", "ID", "int32", "int64"), ("column", "new", None, "bool")]
    assert query(path, "SELECT ID, note, mood, key::VARCHAR, new FROM orders ORDER BY ID")[1] == (2**40, "mine", "bad", key, True)


def test_a_column_changed_by_hand_is_seen(path: Path) -> None:
    load(path, pa.record_batch({"id": [1], "gone": ["x"]}))
    query(path, "ALTER TABLE orders ALTER id TYPE VARCHAR")
    query(path, "ALTER TABLE orders DROP gone")
    load(path, pa.record_batch({"id": [2], "gone": ["y"]}))
    assert query(path, "FROM orders ORDER BY id") == [("1", None), ("2", "y")]


@pytest.mark.parametrize("column", ["id", "rowid"])
def test_a_merge_into_a_table_with_a_primary_key(path: Path, column: str) -> None:
    query(path, f"CREATE TABLE orders ({column} BIGINT PRIMARY KEY, v VARCHAR)")
    query(path, "INSERT INTO orders VALUES (1, 'a'), (2, 'b')")
    load(path, pa.record_batch({column: [2, 3, 3], "v": ["c", "d", "e"]}), "merge", (column,))
    assert query(path, f"FROM orders ORDER BY {column}") == [(1, "a"), (2, "c"), (3, "e")]


def test_a_merge_by_a_column_that_hides_row_ids(path: Path) -> None:
    writer, _ = open_writer(path, ConfiguredStream(ORDERS, "merge", ("id",)))
    send(writer, ORDERS, pa.record_batch({"id": [1, 1], "v": ["a", "b"]}))
    send(writer, ORDERS, pa.record_batch({"id": [1, 2], "rowid": [7, 8], "v": ["c", "d"]}))
    send(writer, ORDERS, pa.record_batch({"id": [2], "rowid": [9], "v": ["e"]}))
    writer.commit(b"1", final=True)
    writer.close()
    assert query(path, "SELECT id, v, rowid FROM orders ORDER BY id") == [(1, "c", 7), (2, "e", 9)]


def test_a_null_in_a_key_is_a_key_like_others(path: Path) -> None:
    for value in ("a", "b"):
        data = pa.record_batch({"id": pa.array([None, 1], pa.int64()), "v": [value, value]})
        load(path, data, "merge", ("id",))
    assert query(path, "FROM orders ORDER BY id") == [(1, "b"), (None, "b")]


def test_a_merge_needs_its_key(path: Path) -> None:
    with pytest.raises(ConfigError, match="has no primary key"):
        load(path, pa.record_batch({"id": [1]}), "merge")
    with pytest.raises(ContractError, match="has no column `key`"):
        load(path, pa.record_batch({"id": [1]}), "merge", ("key",))


def test_merging_a_large_table_keeps_one_row_a_key(path: Path) -> None:
    rows = 300_000
    first = pa.record_batch({"id": pa.array(range(rows)), "v": pa.array(["old"] * rows)})
    load(path, first, "merge", ("id",))
    later = pa.record_batch({"id": pa.array(range(rows // 2, rows + rows // 2)), "v": pa.array(["new"] * rows)})
    load(path, later, "merge", ("id",))
    counts = query(path, "SELECT count(*), count(DISTINCT id), count(*) FILTER (v = 'new') FROM orders")
    assert counts == [(rows + rows // 2, rows + rows // 2, rows)]


def test_overwriting_reports_what_changed(path: Path) -> None:
    load(path, pa.record_batch({"id": [1], "v": [1], "old": ["x"]}))
    receipt = load(path, pa.record_batch({"id": [1], "v": ["a"], "new": ["y"]}), "overwrite")
    assert {(change.kind, change.column, change.before, change.after) for change in receipt.changes} == {
        ("column", "new", None, "string"),
        ("column", "old", "string", None),
        ("type", "v", "int64", "string"),
    }


def test_overwriting_leaves_no_hidden_table(path: Path) -> None:
    writer, _ = open_writer(path, ConfiguredStream(ORDERS, "overwrite"))
    send(writer, ORDERS, pa.record_batch({"id": [1]}))
    writer.commit(b"1")
    writer.close()
    hidden = "SELECT count(*) FROM duckdb_tables() WHERE table_name LIKE '_dativo_new%'"
    assert query(path, hidden) == [(1,)]
    open_writer(path)[0].close()
    assert query(path, hidden) == [(0,)]


def test_overwriting_replaces_the_quarantine(path: Path) -> None:
    for number in range(3):
        writer, _ = open_writer(path, ConfiguredStream(ORDERS, "overwrite"))
        send(writer, ORDERS, pa.record_batch({"id": [1]}))
        if number < 2:
            data = pa.record_batch({"line": [number], "column": ["id"], "reason": ["bad"], "record": [b"{}"]})
            writer.write_rejects(Rejects(ORDERS, data, 1))
        writer.commit(b"1", final=True)
        writer.close()
        lines = query(path, "SELECT line FROM orders__quarantine")
        assert lines == ([(number,)] if number < 2 else [])


@pytest.mark.parametrize(
    "field",
    [
        pa.field("c", pa.decimal256(50, 3)),
        pa.field("c", pa.struct([("a", pa.int64()), ("A", pa.int64())])),
        pa.field("c", pa.struct([])),
        pa.field("c", pa.duration("us")),
    ],
    ids=str,
)
def test_a_type_that_duckdb_lacks_is_refused(path: Path, field: pa.Field) -> None:
    with pytest.raises(ContractError, match="cannot hold column `c`") as caught:
        load(path, pa.record_batch([pa.nulls(1, field.type)], schema=pa.schema([field])))
    assert caught.value.facts["stream"] == "orders"


@pytest.mark.parametrize(
    "array",
    [
        pa.array([2**63 - 1], pa.timestamp("us", "UTC")),
        pa.array([-(2**63) + 2], pa.timestamp("us")),
        pa.array([2**31 - 1], pa.date32()),
        pa.array([[None, -1]], pa.list_(pa.time64("us"))),
        pa.array([{"at": 2**63 - 1}], pa.struct([("at", pa.timestamp("us"))])),
    ],
    ids=lambda array: str(array.type),
)
def test_a_moment_beyond_duckdbs_calendar_is_refused(path: Path, array: pa.Array) -> None:
    with pytest.raises(ContractError, match="beyond DuckDB's calendar"):
        load(path, pa.record_batch([array], names=["c"]))


TEXTS = {
    "int": pa.array([-1, 2**62, None]),
    "float": pa.array([0.1, 1e15, 1e16, 1e-4, 1e-5, -0.0, 5e-324, 1.7976931348623157e308, None, 123456789.125]),
    "no number": pa.array([float("nan"), float("inf"), float("-inf")]),
    "bool": pa.array([True, False]),
    "decimal": pa.array([Decimal(0), Decimal("-0.000000001"), Decimal("12345678901234567890.5")], pa.decimal128(38, 9)),
    "timestamp": pa.array([0, 1, 1_600_000_000_100_000, -62135596800000000], pa.timestamp("us", "UTC")),
    "naive": pa.array([0, 1_600_000_000_123_456], pa.timestamp("us")),
    "date": pa.array([dt.date(1, 1, 1), dt.date(9999, 12, 31)]),
    "time": pa.array([dt.time(0), dt.time(23, 59, 59, 500000)], pa.time64("us")),
    "binary": pa.array([b"\x00\xff", b""]),
}
NESTED = {
    "list": pa.array([[1, None], None, []]),
    "lists": pa.array([[[0.5], None], []]),
    "struct": pa.array([{"a": 1, 'b"': {"c": ["x", None]}}, None, {"a": None, 'b"': None}]),
    "moments": pa.array([[{"at": 1_600_000_000_100_000}]], pa.list_(pa.struct([("at", pa.timestamp("us", "UTC"))]))),
}


@pytest.mark.parametrize("name", TEXTS)
def test_stored_values_get_the_same_text_as_those_that_come(path: Path, name: str) -> None:
    load(path, pa.record_batch({"v": TEXTS[name]}))
    load(path, pa.record_batch({"v": ["x"]}))
    assert [value for (value,) in query(path, "FROM orders")][:-1] == exact_text(TEXTS[name]).to_pylist()


@pytest.mark.parametrize("name", [*TEXTS, *NESTED])
def test_stored_values_get_the_same_json_as_those_that_come(path: Path, name: str) -> None:
    array = TEXTS.get(name, NESTED.get(name))
    field = pa.field("v", array.type)
    load(path, pa.record_batch([array], schema=pa.schema([field])))
    load(path, pa.record_batch([pa.array(["{}"])], schema=pa.schema([json_field("v")])))
    assert [value for (value,) in query(path, "FROM orders")][:-1] == json_text(array, field).to_pylist()


def test_structs_widen_in_place(path: Path) -> None:
    load(path, pa.record_batch({"s": [{"a": 1}, None]}))
    load(path, pa.record_batch({"s": [{"b": "x", "a": 0.5}]}))
    assert query(path, "FROM orders") == [({"a": 1.0, "b": None},), (None,), ({"a": 0.5, "b": "x"},)]


@pytest.mark.parametrize(
    ("config", "message", "key"),
    [
        ({"pth": "x"}, "unknown key `pth`", "pth"),
        ({"path": 5}, "`path`", "path"),
        ({"path": ":memory:"}, "name a file", "path"),
        ({"threads": 0}, "`threads`", "threads"),
        ({"memory_limit": "much"}, "`memory_limit`", "memory_limit"),
    ],
)
def test_a_wrong_configuration_is_refused(path: Path, config: dict[str, Any], message: str, key: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        DuckDBWriter().initialize({"path": str(path), **config}, WriteCatalog(JOB, "r"))
    assert caught.value.facts["key"] == key
    if key == "pth":
        assert caught.value.hint == "valid keys: `path`, `schema`, `memory_limit`, `threads`, `compression`"


def test_the_path_is_needed_and_its_directories_are_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs `path`"):
        DuckDBWriter().initialize({}, WriteCatalog(JOB, "r"))
    load(tmp_path / "a" / "b" / "c.duckdb", pa.record_batch({"id": [1]}))
    assert (tmp_path / "a" / "b" / "c.duckdb").exists()


def test_a_run_that_writes_nothing_leaves_no_file(tmp_path: Path) -> None:
    writer, state = open_writer(tmp_path / "new" / "out.duckdb", ConfiguredStream(ORDERS))
    assert (writer.get_schema(ORDERS), state) == (None, None)
    writer.close()
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_began_before_another_one_made_the_file_is_refused(path: Path) -> None:
    writer, _ = open_writer(path, ConfiguredStream(ORDERS))
    load(path, pa.record_batch({"id": [1]}))
    with pytest.raises(TargetError, match="since this one began") as caught:
        send(writer, ORDERS, pa.record_batch({"id": [2]}))
    writer.close()
    assert caught.value.retryable
    assert query(path, "FROM orders") == [(1,)]


def test_without_the_package_the_hint_says_what_to_install(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(ConfigError) as caught:
        open_writer(path)
    assert caught.value.hint == "pip install 'dativo[duckdb]'"


def test_the_module_imports_no_duckdb() -> None:
    code = "import sys, dativo.targets.duckdb; assert 'duckdb' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_file_that_another_process_has_open_names_it(path: Path) -> None:
    code = f"import duckdb, sys; c = duckdb.connect({str(path)!r}); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(TargetError) as caught:
            open_writer(path)
        assert other.stdin is not None
        other.stdin.close()
    assert caught.value.retryable
    assert caught.value.facts["pid"] == other.pid
    assert str(other.pid) in str(caught.value.hint)


def test_troubles_with_the_file_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database" * 1000)
    with pytest.raises(TargetError, match="no database that this DuckDB can read"):
        open_writer(tmp_path / "text")
    with pytest.raises(TargetError, match="it is a directory"):
        open_writer(tmp_path)
    with pytest.raises(TargetError, match="cannot make the directory"):
        open_writer(tmp_path / "text" / "x.duckdb")


def test_a_view_in_the_place_of_a_table_is_refused(path: Path) -> None:
    query(path, "CREATE VIEW orders AS SELECT 1 AS id")
    with pytest.raises(TargetError, match="`orders` is a view"):
        load(path, pa.record_batch({"id": [1]}))


def test_a_broken_constraint_leaves_nothing_behind(path: Path) -> None:
    query(path, "CREATE TABLE orders (id BIGINT CHECK (id < 5))")
    with pytest.raises(ContractError, match="breaks a constraint"):
        load(path, pa.record_batch({"id": [1, 9]}))
    assert query(path, "FROM orders") == []


def test_after_an_error_every_call_raises_it(path: Path) -> None:
    load(path, pa.record_batch({"v": [0.5]}))
    writer, _ = open_writer(path, ConfiguredStream(ORDERS))
    with pytest.raises(ContractError) as first:
        send(writer, ORDERS, pa.record_batch({"v": [2**60]}))
    with pytest.raises(ContractError) as second:
        writer.commit(b"1")
    writer.close()
    assert first.value is second.value


def full_disk(path: str) -> None:
    """Writes more than the process may, and prints the error."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 20, 3 << 20))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        load(Path(path), pa.record_batch({"v": [os.urandom(1000) for _ in range(20_000)]}))
    except TargetError as error:
        print(error.message)


def test_a_full_disk_is_a_clear_error_and_the_last_commit_stands(path: Path) -> None:
    load(path, pa.record_batch({"v": [b"x"]}))
    code = [sys.executable, __file__, "full_disk", str(path)]
    told = subprocess.run(code, check=True, capture_output=True, text=True).stdout
    assert "may not grow further" in told or "is full" in told, told
    assert query(path, "SELECT count(*) FROM orders") == [(1,)]


STEPS, ROWS = 12, 3_000


def victim(path: str) -> None:
    """A run that goes on from the committed state: three streams, a checkpoint each step."""
    streams = (ConfiguredStream(ORDERS), ConfiguredStream(USERS, "merge", ("id",)), ConfiguredStream(ITEMS, "overwrite"))
    writer, state = open_writer(Path(path), *streams)
    print("started", flush=True)
    send(writer, ITEMS, pa.record_batch({"id": list(range(ROWS))}))
    for step in range(int(state or b"0"), STEPS):
        ids = list(range(step * ROWS, (step + 1) * ROWS))
        for half in (ids[: ROWS // 2], ids[ROWS // 2 :]):
            send(writer, ORDERS, pa.record_batch({"id": half, f"step{step % 3}": [str(each) for each in half]}))
            # Half of the keys came in the step before.
            send(writer, USERS, pa.record_batch({"id": [each // 2 for each in half], "step": [step] * len(half)}))
        writer.commit(str(step + 1).encode())
    writer.commit(None, final=True)
    writer.close()


def check_last_commit(path: Path) -> int:
    """What is there is exactly what the state says; gives its step."""
    writer, state = open_writer(path)
    writer.close()
    step = int(state or b"0")
    if step:
        expected = step * ROWS
        assert query(path, "SELECT count(*), count(DISTINCT id), max(id) FROM orders") == [(expected, expected, expected - 1)]
        expected = (step * ROWS + 1) // 2
        assert query(path, "SELECT count(*), count(DISTINCT id) FROM users") == [(expected, expected)]
    return step


def test_after_sigkill_there_is_exactly_the_last_commit(path: Path) -> None:
    random.seed(7)
    kills = 0
    for _ in range(60):
        with subprocess.Popen([sys.executable, __file__, "victim", str(path)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(random.uniform(0, 0.25))
            process.kill()
        kills += process.returncode == -signal.SIGKILL
        if check_last_commit(path) == STEPS and kills >= 8:
            break
    subprocess.run([sys.executable, __file__, "victim", str(path)], check=True, stdout=subprocess.DEVNULL)
    assert kills >= 8
    assert check_last_commit(path) == STEPS
    assert query(path, "SELECT count(*) FROM items") == [(ROWS,)]
    assert query(path, "SELECT count(*) FROM duckdb_tables() WHERE table_name LIKE '_dativo_new%'") == [(0,)]


def test_a_new_file_is_for_older_duckdbs_too_and_one_that_is_there_keeps_its_format(path: Path, tmp_path: Path) -> None:
    load(path, pa.record_batch({"id": [1]}))
    query(tmp_path / "own.duckdb", "CREATE TABLE mine (a INTEGER)")
    version = "SELECT tags['storage_version'] FROM duckdb_databases() WHERE NOT internal"
    before = query(tmp_path / "own.duckdb", version)
    load(tmp_path / "own.duckdb", pa.record_batch({"id": [1]}))
    assert query(path, version) == [("v1.2.0+",)]
    assert query(tmp_path / "own.duckdb", version) == before


@pytest.mark.parametrize(("columns", "rows"), [(2, 30_720), (400, 14_336)])
def test_wide_tables_have_small_row_groups(path: Path, columns: int, rows: int) -> None:
    load(path, pa.record_batch({"id": [0]}))
    values = pa.array(range(40_000))
    load(path, pa.record_batch([values] * columns, names=["id", *(f"c{place}" for place in range(1, columns))]))
    sizes = "SELECT max(count) FROM pragma_storage_info('orders') WHERE segment_type = 'BIGINT'"
    assert query(path, sizes) == [(rows,)]


@pytest.mark.parametrize(("distinct", "kind"), [(5, "Dictionary"), (100_000, "FSST")])
def test_strings_that_repeat_get_a_dictionary(path: Path, distinct: int, kind: str) -> None:
    texts = [f"text number {place % distinct} of a column" for place in range(50_000)]
    load(path, pa.record_batch({"v": texts}))
    found = query(path, "SELECT DISTINCT compression FROM pragma_storage_info('orders') WHERE segment_type = 'VARCHAR'")
    assert found == [(kind,)]


def test_what_a_killed_process_has_spilled_is_removed(path: Path) -> None:
    spilled = path.with_name("out.duckdb.tmp") / "duckdb_temp_1_0_storage_DEFAULT-0.tmp"
    spilled.parent.mkdir()
    spilled.write_bytes(b"x")
    load(path, pa.record_batch({"id": [1]}))
    assert not spilled.exists()


def test_evolution_of_the_live_schema_is_stable(path: Path) -> None:
    schema = pa.schema([pa.field("s", pa.struct([json_field("j"), pa.field("l", pa.list_(pa.utf8()))])), json_field("top")])
    load(path, pa.record_batch([pa.nulls(1, field.type) for field in schema], schema=schema))
    writer, _ = open_writer(path, ConfiguredStream(ORDERS))
    live = writer.get_schema(ORDERS)
    writer.close()
    assert live is not None
    assert evolve(live, schema).changes == ()


@pytest.mark.parametrize("mode", ["append", "merge"])
@pytest.mark.parametrize(("count", "megabytes"), [(1, 80), (8, 20)])
def test_values_larger_than_the_memory_limit(path: Path, mode: str, count: int, megabytes: int) -> None:
    writer, _ = open_writer(path, ConfiguredStream(ORDERS, mode, ("id",)))  # type: ignore[arg-type]
    for number in range(count):
        send(writer, ORDERS, pa.record_batch({"id": [number, -number - 1], "v": ["x" * (megabytes << 20), "y"]}))
    writer.commit(b"1", final=True)
    writer.close()
    assert query(path, "SELECT count(*), min(length(v)) FROM orders WHERE id >= 0") == [(count, megabytes << 20)]


if __name__ == "__main__":
    {"victim": victim, "full_disk": full_disk}[sys.argv[1]](sys.argv[2])
