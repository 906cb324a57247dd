"""Every type, value by value, against what the server shows of it."""

from __future__ import annotations

import datetime as dt
import json
import math
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from .database import Database

_EPOCH = dt.date(1970, 1, 1)


def days(text: str) -> int:
    """Days since 1970-01-01, also of years that Python has no date for."""
    year, month, day = map(int, text.removesuffix(" BC").split("-"))
    year = 1 - year if text.endswith(" BC") else year
    # The calendar repeats itself after 400 years.
    cycles, within = divmod(year - 1, 400)
    return (dt.date(within + 1, month, day) - _EPOCH).days + cycles * 146_097


def micros(text: str) -> int:
    """Microseconds since 1970-01-01 in UTC."""
    era = " BC" if text.endswith(" BC") else ""
    date, time = text.removesuffix(" BC").removesuffix("+00").split(" ")
    hours, minutes, seconds = time.split(":")
    return days(date + era) * 86_400_000_000 + int((int(hours) * 3600 + int(minutes) * 60 + Decimal(seconds)) * 1_000_000)


def clock(text: str) -> int:
    hours, minutes, seconds = text.split(":")
    return int((int(hours) * 3600 + int(minutes) * 60 + Decimal(seconds)) * 1_000_000)


def single(text: str) -> float:
    value: float = struct.unpack("f", struct.pack("f", float(text)))[0]
    return value


def number(text: str) -> str:
    """A JSON number, or the name of what is none."""
    return text if re.fullmatch(r"-?[0-9.]+", text) else f'"{text}"'


@dataclass(frozen=True)
class Case:
    """Values of a type, and what the server's text of each is in Arrow."""

    type: str
    values: tuple[str, ...]
    arrow: pa.DataType
    expected: Callable[[str], Any] = str
    raw: pa.DataType | None = None

    @property
    def json(self) -> bool:
        """Whether it is marked as JSON."""
        return self.type in ("json", "jsonb", "numeric", "numeric(60,5)")

    def __str__(self) -> str:
        return self.type


