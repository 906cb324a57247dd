"""What the reader finds in a database, what it reads of it, and where it goes on."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from dativo_protocols import ConfigError, ConnectorError, StreamId
from dativo_sdk import Selection

from .database import Database, by, drain
from .hosts import built

UUID = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
SHOP = """
    CREATE SCHEMA shop; CREATE SCHEMA "Odd ""schema"" x";
    CREATE TABLE shop.orders (
        id int GENERATED ALWAYS AS IDENTITY, line smallint, amount numeric(10,2) NOT NULL,
        double numeric GENERATED ALWAYS AS (amount * 2) STORED, gone text, PRIMARY KEY (line, id));
    ALTER TABLE shop.orders DROP COLUMN gone;
    COMMENT ON TABLE shop.orders IS 'What was bought'; COMMENT ON COLUMN shop.orders.amount IS 'in €';
    INSERT INTO shop.orders (line, amount) VALUES (1, 1.5), (2, 2.5);
    CREATE VIEW shop.totals AS SELECT sum(amount) AS total FROM shop.orders;
    CREATE MATERIALIZED VIEW shop.kept AS SELECT id FROM shop.orders;
    CREATE TABLE shop.events (id int, at date) PARTITION BY RANGE (at);
    CREATE TABLE shop.events_2024 PARTITION OF shop.events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
    CREATE TABLE shop.events_2025 PARTITION OF shop.events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
    INSERT INTO shop.events VALUES (1, '2024-05-05'), (2, '2025-05-05');
    CREATE TABLE "Odd ""schema"" x"."a ""b"" 'c'" ("x ""y"" z" int, "sélect" text);
    INSERT INTO "Odd ""schema"" x"."a ""b"" 'c'" VALUES (7, 'o''k');
    CREATE TABLE shop.nothing ();
