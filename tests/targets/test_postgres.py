"""What the target `postgres` does beyond what the conformance kit asks of every writer."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import adbc_driver_manager
import pyarrow as pa
import pytest
from adbc_driver_manager import AdbcStatusCode
from dativo_protocols import StreamId
from dativo_protocols.errors import ConfigError, ContractError, DativoError, TargetError
from dativo_sdk import ConfiguredStream, JobKey
from dativo_sdk.conformance import EVERY_TYPE, JOB, ORDERS, Bench, batch, json_field, rejects

from dativo._evolution import evolve
from dativo._exact_text import exact_text, json_text
from dativo.targets.postgres import PostgresWriter
from dativo.targets.postgres._failure import Place, failures
from tests.servers.postgres import PostgresServer
from tests.servers.postgres_case import PostgresCase

UTC = dt.UTC


class Postgres(Bench):
    """A bench that can also be looked at with SQL; the schema is the first in the search path."""

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        with self.case.server.connect() as connection:  # type: ignore[attr-defined]
            connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{self.config["schema"]}"')
            connection.execute(f"SET search_path = \"{self.config['schema']}\"; SET TimeZone = 'UTC'")
            cursor = connection.execute(query)
            return cursor.fetchall() if cursor.description else []


@pytest.fixture
def bench(postgres: PostgresServer, tmp_path: Path) -> Iterator[Postgres]:
    bench = Postgres(PostgresCase(postgres), tmp_path)
    bench.config = bench.case.make(tmp_path)[1]
    yield bench
    bench.close()


def moment(second: int) -> dt.datetime:
    return dt.datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC)


def at(*seconds: int | None) -> pa.Array:
    return pa.array([None if second is None else moment(second) for second in seconds], pa.timestamp("us", "UTC"))


# Types


def test_every_type_comes_back_unchanged(bench: Postgres) -> None:
    plain = [(field, values) for field, values in EVERY_TYPE if not pa.types.is_nested(field.type)]
    columns = {
        field.name: [value.replace("\0", "") if isinstance(value, str) else value for value in values] for field, values in plain
    }
    bench.load(batch(columns, fields=[field for field, _ in plain]))
    rows = bench.rows()
    for name, values in columns.items():
        assert [row[name] for row in rows] == values, name


def test_the_schema_is_the_one_that_was_written(bench: Postgres) -> None:
    plain = [field for field, _ in EVERY_TYPE if not pa.types.is_nested(field.type)]
    bench.load(batch({field.name: pa.array([], field.type) for field in plain}, fields=plain))
    found = bench.open(ConfiguredStream(ORDERS)).get_schema(ORDERS)
    assert found.equals(evolve(None, pa.schema(plain)).schema, check_metadata=True)


def test_structs_and_lists_are_json_text(bench: Postgres) -> None:
    nested = [(field, values) for field, values in EVERY_TYPE if pa.types.is_nested(field.type)]
    arrays = {field.name: pa.array(values, field.type) for field, values in nested}
    bench.load(batch({"id": [1, 2, 3], **arrays}))
    for field, _ in nested:
        assert bench.column(field.name) == json_text(arrays[field.name], field).to_pylist()


def test_integers_without_a_sign_have_room(bench: Postgres) -> None:
    kinds = [pa.int8(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
    largest = [127, 255, 65535, 2**32 - 1, 2**64 - 1]
    bench.load(
        batch({f"c{place}": pa.array([value], kind) for place, (value, kind) in enumerate(zip(largest, kinds, strict=True))})
    )
    assert list(bench.rows(order="c0")[0].values()) == largest


def test_decimals_beyond_38_digits(bench: Postgres) -> None:
    values = [Decimal("9" * 70 + "." + "9" * 6), Decimal("-0.000001"), None]
    for _ in range(2):
        bench.load(batch({"id": [1, 2, 3], "v": pa.array(values, pa.decimal256(76, 6))}), mode="merge", key=("id",))
    assert bench.column("v") == values


@pytest.mark.parametrize("load", ["append", "merge"])
def test_a_character_0_is_refused_by_row_and_column(bench: Postgres, load: Any) -> None:
    with pytest.raises(ContractError) as caught:
        bench.load(batch({"id": [1, 2, 3], "name": ["a", "b\0", "c"]}), mode=load, key=("id",))
    assert (caught.value.facts["row"], caught.value.facts["column"]) == (2, "name")
    assert "`json`" in str(caught.value)
    assert bench.table() is None


def test_a_character_0_in_json_is_kept(bench: Postgres) -> None:
    bench.load(batch({"id": [1], "name": ['"a\\u0000b"']}, fields=[json_field("name")]))
    assert bench.column("name") == ['"a\\u0000b"']


@pytest.mark.parametrize(
    ("value", "kind"),
    [(2**31 - 1, pa.date32()), (-(2**63), pa.timestamp("us")), (-1, pa.time64("us")), (86_400_000_001, pa.time64("us"))],
)
def test_moments_beyond_the_calendar_are_refused(bench: Postgres, value: int, kind: pa.DataType) -> None:
    array = pa.array([value], pa.int32() if kind.bit_width == 32 else pa.int64()).view(kind)
    with pytest.raises(ContractError, match="beyond PostgreSQL's calendar"):
        bench.load(batch({"id": [1], "at": array}))


def test_moments_at_the_ends_of_the_calendar(bench: Postgres) -> None:
    days = pa.array([-2_440_588, 2_145_042_905], pa.int32()).view(pa.date32())
    moments = pa.array([-210_866_803_200_000_000, 2**63 - 1], pa.int64()).view(pa.timestamp("us"))
    bench.load(batch({"id": [1, 2], "day": days, "at": moments}))
    assert bench.sql("SELECT day::text, at::text FROM orders ORDER BY id") == [
        ("4714-11-24 BC", "4714-11-24 00:00:00 BC"),
        ("5874897-12-31", "294247-01-10 04:00:54.775807"),
    ]


def test_infinities_and_not_a_number(bench: Postgres) -> None:
    bench.load(batch({"id": [1, 2, 3], "real": [float("inf"), float("-inf"), float("nan")]}))
    assert bench.sql("SELECT real::text FROM orders ORDER BY id") == [("Infinity",), ("-Infinity",), ("NaN",)]


FLOATS = [0.1, 1.0, -0.0, 1e-5, 0.0001, 1e15, 1e15 + 0.5, 9999999999999998.0, 1e16, 1.5e300, 5e-324, 123456789.25, -1e15]
FLOATS += [float("nan"), float("inf"), float("-inf")]
TEXTS: list[pa.Array] = [
    pa.array(FLOATS),
    pa.array([0.1, 1e6, 16777216.0, 1e-5, 3.4e38], pa.float32()),
    pa.array([Decimal("0.10"), Decimal("-12345678901234567890123456789012345.67")], pa.decimal128(38, 2)),
    pa.array([True, False]),
    at(1, 59),
    pa.array([dt.datetime(2026, 1, 1, 1, 2, 3, 400000)], pa.timestamp("us")),
    pa.array([dt.date(1, 1, 1), dt.date(9999, 12, 31)]),
    pa.array([dt.time(1, 2, 3), dt.time(1, 2, 3, 40)], pa.time64("us")),
    pa.array([b"\0\xff" * 60, b""]),
    pa.array([2**63 - 1, -5]),
]


@pytest.mark.parametrize("values", TEXTS, ids=lambda array: str(array.type))
def test_what_is_there_becomes_the_same_text_as_what_comes(bench: Postgres, values: pa.Array) -> None:
    ids = list(range(len(values)))
    for name, after in (("text", pa.field("v", pa.utf8())), ("json", json_field("v"))):
        stream = StreamId(name)
        bench.load(batch({"id": ids, "v": values}, stream))
        bench.load(batch({"id": pa.array([], pa.int64()), "v": pa.array([], pa.utf8())}, stream, [after]))
        expected = exact_text(values) if name == "text" else json_text(values, pa.field("v", values.type))
        assert bench.column("v", name) == expected.to_pylist()


def test_a_date_that_no_text_can_say_is_not_widened(bench: Postgres) -> None:
    bench.load(batch({"id": [1], "v": pa.array([-2_440_588], pa.int32()).view(pa.date32())}))
    with pytest.raises(ContractError, match="would change as `string`"):
        bench.load(batch({"id": [2], "v": ["x"]}))


def test_more_columns_than_a_table_can_have(bench: Postgres) -> None:
    with pytest.raises(TargetError, match=r"at most 1,600 columns"):
        bench.load(batch({f"c{number}": [1] for number in range(1601)}))


# Modes


def test_merge_keeps_the_greatest_cursor(bench: Postgres) -> None:
    first = {"id": [1, 2, 3, 4], "at": at(5, 5, None, 5), "v": ["a", "b", "c", "d"]}
    second = {"id": [1, 2, 2, 3, 4, 5, 5], "at": at(4, 6, 6, None, None, 2, 1), "v": ["A", "B", "BB", "C", "D", "E", "EE"]}
    for columns in (first, second):
        bench.load(batch(columns), mode="merge", key=("id",), cursor="at")
    assert bench.column("v") == ["a", "BB", "C", "d", "E"]


def test_texts_are_ordered_by_their_bytes(bench: Postgres) -> None:
    bench.load(batch({"id": [1, 1, 1], "at": ["a", "B", "é"], "v": [1, 2, 3]}), mode="merge", key=("id",), cursor="at")
    bench.load(batch({"id": [1, 1], "at": ["z", "Z"], "v": [4, 5]}), mode="merge", key=("id",), cursor="at")
    assert bench.column("v") == [3]


def test_a_cursor_without_an_order_is_none(bench: Postgres) -> None:
    field = json_field("at")
    for at_, v in (('{"n":2}', 1), ('{"n":1}', 2)):
        bench.load(batch({"id": [1], "at": [at_], "v": [v]}, fields=[field]), mode="merge", key=("id",), cursor="at")
    assert bench.column("v") == [2]


def test_null_is_a_key_like_any_other(bench: Postgres) -> None:
    for v in ("a", "b"):
        bench.load(batch({"id": [1, None, None], "part": ["x", "y", None], "v": [v, v, v]}), mode="merge", key=("id", "part"))
    assert sorted(bench.column("v", order=None)) == ["b", "b", "b"]


def test_a_json_key(bench: Postgres) -> None:
    for v in ("a", "b"):
        columns = {"id": ['{"a":1}', '{"a":2}', '{"a":1}'], "v": [v, v, f"{v}{v}"]}
        bench.load(batch(columns, fields=[json_field("id")]), mode="merge", key=("id",))
    assert bench.column("v", order="v") == ["b", "bb"]


def test_a_key_that_becomes_json(bench: Postgres) -> None:
    bench.load(batch({"id": [1, 2], "v": [1, 2]}), mode="merge", key=("id",))
    bench.load(batch({"id": ["2", "{}"], "v": [3, 4]}, fields=[json_field("id")]), mode="merge", key=("id",))
    assert bench.column("v", order="v") == [1, 3, 4]


def test_keys_too_long_for_an_index(bench: Postgres) -> None:
    keys = [uuid.uuid4().hex * 1000, "short"]
    for v in (1, 2):
        bench.load(batch({"id": keys, "v": [v, v]}), mode="merge", key=("id",))
    assert bench.column("v") == [2, 2]


def test_merge_into_a_table_without_an_index_and_with_doubles(bench: Postgres) -> None:
    bench.load(batch({"id": [1, 1, 2], "at": at(1, 9, 1), "v": ["a", "b", "c"]}))
    bench.load(batch({"id": [1, 2, 3], "at": at(5, 5, 5), "v": ["d", "e", "f"]}), mode="merge", key=("id",), cursor="at")
    assert bench.column("v") == ["b", "e", "f"]


def indexes(bench: Postgres) -> list[str]:
    return [text for (text,) in bench.sql("SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'orders'::regclass")]


def test_a_table_gets_an_index_when_it_is_merged_into_and_loses_it_when_it_is_not(bench: Postgres) -> None:
    rows = batch({"id": [1, 2], "v": ["a", "b"]})
    bench.load(rows, mode="overwrite")
    assert indexes(bench) == []
    for mode, count in (("merge", 1), ("merge", 1), ("append", 0)):
        bench.load(rows, mode=mode, key=("id",))
        assert len(indexes(bench)) == count
    bench.load(rows, mode="merge", key=("id",))
    bench.load(rows, mode="scd2", key=("id",))
    bench.load(batch({"id": [1, 2], "v": ["c", "b"]}), mode="scd2", key=("id",))
    assert len(bench.rows()) == 3


def test_a_table_of_the_users_gets_no_index(bench: Postgres) -> None:
    bench.sql("CREATE TABLE orders (id bigint, v text, mine text)")
    for v in ("a", "b"):
        bench.load(batch({"id": [1], "v": [v]}), mode="merge", key=("id",))
    assert (indexes(bench), bench.column("v")) == ([], ["b"])


def test_a_column_that_is_not_sent_is_null_in_the_merged_row_but_the_users_stay(bench: Postgres) -> None:
    bench.load(batch({"id": [1, 2], "old": ["x", "y"]}), mode="merge", key=("id",))
    bench.sql("ALTER TABLE orders ADD COLUMN note text DEFAULT 'none'; UPDATE orders SET note = 'mine'")
    bench.load(batch({"id": [2, 3], "new": ["z", "z"]}), mode="merge", key=("id",))
    assert bench.sql("SELECT id, old, new, note FROM orders ORDER BY id") == [
        (1, "x", None, "mine"),
        (2, None, "z", "mine"),
        (3, None, "z", "none"),
    ]


@pytest.mark.parametrize("mark", [pa.array([None, True, False]), at(None, 1, None), pa.array([None, "yes", None])], ids=str)
def test_marked_rows_are_removed_where_they_win(bench: Postgres, mark: pa.Array) -> None:
    how: dict[str, Any] = {"mode": "merge", "key": ("id",), "cursor": "n", "deletes": "hard", "delete_mark": "gone"}
    bench.load(batch({"id": [1, 2, 3, 4], "n": [1, 1, 9, 1]}), **how)
    bench.load(
        batch({"id": [1, 2, 4], "n": [2, 2, 2], "gone": mark}), batch({"id": [3], "n": [2], "gone": mark.slice(1, 1)}), **how
    )
    assert bench.column("id") == [1, 3, 4]


def test_a_mark_in_a_column_that_has_become_text(bench: Postgres) -> None:
    how: dict[str, Any] = {"mode": "merge", "key": ("id",), "deletes": "hard", "delete_mark": "gone"}
    bench.load(batch({"id": [1, 2, 3], "gone": pa.array([None, None, None], pa.utf8())}), **how)
    bench.load(batch({"id": [1, 2, 3], "gone": [True, False, None]}), **how)
    assert bench.column("id") == [2, 3]


def test_a_marked_row_stays_where_deletes_are_soft(bench: Postgres) -> None:
    how: dict[str, Any] = {"mode": "merge", "key": ("id",), "deletes": "soft", "delete_mark": "gone"}
    bench.load(batch({"id": [1], "gone": at(None)}), **how)
    bench.load(batch({"id": [1], "gone": at(1)}), **how)
    assert bench.column("gone") == [moment(1)]


def test_rows_that_are_there_are_not_appended_again(bench: Postgres) -> None:
    rows = {"id": [1, 1, None], "v": ["a", "b", None], "j": ["{}", "1", None]}
    for index in range(2):
        own = {"_dativo_run_id": [str(index)] * 3}
        bench.load(
            batch({**rows, **own}, fields=[json_field("j")]),
            batch({**rows, **own}, fields=[json_field("j")]),
            mode="append_dedup",
        )
    assert len(bench.rows(order=None)) == 3
    bench.load(batch({"id": [1], "v": ["a"], "more": [None]}, fields=[pa.field("more", pa.utf8())]), mode="append_dedup")
    assert len(bench.rows(order=None)) == 4


def test_rows_of_one_key_and_cursor_are_appended_once(bench: Postgres) -> None:
    for v in ("a", "b"):
        bench.load(batch({"id": [1, 1, 2], "n": [1, 2, None], "v": [v, v, v]}), mode="append_dedup", key=("id",), cursor="n")
    assert sorted(bench.column("v", order=None)) == ["a", "a", "a"]


def history(bench: Postgres) -> list[tuple[Any, ...]]:
    return bench.sql("SELECT id, v, _dativo_valid_from, _dativo_valid_to FROM orders ORDER BY id, _dativo_valid_from, v")


def test_history_begins_and_ends_at_the_cursor(bench: Postgres) -> None:
    how: dict[str, Any] = {"mode": "scd2", "key": ("id",), "cursor": "at"}
    bench.load(batch({"id": [1, 2], "at": at(1, 1), "v": ["a", "a"]}), **how)
    bench.load(batch({"id": [1, 1, 2, 2, 3], "at": at(4, 3, 0, 1, 5), "v": ["c", "b", "old", "a", "x"]}), **how)
    assert history(bench) == [
        (1, "a", moment(1), moment(3)),
        (1, "b", moment(3), moment(4)),
        (1, "c", moment(4), None),
        (2, "a", moment(1), None),
        (3, "x", moment(5), None),
    ]


def test_history_without_a_cursor(bench: Postgres) -> None:
    for columns in ({"id": [1, 2], "v": ["a", "a"]}, {"id": [1, 2, 2], "v": ["b", "a", "a"]}, {"id": [1], "v": ["a"]}):
        bench.load(batch(columns), mode="scd2", key=("id",))
    rows = history(bench)
    assert sorted((id_, v, end is None) for id_, v, _, end in rows) == [
        (1, "a", False),
        (1, "a", True),
        (1, "b", False),
        (2, "a", True),
    ]
    ended = {begin: end for id_, _, begin, end in rows if id_ == 1}
    assert all(end is None or end in ended for end in ended.values())


def test_history_of_a_deleted_row_ends(bench: Postgres) -> None:
    how: dict[str, Any] = {"mode": "scd2", "key": ("id",), "cursor": "at", "deletes": "soft", "delete_mark": "gone"}
    bench.load(batch({"id": [1, 2, 3], "at": at(1, 1, 1), "v": ["a", "b", "c"], "gone": [False, False, True]}), **how)
    bench.load(
        batch({"id": [1, 1, 1, 2], "at": at(2, 3, 4, 5), "v": ["a", "a", "a", "b"], "gone": [True, True, False, True]}), **how
    )
    assert history(bench) == [(1, "a", moment(1), moment(2)), (1, "a", moment(4), None), (2, "b", moment(1), moment(5))]


def test_history_of_json_and_nulls(bench: Postgres) -> None:
    for values in (['{"a":1}', None], ['{"a":1}', None], ['{"a": 1}', "null"]):
        bench.load(batch({"id": [1, 2], "v": values}, fields=[json_field("v")]), mode="scd2", key=("id",))
    found = sorted((row["id"], str(row["v"])) for row in bench.rows())
    assert found == [(1, '{"a": 1}'), (1, '{"a":1}'), (2, "None"), (2, "null")]


@pytest.mark.parametrize(
    ("mode", "deletes", "left"),
    [
        ("append", "hard", [(2, False), (3, False)]),
        ("merge", "hard", [(2, False), (3, False)]),
        ("merge", "soft", [(1, True), (2, False), (3, False)]),
        ("scd2", "hard", [(1, True), (2, False), (3, False)]),
    ],
)
def test_rows_of_older_versions(bench: Postgres, mode: Any, deletes: Any, left: list[tuple[int, bool]]) -> None:
    configured = ConfiguredStream(ORDERS, mode, ("id",), deletes=deletes)
    writer = bench.open(configured)
    old = [1, 2] if mode != "append" else [1]
    writer.write_batch(batch({"id": old, "_dativo_version": [1] * len(old)}))
    writer.commit(b"1")
    writer.write_batch(batch({"id": [2], "_dativo_version": [2]}))
    writer.activate_version(ORDERS, 2)
    writer.write_batch(batch({"id": [3], "_dativo_version": [3]}))
    writer.commit(b"2", final=True)
    ended = {"append": "false", "merge": "_dativo_deleted_at IS NOT NULL", "scd2": "_dativo_valid_to IS NOT NULL"}[mode]
    ended = "false" if deletes == "hard" and mode == "merge" else ended
    assert bench.sql(f"SELECT id, {ended} FROM orders ORDER BY id") == left


def test_a_row_that_comes_back_is_deleted_no_more(bench: Postgres) -> None:
    writer = bench.open(ConfiguredStream(ORDERS, "merge", ("id",), deletes="soft"))
    writer.write_batch(batch({"id": [1], "_dativo_version": [1]}))
    writer.activate_version(ORDERS, 2)
    writer.commit(b"1")
    writer.write_batch(batch({"id": [1], "_dativo_version": [2]}))
    writer.commit(b"2", final=True)
    assert bench.column("_dativo_deleted_at") == [None]


# Tables of others


def test_overwrite_keeps_grants_views_and_the_users_columns(bench: Postgres) -> None:
    bench.load(batch({"id": [1], "v": ["a"]}))
    bench.sql("ALTER TABLE orders ADD COLUMN note text DEFAULT 'none'; CREATE VIEW seen AS SELECT id, v, note FROM orders")
    bench.sql("GRANT SELECT ON orders TO pg_monitor")
    bench.load(batch({"id": [2], "v": ["b"]}), mode="overwrite")
    assert bench.sql("SELECT * FROM seen") == [(2, "b", "none")]
    assert bench.sql("SELECT has_table_privilege('pg_monitor', 'orders', 'SELECT')") == [(True,)]


def test_overwrite_takes_the_types_of_the_run(bench: Postgres) -> None:
    bench.load(batch({"id": ["x"], "v": ["a"], "old": [1]}))
    receipt = bench.load(batch({"v": [1], "id": [2]}), batch({"id": [3], "v": ["b"], "new": [0.5]}), mode="overwrite")
    changes = {(change.kind, change.column, change.before, change.after) for change in receipt.changes}
    assert changes == {("type", "id", "string", "int64"), ("column", "old", "int64", None), ("column", "new", None, "float64")}
    assert bench.rows() == [{"id": 2, "v": "1", "new": None}, {"id": 3, "v": "b", "new": 0.5}]


def test_readers_of_an_older_snapshot_see_the_old_rows(bench: Postgres, postgres: PostgresServer) -> None:
    bench.load(batch({"id": [1]}), mode="overwrite")
    with postgres.connect() as reader, reader.transaction():
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT 1")
        bench.load(batch({"id": [2]}), mode="overwrite")
        assert reader.execute(f'SELECT id FROM "{bench.config["schema"]}".orders').fetchall() == [(1,)]


def test_a_table_of_the_users_keeps_its_types_and_defaults(bench: Postgres) -> None:
    bench.sql("CREATE TYPE mood AS ENUM ('good', 'bad')")
    bench.sql(
        "CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, code varchar(3), ref uuid, mood mood, "
        "price numeric, data jsonb, made timestamptz DEFAULT now(), twice bigint GENERATED ALWAYS AS (id * 2) STORED)"
    )
    ref = uuid.uuid4()
    for price in ("1.50", "2.50"):
        rows = batch(
            {"id": [7], "code": ["abc"], "ref": [str(ref)], "mood": ["bad"], "price": [Decimal(price)], "data": ['{"a":1}']},
            fields=[json_field("data")],
        )
        bench.load(rows, mode="merge", key=("id",))
    found = bench.sql("SELECT id, code, ref, mood::text, price, data, made IS NOT NULL, twice FROM orders")
    assert found == [(7, "abc", ref, "bad", Decimal("2.50"), {"a": 1}, True, 14)]


@pytest.mark.parametrize("mode", ["merge", "scd2", "append_dedup"])
def test_keys_and_cursors_are_compared_as_the_users_types_are(bench: Postgres, mode: Any) -> None:
    bench.sql("CREATE TABLE orders (id uuid, n numeric, v text)")
    key = str(uuid.uuid4())
    for number, ids in enumerate(([key], [key.upper(), key], [key])):
        cursors = [["1.0"], ["10", "9.50"], ["9"]][number]
        values = [f"{number}.{place}" for place in range(len(ids))]
        bench.load(batch({"id": ids, "n": cursors, "v": values}), mode=mode, key=("id",), cursor="n")
    found = bench.sql("SELECT id, n, v FROM orders ORDER BY n")
    every = [(uuid.UUID(key), Decimal(n), v) for n, v in (("1.0", "0.0"), ("9", "2.0"), ("9.50", "1.1"), ("10", "1.0"))]
    assert found == {"merge": every[3:], "scd2": [every[0], *every[2:]], "append_dedup": every}[mode]


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("varchar(3)", "abcd", "too long"),
        ("uuid", "no", "does not fit"),
        ("timestamp(0)", dt.datetime(2026, 1, 1, 0, 0, 0, 1), "would round"),
        ("bigint GENERATED ALWAYS AS (id * 2) STORED", 1, "generates"),
        ("text CHECK (v = 'a')", "b", "constraint"),
    ],
)
def test_values_that_a_users_column_would_change_or_refuse(bench: Postgres, kind: str, value: Any, message: str) -> None:
    bench.sql(f"CREATE TABLE orders (id bigint, v {kind})")
    with pytest.raises(ContractError, match=message):
        bench.load(batch({"id": [1], "v": [value]}))
    assert bench.rows() == []


def test_a_view_is_in_the_way(bench: Postgres) -> None:
    bench.sql("CREATE VIEW orders AS SELECT 1 AS id")
    with pytest.raises(TargetError, match="is a view"):
        bench.load(batch({"id": [1]}))


def test_a_view_that_uses_a_column_stops_its_widening(bench: Postgres) -> None:
    bench.load(batch({"id": [1], "v": [1]}))
    bench.sql("CREATE VIEW seen AS SELECT v FROM orders")
    with pytest.raises(TargetError, match="used by a view") as caught:
        bench.load(batch({"id": [2], "v": ["x"]}))
    assert "make it anew" in str(caught.value.hint)


def test_of_tables_that_differ_in_case_the_one_of_the_very_name_is_taken(bench: Postgres) -> None:
    bench.sql('CREATE TABLE "Orders" (id bigint); CREATE TABLE orders (id bigint)')
    bench.load(batch({"id": [1]}))
    assert (bench.column("id", "Orders"), bench.column("id", "orders")) == ([], [1])


def test_a_table_that_changes_while_rows_are_staged(bench: Postgres) -> None:
    bench.load(batch({"id": [1]}))
    writer = bench.open(ConfiguredStream(ORDERS))
    writer.write_batch(batch({"id": [2]}))
    bench.sql("ALTER TABLE orders ALTER COLUMN id TYPE text")
    with pytest.raises(TargetError, match="has changed table") as caught:
        writer.commit(b"1", final=True)
    assert caught.value.retryable


# Powers


def test_counts_and_inspections_are_exact(bench: Postgres) -> None:
    bench.load(batch({"id": [1, 2, 3]}), state=b"\0state")
    found = PostgresWriter().inspect(bench.config, JOB, [ORDERS, StreamId("other")])
    assert found.state == b"\0state"
    table = found.tables[ORDERS]
    assert (table.table, table.rows, table.columns) == (f"{bench.config['schema']}.orders", 3, {"id": "id"})
    assert found.tables[StreamId("other")].data is None
    assert bench.open(ConfiguredStream(ORDERS)).count_rows(ORDERS) == 3


def test_an_inspection_makes_nothing(bench: Postgres) -> None:
    found = PostgresWriter().inspect(bench.config, JOB, [ORDERS])
    assert (found.state, found.tables[ORDERS].data) == (None, None)
    assert bench.case.server.sql(f"SELECT 1 FROM pg_namespace WHERE nspname = '{bench.config['schema']}'") == []  # type: ignore[attr-defined]


def test_rejected_rows_are_replayed_once(bench: Postgres) -> None:
    bench.load(batch({"id": [1]}), rejected=[rejects(records=[b"{}", b"\xff\0", b'"\0"'])])
    writer = bench.open(ConfiguredStream(ORDERS))
    assert writer.rejected() == {ORDERS: 3}
    rows = pa.Table.from_batches(writer.read_rejects(ORDERS)).to_pylist()
    assert [row["record"] for row in rows] == [b"{}", b"\xff\0", b'"\0"']
    ids = [rows[0]["id"], rows[2]["id"]]
    replay(bench, ids)
    with pytest.raises(TargetError, match="2 rows are not in the quarantine"):
        replay(bench, ids)
    assert [bench.column("id"), bench.open().rejected()] == [[1, 2], {ORDERS: 1}]


def replay(bench: Postgres, ids: list[str]) -> None:
    writer = bench.open(ConfiguredStream(ORDERS))
    writer.write_batch(batch({"id": [2]}))
    writer.remove_rejects(ORDERS, ids)
    writer.commit(b"2", final=True)


def test_overwrite_without_rejected_rows_empties_the_quarantine(bench: Postgres) -> None:
    bench.load(batch({"id": [1]}), rejected=[rejects()], mode="overwrite")
    assert len(bench.rows("orders__quarantine", None)) == 1
    bench.load(batch({"id": [1]}), mode="overwrite")
    assert bench.rows("orders__quarantine", None) == []


def test_an_older_run_can_commit_no_more(bench: Postgres) -> None:
    bench.load(batch({"id": [1]}), state=b"1")
    old = bench.open(ConfiguredStream(ORDERS))
    old.write_batch(batch({"id": [2]}))
    bench.writer = None
    bench.load(batch({"id": [3]}), state=b"2")
    with pytest.raises(TargetError, match="a newer run") as caught:
        old.commit(b"old", final=True)
    old.close()
    assert (caught.value.retryable, caught.value.again) == (True, False)
    assert (bench.column("id"), bench.state) == ([1, 3], b"1")


def test_much_more_than_fits_into_memory(bench: Postgres) -> None:
    writer = bench.open(ConfiguredStream(ORDERS), ConfiguredStream(StreamId("kept"), "overwrite"))
    text = "x" * 1000
    for start in range(0, 60_000, 5_000):
        part = {"id": list(range(start, start + 5_000)), "text": [text] * 5_000}
        writer.write_batch(batch(part))
        writer.write_batch(batch(part, StreamId("kept")))
    writer.commit(b"1", final=True)
    assert bench.sql("SELECT count(*), count(DISTINCT id), sum(length(text)) FROM orders, (SELECT 1) AS x") == [
        (60_000, 60_000, 60_000_000)
    ]
    assert bench.sql("SELECT count(*) FROM kept") == [(60_000,)]


# Errors


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"url": "mysql://u:sesame@h/d"}, "begins with `postgresql://`"),
        ({"url": "postgresql://u:ses@me/x@h/d"}, "`url`"),
        ({"url": "postgresql://h/d", "user": "u"}, "leave out `user`"),
        ({"hots": "h"}, "unknown key `hots`"),
        ({"port": "x"}, "`port`"),
        ({"password": 5}, "`password`"),
    ],
)
def test_wrong_configurations_say_no_secret(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        PostgresWriter().inspect(config, JOB, [])
    assert "ses" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"password": "sesame"}, ConfigError, "does not let user `tester` in"),
        ({"user": "nobody", "password": "sesame"}, ConfigError, "user `nobody`"),
        ({"database": "nix"}, ConfigError, "there is no database"),
        ({"port": 1}, TargetError, "cannot reach"),
    ],
)
def test_no_way_in(postgres: PostgresServer, change: dict[str, Any], kind: type[DativoError], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        PostgresWriter().inspect({"url": postgres.url(**change)}, JOB, [])
    assert caught.value.retryable == ("port" in change)
    assert "sesame" not in f"{caught.value!r} {caught.value} {caught.value.__context__!r}"


def test_keys_in_the_place_of_a_url(postgres: PostgresServer) -> None:
    config = {"host": "127.0.0.1", "port": postgres.port, "user": "tester", "password": "correct horse", "dbname": "postgres"}
    assert PostgresWriter().inspect(config, JOB, []).state is None


@pytest.fixture
def poor(bench: Postgres) -> Iterator[Postgres]:
    """A user who may do nothing yet, and the schema of another."""
    bench.sql("DROP ROLE IF EXISTS poor")
    bench.sql("CREATE ROLE poor LOGIN PASSWORD 'sesame'")
    bench.case.url = bench.case.server.url(user="poor", password="sesame")  # type: ignore[attr-defined]
    yield bench
    bench.close()
    bench.sql("DROP OWNED BY poor; DROP ROLE poor")


def test_no_permission(poor: Postgres) -> None:
    with pytest.raises(TargetError, match="permission denied for schema") as caught:
        poor.load(batch({"id": [1]}))
    assert "needs CREATE and USAGE on the schema" in str(caught.value.hint)


def test_a_time_limit_for_statements(poor: Postgres) -> None:
    poor.sql(f'GRANT ALL ON SCHEMA "{poor.config["schema"]}" TO poor; ALTER ROLE poor SET statement_timeout = 500')
    poor.load(batch({"id": [1]}))
    poor.sql(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(5); RETURN NEW; END $$; "
        "CREATE TRIGGER slow BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION slow()"
    )
    with pytest.raises(TargetError, match="time limit for a statement") as caught:
        poor.load(batch({"id": [2]}))
    assert "statement_timeout" in str(caught.value.hint)


def test_a_server_with_settings_of_its_own(poor: Postgres) -> None:
    settings = {
        "timezone": "'Asia/Kolkata'",
        "datestyle": "'German'",
        "extra_float_digits": "0",
        "standard_conforming_strings": "off",
        "default_transaction_isolation": "serializable",
        "search_path": "''",
        "idle_session_timeout": "'1min'",
    }
    for name, value in settings.items():
        poor.sql(f"ALTER ROLE poor SET {name} = {value}")
    poor.sql(f'GRANT ALL ON SCHEMA "{poor.config["schema"]}" TO poor')
    poor.load(batch({"id": [1, 2], "at": at(1, 2), "v": [0.1 + 0.2, 1.0], "b": [b"\\", b"'"]}), mode="merge", key=("id",))
    writer = poor.open(ConfiguredStream(ORDERS, "merge", ("id",)))
    assert writer._connection.rows("SELECT current_setting('idle_session_timeout')", "look") == [("0",)]
    writer.write_batch(batch({"id": [2], "at": ["x"], "v": ["y"], "b": ["z"]}))
    writer.commit(b"2", final=True)
    assert poor.rows()[0] == {"id": 1, "at": "2026-01-01T00:00:01Z", "v": "0.30000000000000004", "b": "XA=="}


def test_a_read_only_server(poor: Postgres) -> None:
    poor.sql("ALTER ROLE poor SET default_transaction_read_only = on")
    with pytest.raises(TargetError, match="the server is read-only") as caught:
        poor.load(batch({"id": [1]}))
    assert not caught.value.retryable


def test_a_table_that_somebody_has_locked(bench: Postgres, postgres: PostgresServer) -> None:
    bench.load(batch({"id": [1]}))
    writer, config = bench.case.make(bench.path)
    writer.initialize({**config, "lock_timeout_seconds": 0.2}, bench.catalog)
    writer.write_batch(batch({"id": [2]}))
    with postgres.connect() as other, other.transaction():
        other.execute(f'LOCK TABLE "{config["schema"]}".orders')
        with pytest.raises(TargetError, match="somebody else has locked") as caught:
            writer.commit(b"2")
    writer.close()
    assert caught.value.retryable


def test_a_full_disk_is_temporary(bench: Postgres) -> None:
    bench.load(batch({"id": [1]}))
    bench.sql(
        "CREATE FUNCTION full_() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION SQLSTATE '53100'; END $$; "
        "CREATE TRIGGER full_ BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION full_()"
    )
    with pytest.raises(TargetError, match="disk is full") as caught:
        bench.load(batch({"id": [2]}))
    assert caught.value.exit_code == 75


MEANINGS = [
    ("57P01", TargetError, True),
    ("08006", TargetError, True),
    ("53100", TargetError, True),
    ("53300", TargetError, True),
    ("40P01", TargetError, True),
    ("55P03", TargetError, True),
    ("", TargetError, True),
    ("57014", TargetError, False),
    ("53400", TargetError, False),
    ("25006", TargetError, False),
    ("42501", TargetError, False),
    ("2BP01", TargetError, False),
    ("XX000", TargetError, False),
    ("23505", ContractError, False),
    ("22021", ContractError, False),
    ("22003", ContractError, False),
]


@pytest.mark.parametrize(("state", "kind", "retryable"), MEANINGS, ids=[state or "lost" for state, _, _ in MEANINGS])
def test_errors_by_their_meaning(state: str, kind: type[DativoError], retryable: bool) -> None:
    error = adbc_driver_manager.OperationalError("secret value", status_code=AdbcStatusCode.IO, sqlstate=state or None)
    place = Place("h/d", "u", "secret")
    with pytest.raises(kind) as caught, failures(place, "write", ORDERS):
        raise error
    assert (caught.value.retryable, caught.value.facts["stream"]) == (retryable, "orders")
    assert caught.value.hint is not None or state == "XX000"
    assert "secret" not in f"{caught.value}{place}"


@pytest.mark.parametrize("stream", [StreamId("a__b"), StreamId("b", "a")], ids=str)
def test_two_jobs_that_want_one_table(bench: Postgres, stream: StreamId) -> None:
    first = bench.open(ConfiguredStream(StreamId("a__b")))
    first.write_batch(batch({"id": [1]}, StreamId("a__b")))
    bench.writer = None
    second = bench.open(ConfiguredStream(stream), job=JobKey("acme", "other"))
    second.write_batch(batch({"id": [2]}, stream))
    second.commit(b"1", final=True)
    with pytest.raises(TargetError) as caught:
        first.commit(b"1", final=True)
    first.close()
    assert caught.value.retryable
    bench.load(batch({"id": [1]}, StreamId("a__b")))
    tables = [name for (name,) in bench.sql("SELECT table_name FROM _dativo_tables")]
    assert len(tables) == len({stream, StreamId("a__b")})
    assert sorted(id_ for name in tables for id_ in bench.column("id", name)) == [1, 2]