TEXT = pa.utf8()
CASES = [
    Case("int2", ("-32768", "0", "32767"), pa.int64(), int),
    Case("int4", ("-2147483648", "0", "2147483647"), pa.int64(), int),
    Case("int8", (str(-(2**63)), "0", str(2**63 - 1)), pa.int64(), int),
    Case("oid", ("0", "4294967295"), pa.int64(), int),
    Case("float4", ("0.1", "-1.5e30", "1e-45", "NaN", "Infinity", "-Infinity", "-0"), pa.float64(), single),
    Case("float8", ("0.1", "-1.7976931348623157e308", "5e-324", "NaN", "Infinity", "-Infinity", "-0"), pa.float64(), float),
    Case("numeric(12,2)", ("0", "0.01", "-9999999999.99", "1234567.8"), pa.decimal128(12, 2), Decimal),
    Case("numeric(38,0)", ("9" * 38, "-" + "9" * 38, "10000", "1"), pa.decimal128(38, 0), Decimal),
    Case("numeric(38,38)", ("0." + "9" * 38, "-0." + "0" * 37 + "1"), pa.decimal128(38, 38), Decimal),
    Case("numeric(5,0)", ("0", "10000", "-99999"), pa.decimal128(5, 0), Decimal),
    Case(
        "numeric",
        ("0", "0.000", "1.10", "-0.00000000000000000001", "1e100", "9" * 60 + "." + "7" * 30, "NaN", "Infinity", "-Infinity"),
        TEXT,
        number,
    ),
    Case("numeric(60,5)", ("9" * 55 + ".12345", "-1"), TEXT, number),
    Case("bool", ("true", "false"), pa.bool_(), lambda text: text == "t"),
    Case("text", ("", "é 日本 \U0001f600", 'quote " \\ back\n\t', " spaces "), TEXT),
    Case("varchar(10)", ("", "abc"), TEXT),
    Case("char(5)", ("", "abc"), TEXT),
    Case('"char"', ("a", ""), TEXT),
    Case("name", ("a_name",), TEXT),
    Case("citext", ("MiXed", ""), TEXT),
    Case("bytea", (r"\x", r"\x00ff10"), pa.binary(), lambda text: bytes.fromhex(text[2:])),
    Case(
        "date",
        ("2024-02-29", "1970-01-01", "4713-11-24 BC", "0001-01-01", "0001-12-31 BC", "5874897-12-31"),
        pa.date32(),
        days,
        pa.int32(),
    ),
    Case("time", ("00:00", "23:59:59.999999", "12:34:56.7"), pa.time64("us"), clock, pa.int64()),
    Case("timetz", ("00:00+00", "23:59:59.999999-05:30", "24:00:00+15:59:59", "01:02:03.4+01:02:03"), TEXT),
    Case(
        "timestamp",
        ("2024-02-29 12:34:56.789", "1969-12-31 23:59:59.999999", "4713-11-24 00:00:00 BC", "294246-12-31 23:59:59.999999"),
        pa.timestamp("us"),
        micros,
        pa.int64(),
    ),
    Case(
        "timestamptz",
        ("2024-02-29 12:34:56.789+02", "0001-01-01 00:00:00+00", "0044-03-15 12:00:00+00 BC", "294246-12-31 23:59:59.999999+00"),
        pa.timestamp("us", "UTC"),
        micros,
        pa.int64(),
    ),
    Case(
        "interval",
        (
            "0",
            "1 year 2 mons 3 days 04:05:06.789",
            "-1 year -2 days -00:00:00.000001",
            "1 mon -1 day",
            "-23:59:59.5",
            "178000000 years",
            "300:00:00",
        ),
        TEXT,
    ),
    Case("uuid", ("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "00000000-0000-0000-0000-000000000000"), TEXT),
    Case("json", ('{"a" : 1.10, "a": [null, 1e400]}', "null", '"text"', "12345678901234567890.10"), TEXT),
    Case("jsonb", ('{"b": 1.10, "a": [null, 1e40]}', "null", '"\\u00e9"'), TEXT),
    Case(
        "inet",
        (
            "10.0.0.1",
            "10.0.0.1/8",
            "::1",
            "::",
            "2001:db8::1/64",
            "::ffff:1.2.3.4",
            "::1.2.3.4",
            "1:0:0:2:0:0:0:3",
            "fe80::1:0:0:0",
            "1:2:3:4:5:6:7:0",
        ),
        TEXT,
    ),
    Case("cidr", ("10.0.0.0/8", "10.1.2.3/32", "2001:db8::/32", "::/0"), TEXT),
    Case("macaddr", ("08:00:2b:01:02:03",), TEXT),
    Case("macaddr8", ("08:00:2b:01:02:03:04:05",), TEXT),
    Case("bit(3)", ("101",), TEXT),
    Case("varbit", ("", "1", "101010101"), TEXT),
    Case("money", ("0", "-12345.67"), TEXT),
    Case("xml", ("<a b='1'>é</a>", "text"), TEXT),
    Case("tsvector", ("a fat cat", "'b':3A"), TEXT),
    Case("tsquery", ("fat & (cat | rat)",), TEXT),
    Case("point", ("(1.1,-2)", "(NaN,Infinity)"), TEXT),
    Case("box", ("(1,2),(3,4)",), TEXT),
    Case("path", ("[(0.1,0),(1,1)]",), TEXT),
    Case("polygon", ("((0,0),(1,1),(2,0))",), TEXT),
    Case("circle", ("<(0.1,0),5>",), TEXT),
    Case("line", ("{1,2,3}",), TEXT),
    Case("int4range", ("[1,5)", "empty", "(,5]"), TEXT),
    Case("tstzrange", ("[2024-01-01 00:00+00,)",), TEXT),
    Case("int8multirange", ("{[1,2),[5,9)}", "{}"), TEXT),
    Case("mood", ("happy", 'so "so"'), TEXT),
    Case("place", ('(1,"a ""b""",)', "(,,)"), TEXT),
    Case("positive", ("1", "99"), pa.int64(), int),
    Case("amount", ("1.50", "-3"), pa.decimal128(8, 2), Decimal),
    Case("pg_lsn", ("16/B374D848",), TEXT),
    Case("regclass", ("pg_type",), TEXT),
    Case("int2vector", ("1 2 3",), TEXT),
    Case("hstore", ('a=>1, "b c"=>NULL', ""), TEXT),
    Case("jsonpath", ("$.a[*] ? (@ > 1)",), TEXT),
]


@pytest.fixture
def typed(database: Database) -> Database:
    database.sql(
        """
        CREATE EXTENSION citext; CREATE EXTENSION hstore;
        CREATE TYPE mood AS ENUM ('happy', 'so "so"');
        CREATE TYPE place AS (x int, name text, at date);
        CREATE DOMAIN positive AS int CHECK (VALUE > 0);
        CREATE DOMAIN price AS numeric(8,2); CREATE DOMAIN amount AS price;
        """
    )
    return database


def shown(database: Database, table: str = "t") -> list[Any]:
    """The texts that the server shows; None for null."""
    with database.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'; SET IntervalStyle = 'iso_8601'; SET extra_float_digits = 3")
        cursor = connection.execute(f"SELECT v FROM {table} ORDER BY n")  # type: ignore[call-overload]
        assert cursor.pgresult is not None
        cells = [cursor.pgresult.get_value(row, 0) for row in range(cursor.pgresult.ntuples)]
        return [None if cell is None else cell.decode() for cell in cells]


def fill(database: Database, type_name: str, values: tuple[str, ...]) -> None:
    with database.connect() as connection:
        connection.execute(f"CREATE TABLE t (n serial PRIMARY KEY, v {type_name})")  # type: ignore[call-overload]
        for value in (*values, None):
            connection.execute(f"INSERT INTO t (v) VALUES (%s::text::{type_name})", [value])  # type: ignore[call-overload]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_are_those_that_the_server_shows(typed: Database, case: Case) -> None:
    fill(typed, case.type, case.values)
    column = typed.read(["t"]).table("t").sort_by("n").column("v")
    assert getattr(column.type, "storage_type", column.type) == case.arrow
    assert isinstance(column.type, pa.JsonType) == case.json
    found = column.cast(case.raw).to_pylist() if case.raw else column.to_pylist()
    expected = [None if text is None else case.expected(text) for text in shown(typed)]
    assert len(found) == len(expected) == len(case.values) + 1
    for one, other in zip(found, expected, strict=True):
        assert one == other or (isinstance(one, float) and math.isnan(one) and math.isnan(other)), (one, other)
        if isinstance(one, float):
            assert math.copysign(1, one) == math.copysign(1, other)


@pytest.mark.parametrize(
    ("type_name", "value"),
    [
        ("date", "infinity"),
        ("date", "-infinity"),
        ("timestamp", "infinity"),
        ("timestamptz", "-infinity"),
        ("timestamptz", "294276-12-31 23:59:59+00"),
        ("time", "24:00:00"),
        ("numeric(5,2)", "NaN"),
    ],
)
def test_what_no_arrow_type_holds_is_rejected_or_null(database: Database, type_name: str, value: str) -> None:
    fill(database, type_name, (value,))
    found = database.read(["t"])
    (row,) = found.rejected("t")
    assert (row["line"], row["column"]) == (1, "v")
    record = json.loads(row["record"])
    assert record["n"] == 1
    assert record["v"].replace("T", " ").replace("Z", "+00") == value
    assert found.column("t", "v") == [None]
    nulled = database.read(["t"], bad_values="null")
    assert (nulled.column("t", "v"), nulled.rejected("t")) == ([None, None], [])


ARRAYS = [
    ("int4[]", "{1,NULL,3}", [1, None, 3]),
    ("int4[]", "{}", []),
    ("int4[]", "[-1:1]={1,2,3}", [1, 2, 3]),
    ("int4[]", "[0:1][3:4]={{1,2},{3,NULL}}", [[1, 2], [3, None]]),
    ("text[]", '{"a \\"b\\"","NULL",NULL,"",é}', ['a "b"', "NULL", None, "", "é"]),
    ("numeric[]", "{1.10,NaN,1e30}", [Decimal("1.10"), "NaN", Decimal(10**30)]),
    ("float8[]", "{0.1,NaN,-Infinity,1e300}", [Decimal("0.1"), "NaN", "-Infinity", Decimal("1e300")]),
    ("float4[]", "{0.1}", [Decimal("0.1")]),
    ("bool[]", "{t,f}", [True, False]),
    ("date[]", "{2024-01-31,infinity}", ["2024-01-31", "infinity"]),
    ("timestamptz[]", "{2024-01-31 12:00+02}", ["2024-01-31T10:00:00Z"]),
    ("bytea[]", '{"\\\\xdead"}', ["3q0="]),
    ("jsonb[]", '{"{\\"a\\": 1.10}",null}', [{"a": Decimal("1.10")}, None]),
    ("uuid[]", "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}", ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
    ("mood[]", "{happy}", ["happy"]),
    ("positive[]", "{1,2}", [1, 2]),
    ("place[]", '{"(1,a,2024-01-01)"}', [{"x": 1, "name": "a", "at": "2024-01-01"}]),
    ("int4range[]", '{"[1,5)"}', ["[1,5)"]),
    ("inet[]", "{10.0.0.1,::1/64}", ["10.0.0.1", "::1/64"]),
]


@pytest.mark.parametrize(("type_name", "value", "expected"), ARRAYS)
def test_arrays_are_json(typed: Database, type_name: str, value: str, expected: list[Any]) -> None:
    fill(typed, type_name, (value,))
    table = typed.read(["t"]).table("t")
    assert isinstance(table.schema.field("v").type, pa.JsonType)
    text = next(row for row in table.column("v").to_pylist() if row is not None)
    assert json.loads(text, parse_float=Decimal) == expected


def test_arrays_are_lists_where_that_is_wanted(typed: Database) -> None:
    fill(typed, "int4[]", ("{1,NULL,3}", "{}", "[5:6]={8,9}", "{{1},{2}}"))
    found = typed.read(["t"], arrays="list")
    assert found.table("t").schema.field("v").type == pa.list_(pa.int64())
    assert found.column("t", "v") == [[1, None, 3], [], [8, 9], None]
    assert [row["line"] for row in found.rejected("t")] == [4]


@pytest.mark.parametrize(
    ("numeric", "arrow", "expected"),
    [("string", pa.utf8(), ["1.10", "NaN", None]), ("decimal", pa.decimal128(38, 9), [Decimal("1.10"), None])],
)
def test_numbers_without_a_precision_are_what_the_user_says(
    database: Database, numeric: str, arrow: pa.DataType, expected: list[Any]
) -> None:
    fill(database, "numeric", ("1.10", "NaN"))
    found = database.read(["t"], numeric=numeric)
    assert found.table("t").schema.field("v").type == arrow
    assert found.column("t", "v") == expected


def test_text_of_another_encoding_is_rejected(database: Database) -> None:
    name = f"{database.name}_ascii"
    database.sql(f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    other = Database(database.server, name)
    other.sql(r"CREATE TABLE t (v text); INSERT INTO t VALUES ('good'), (convert_from('\xe9', 'SQL_ASCII'))")
    found = other.read(["t"])
    assert found.column("t", "v") == ["good"]
    assert [row["reason"] for row in found.rejected("t")] == ["text that is not UTF-8"]


def test_a_type_that_nobody_knows_is_text(database: Database) -> None:
    database.sql(
        """
        CREATE TYPE colour;
        CREATE FUNCTION colour_in(cstring) RETURNS colour LANGUAGE internal IMMUTABLE STRICT AS 'textin';
        CREATE FUNCTION colour_out(colour) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
        CREATE TYPE colour (INPUT = colour_in, OUTPUT = colour_out, LIKE = text);
        CREATE TABLE t (v colour, w colour[]);
        INSERT INTO t VALUES ('red', '{green,blue}');
        """
    )
    found = database.read(["t"])
    assert (found.column("t", "v"), found.column("t", "w")) == (["red"], ['["green","blue"]'])


def test_psycopg_reads_the_same(database: Database) -> None:
    """A table of many rows, cell by cell."""
    database.sql(
        """
        CREATE TABLE t AS SELECT i AS id, 'name ' || i AS name, (i * 7919 % 1000000 / 100.0)::numeric(12,2) AS price,
            CASE WHEN i % 7 = 0 THEN NULL ELSE i / 997.0::float8 END AS share, i % 3 = 0 AS paid,
            date '2020-01-01' + i AS day, timestamptz '2024-01-01 00:00+00' + i * interval '1.234567 s' AS created
        FROM generate_series(1, 20000) AS i
        """
    )
    rows = sorted(database.read(["t"], max_rows=3000).table("t").to_pylist(), key=lambda row: row["id"])
    with database.connect() as connection:
        cursor = connection.cursor(row_factory=psycopg.rows.dict_row)
        assert rows == cursor.execute("SELECT * FROM t ORDER BY id").fetchall()