"""


@pytest.fixture
def shop(database: Database) -> Database:
    database.sql(SHOP)
    return database


def names(database: Database, **settings: Any) -> list[str]:
    return [f"{stream.id.namespace}.{stream.id.name}" for stream in database.discover(**settings).streams]


def test_all_that_can_be_read_is_offered_and_partitions_are_not(shop: Database) -> None:
    assert sorted(names(shop)) == [
        'Odd "schema" x.a "b" \'c\'',
        "shop.events",
        "shop.kept",
        "shop.nothing",
        "shop.orders",
        "shop.totals",
    ]
    assert sorted(shop.read(["shop.events"]).column("events", "id", "shop")) == [1, 2]


def test_streams_have_keys_and_descriptions(shop: Database) -> None:
    (orders,) = (stream for stream in shop.discover().streams if stream.id.name == "orders")
    assert orders.primary_key == ("line", "id")
    schema = orders.json_schema if isinstance(orders.json_schema, dict) else json.loads(orders.json_schema)
    assert schema["description"] == "What was bought"
    assert schema["properties"]["amount"]["description"] == "in €"
    assert list(schema["properties"]) == ["id", "line", "amount", "double"]


def test_foreign_tables_are_read(shop: Database) -> None:
    port = shop.server.port
    shop.sql(
        f"""
        CREATE EXTENSION postgres_fdw; CREATE SCHEMA abroad;
        CREATE SERVER itself FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '{port}', dbname '{shop.name}');
        CREATE USER MAPPING FOR CURRENT_USER SERVER itself OPTIONS (user 'tester', password 'correct horse');
        IMPORT FOREIGN SCHEMA shop LIMIT TO (orders) FROM SERVER itself INTO abroad;
        """
    )
    assert sorted(shop.read(["abroad.orders"]).column("orders", "line", "abroad")) == [1, 2]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"schemas": ["sh*"], "tables": ["or*", "shop.k_pt"]}, ["shop.orders"]),
        ({"exclude_schemas": ["shop"]}, ['Odd "schema" x.a "b" \'c\'']),
        ({"tables": ["shop.kept", "totals"]}, ["shop.kept", "shop.totals"]),
        ({"schemas": []}, []),
        ({"schemas": ["x' OR true --"]}, []),
    ],
)
def test_schemas_and_tables_are_chosen(shop: Database, settings: dict[str, Any], expected: list[str]) -> None:
    assert sorted(names(shop, **settings)) == expected


def test_odd_names_are_read(shop: Database) -> None:
    table, schema = "a \"b\" 'c'", 'Odd "schema" x'
    found = shop.read([f"{schema}.{table}"]).table(table, schema)
    assert found.to_pylist() == [{'x "y" z': 7, "sélect": "o'k"}]


def test_only_selected_fields_are_read_and_the_key(shop: Database) -> None:
    found = shop.read({"shop.orders": Selection(fields=("amount",))})
    assert found.table("orders", "shop").column_names == ["id", "line", "amount"]


def test_a_table_without_columns_has_rows(shop: Database) -> None:
    shop.sql("INSERT INTO shop.nothing DEFAULT VALUES")
    found = shop.read(["shop.nothing"])
    assert sum(batch.num_rows for batch in found.batches.get(StreamId("nothing", "shop"), [])) == 1


def test_what_may_not_be_read_is_not_offered(shop: Database) -> None:
    shop.sql(
        """
        DROP ROLE IF EXISTS guest; CREATE ROLE guest LOGIN PASSWORD 'guest'; GRANT USAGE ON SCHEMA shop TO guest;
        GRANT SELECT (id, amount) ON shop.orders TO guest; GRANT SELECT ON shop.totals TO guest;
        """
    )
    guest = {"user": "guest", "password": "guest"}
    try:
        assert sorted(names(shop, **guest)) == ["shop.orders", "shop.totals"]
        found = shop.read(["shop.orders"], **guest)
        assert found.table("orders", "shop").column_names == ["id", "amount"]
        catalog = shop.catalog(["shop.kept"])
        with shop.reader(catalog, **guest) as reader, pytest.raises(ConnectorError, match="may not be read"):
            reader.read_batch(10)
    finally:
        shop.sql("DROP OWNED BY guest; DROP ROLE guest")


def test_queries_are_streams(shop: Database) -> None:
    sql = "SELECT id, amount AS a, now() > '2020-01-01' AS yes FROM shop.orders -- all"
    queries = {"big": {"sql": sql, "key": ["id"], "cursor": "id"}}
    found = shop.read({".big": by("id")}, queries=queries)
    assert found.column("big", "a", None)
    assert found.table("big", None).schema.field("a").type == pa.decimal128(10, 2)
    assert json.loads(found.state.streams[StreamId("big")])["value"] == "2"
    (stream,) = (stream for stream in shop.discover(queries=queries).streams if stream.id.name == "big")
    assert stream.primary_key == ("id",)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"sql": "SELECT 1 AS a, 2 AS a"}, "two columns `a`"),
        ({"sql": "SELEC 1"}, "syntax error"),
        ({"sql": "SELECT 1 AS a", "key": ["b"]}, "no column `b`"),
        ({"sql": "SELECT 1; DROP TABLE shop.orders"}, "syntax error"),
    ],
)
def test_a_query_that_cannot_be_read_says_why(shop: Database, query: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        shop.discover(queries={"q": query})
    assert "shop.orders" in names(shop)


def table_of(database: Database, cursor: str, values: str, key: bool = True) -> None:
    database.sql(f"CREATE TABLE t (id int {'PRIMARY KEY' if key else ''}, c {cursor}); INSERT INTO t VALUES {values}")


def test_rows_come_in_the_order_of_the_cursor_with_a_state_a_batch(database: Database) -> None:
    database.sql("CREATE TABLE t AS SELECT i AS id, i % 100 AS c FROM generate_series(1, 1000) i; ALTER TABLE t ADD UNIQUE (id)")
    found = database.read({"t": by("id")}, max_rows=100)
    assert found.column("t", "id") == list(range(1, 1001))
    values = [json.loads(state.data)["value"] for state in found.states if state]
    assert values == [str(place) for place in range(100, 1001, 100)]


@pytest.mark.parametrize("stop_after", [1, 3, 7])
def test_an_interrupted_load_goes_on_behind_its_last_state(database: Database, stop_after: int) -> None:
    database.sql("CREATE TABLE t AS SELECT i AS id FROM generate_series(1, 1000) i; ALTER TABLE t ADD UNIQUE (id)")
    first = database.read({"t": by("id")}, max_rows=100, stop_after=stop_after)
    second = database.read({"t": by("id")}, first.state, max_rows=100)
    assert first.column("t", "id") + second.column("t", "id") == list(range(1, 1001))


@pytest.mark.parametrize("boundary", ["inclusive", "exclusive"])
@pytest.mark.parametrize("stop_after", range(2, 12, 3))
def test_no_row_is_lost_among_equal_cursors(database: Database, boundary: str, stop_after: int) -> None:
    database.sql("CREATE TABLE t AS SELECT i AS id, i / 7 AS c FROM generate_series(1, 500) i")
    rows: list[int] = []
    state = None
    for _ in range(100):
        found = database.read({"t": by("c")}, state, max_rows=20, stop_after=stop_after, boundary=boundary)
        # What is committed is a state and the rows before it.
        covered = max((place for place, said in enumerate(found.states) if said), default=-1)
        batches = found.batches.get(StreamId("t", "public"), [])[: covered + 1]
        rows += [value for batch in batches for value in batch.column("id").to_pylist()]
        if state == found.state or not batches:
            break
        state = found.state
    assert set(rows) == set(range(1, 501))
    assert boundary == "inclusive" or len(rows) == 500


@pytest.mark.parametrize(
    ("cursor", "values", "expected"),
    [
        ("int8", "(1, 10), (2, 30), (3, 20)", "30"),
        ("numeric", "(1, 1.10), (2, 123456789012345678901234567890.5), (3, 2)", "123456789012345678901234567890.5"),
        ("float8", "(1, 0.1), (2, 1e300), (3, -1)", "1e+300"),
        ("date", "(1, '2024-01-01'), (2, 'infinity'), (3, '2023-01-01')", "2024-01-01"),
        ("timestamptz", "(1, '2024-01-01 12:00:00.000001+02'), (2, '-infinity')", "2024-01-01T10:00:00.000001Z"),
        ("timestamp", "(1, '2024-01-01 12:00'), (2, '0044-03-15 BC')", "2024-01-01T12:00:00"),
        ("time", "(1, '23:59:59.5'), (2, '01:00')", "23:59:59.5"),
        ("text", "(1, 'o''clock \\ é'), (2, 'a')", "o'clock \\ é"),
        ("uuid", f"(1, '{UUID}'), (2, '{UUID.replace('a', '0')}')", UUID),
        ("interval", "(1, '1 day 2 hours'), (2, '-1 day')", "P1DT2H"),
        ("inet", "(1, '10.0.0.2'), (2, '10.0.0.1/8')", "10.0.0.2"),
        ("pg_lsn", "(1, '1/A'), (2, '0/FF')", "1/A"),
        ("bytea", r"(1, '\xff00'), (2, '\x00')", r"\xff00"),
        ("bool", "(1, true), (2, false)", "true"),
    ],
)
def test_cursors_of_every_type_are_exact(database: Database, cursor: str, values: str, expected: str) -> None:
    table_of(database, cursor, values)
    first = database.read({"t": by("c")}, bad_values="null")
    state = json.loads(first.state.streams[StreamId("t", "public")])
    assert (state["cursor"], state["value"]) == ("c", expected)
    assert database.sql(f"SELECT CAST('{state['type']}' AS regtype) = CAST('{cursor}' AS regtype)") == [(True,)]
    again = database.read({"t": by("c")}, first.state, boundary="inclusive", bad_values="null")
    assert 1 <= len(again.column("t", "id")) <= 2
    exclusive = database.read({"t": by("c")}, first.state, boundary="exclusive", bad_values="null")
    assert len(exclusive.column("t", "id")) == len(again.column("t", "id")) - 1


def test_rows_without_a_cursor_come_with_the_first_load(database: Database) -> None:
    table_of(database, "int", "(1, 5), (2, NULL), (3, 4), (4, NULL)")
    first = database.read({"t": by("c")})
    assert sorted(first.column("t", "id")) == [1, 2, 3, 4]
    assert [state is None for state in first.states] == [True, False]
    assert database.read({"t": by("c")}, first.state).column("t", "id") == [1]


def test_boundary_rows_come_again_unless_no_two_can_be_equal(database: Database) -> None:
    table_of(database, "int", "(1, 5), (2, 5)")
    first = database.read({"t": by("c")})
    database.sql("INSERT INTO t VALUES (3, 5)")
    assert sorted(database.read({"t": by("c")}, first.state).column("t", "id")) == [1, 2, 3]
    by_key = database.read({"t": by("id")})
    assert database.read({"t": by("id")}, by_key.state).column("t", "id") == []
    database.sql("INSERT INTO t VALUES (4, 6)")
    assert database.read({"t": by("id")}, by_key.state).column("t", "id") == [4]


def test_streams_with_states_come_first(database: Database) -> None:
    database.sql("CREATE TABLE a AS SELECT 1 AS id; CREATE TABLE b AS SELECT 1 AS id")
    found = database.read({"a": Selection(replication_method="FULL_TABLE"), "b": by("id")})
    assert [stream.name for stream in found.order] == ["b", "a"]


@pytest.mark.parametrize(
    ("selection", "message"),
    [(by("nope"), "no column `nope`"), (Selection(None, "INCREMENTAL"), "no cursor"), (by("j"), "is no cursor")],
)
def test_a_cursor_that_is_none_is_refused(database: Database, selection: Selection, message: str) -> None:
    database.sql("CREATE TABLE t AS SELECT 1 AS id, '{}'::jsonb AS j")
    with pytest.raises((ConfigError, ConnectorError), match=message):
        database.read({"t": selection})


def test_wide_rows_make_small_batches(database: Database) -> None:
    database.sql("CREATE TABLE t AS SELECT i AS id, repeat(i::text, 1000000) AS v FROM generate_series(1, 12) i")
    found = database.read(["t"])
    batches = found.batches[StreamId("t", "public")]
    assert len(batches) == 5
    assert max(batch.nbytes for batch in batches) < 5 << 20
    assert sorted(found.column("t", "id")) == list(range(1, 13))


def test_a_row_that_is_too_long_is_an_error(database: Database) -> None:
    database.sql("CREATE TABLE t AS SELECT repeat('x', 3000000) AS v")
    with pytest.raises(ConnectorError, match="a row of 3 MiB is longer than 1 MiB"):
        database.read(["t"], max_row_bytes=1 << 20)


def test_a_dropped_column_is_named(database: Database) -> None:
    database.sql("CREATE TABLE t (a int, b int)")
    catalog = database.catalog({"t": Selection(fields=("a", "b"))})
    database.sql("ALTER TABLE t DROP COLUMN b")
    with database.reader(catalog) as reader, pytest.raises(ConnectorError, match="has no column `b`"):
        drain(reader)


def test_without_a_catalog_everything_is_read(shop: Database, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(shop.config(schemas=["shop"])))
    command = [built("dativo-postgres"), "--config", str(tmp_path / "config.json")]
    said = [json.loads(line) for line in subprocess.check_output(command).splitlines()]
    rows = Counter(message["stream"] for message in said if message["type"] == "RECORD")
    assert rows == {"shop-orders": 2, "shop-kept": 2, "shop-totals": 1, "shop-events": 2}
