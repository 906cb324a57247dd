"""Values come through exactly, or go to quarantine exactly as the tap sent them."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.project import Project
from tests.taps import sources, taps
from tests.taps.servers import Server

UTC = datetime.UTC
pytestmark = pytest.mark.network


def full(
    tap: taps.Tap, source: sources.Source, project: Project, types: dict[str, str] | None = None, **job: Any
) -> dict[int, Any]:
    """Rows of the source by id, read into Parquet."""
    stream = {"mode": "full_refresh", "types": types or {}}
    project.run({"connector": tap.reference, "config": source.config, "streams": {source.stream: stream}}, "parquet", **job)
    return {row["id"]: row for row in project.files(source.stream)}


@pytest.mark.server
@pytest.mark.xdist_group("taps-postgres")
def test_postgres_by_singer_sdk(postgres: Server, project: Project) -> None:
    source = sources.postgres_database(postgres, database="DATABASE", filter_schemas=["shop"])
    rows = full(taps.POSTGRES, source, project, {"price": "decimal(38,10)", "amount": "decimal(38,10)"})
    assert list(rows) == [1, 9007199254740993, -9223372036854775808, 4]
    assert rows[1] == {
        "id": 1,
        "name": "plain",
        "price": Decimal("1.1000000000"),
        "amount": Decimal("1.1000000000"),
        "ratio": 0.1,
        "flag": True,
        "born": datetime.date(2024, 2, 29),
        "at": datetime.datetime(2024, 2, 29, 10, 0, 0, 123456, UTC),
        "local": datetime.datetime(2024, 2, 29, 12, tzinfo=UTC),
        "clock": datetime.time(23, 59, 59),
        "uid": "11111111-2222-3333-4444-555555555555",
        "doc": '{"a":[1,null,1.10]}',
        "tags": '["a",null,"b c"]',
        "numbers": "[1,null,3]",
        "raw": "00ff",
        "changed": datetime.datetime(2024, 1, 1, tzinfo=UTC),
    }
    big = rows[9007199254740993]
    assert big["name"] == 'Ünïcödé 🚚 "quoted" \\ back\ttab'
    assert big["price"] == Decimal("1234567890123456789012345678.0123456789")
    assert big["amount"] == Decimal("12345678901234567890.123456789")
    assert big["local"] == datetime.datetime(1969, 12, 31, 23, 59, 59, 999999, UTC)
    assert rows[-9223372036854775808]["price"] == Decimal("-0.0000000001")
    assert (rows[4]["amount"], rows[4]["ratio"], rows[4]["born"]) == (Decimal("1E-10"), None, datetime.date(9999, 12, 31))


@pytest.mark.server
@pytest.mark.xdist_group("taps-postgres")
def test_a_number_with_more_digits_than_its_column_goes_to_quarantine_untouched(postgres: Server, project: Project) -> None:
    source = sources.postgres_database(postgres, database="DATABASE", filter_schemas=["shop"])
    assert 9007199254740993 not in full(taps.POSTGRES, source, project)
    (rejected,) = project.rejected(source.stream)
    assert rejected["column"] == "price"
    assert b'"price":1234567890123456789012345678.0123456789,' in rejected["record"]


@pytest.mark.server
@pytest.mark.xdist_group("taps-postgres")
def test_postgres_by_pipelinewise(postgres: Server, project: Project) -> None:
    """Recursive `$ref`, draft-4 bounds, `multipleOf` as scale; dates as date-times."""
    source = sources.postgres_database(postgres, dbname="DATABASE", filter_schemas="shop")
    rows = full(taps.PIPELINEWISE_POSTGRES, source, project, {"amount": "decimal(38,10)"})
    assert rows[9007199254740993]["price"] == Decimal("1234567890123456789012345678.0123456789")
    assert rows[9007199254740993]["amount"] == Decimal("12345678901234567890.123456789")
    assert rows[1]["born"] == datetime.datetime(2024, 2, 29, tzinfo=UTC)
    assert (rows[1]["tags"], rows[1]["numbers"]) == ('["a", null, "b c"]', "[1, null, 3]")
    assert json.loads(rows[1]["doc"]) == {"a": [1, None, 1.1]}


@pytest.mark.server
@pytest.mark.xdist_group("taps-mariadb")
def test_mariadb_by_pipelinewise(mariadb: Server, project: Project) -> None:
    rows = full(taps.PIPELINEWISE_MYSQL, sources.mariadb_database(mariadb), project)
    assert rows[1]["at"] == datetime.datetime(2024, 2, 29, 12, 0, 0, 123456, UTC)
    assert (rows[1]["clock"], rows[1]["bits"], rows[1]["small"]) == (datetime.time(23, 59, 59), True, -128)
    assert rows[3]["price"] == Decimal("-1E-10")
    by_column = {rejected["column"]: rejected["record"] for rejected in project.rejected("items")}
    assert b'"id": 18446744073709551615' in by_column.pop("id")
    # A row with several bad values is rejected for one of them: zero dates, or a time of minus 35 days.
    ((column, record),) = by_column.items()
    assert column in ("born", "at", "clock")
    assert b'"born": "0000-00-00"' in record
    assert b'"clock": "-35 days, 1:00:01"' in record


@pytest.mark.server
@pytest.mark.xdist_group("taps-mariadb")
def test_bad_values_can_be_nulled_with_a_note(mariadb: Server, project: Project) -> None:
    source = sources.mariadb_database(mariadb)
    rows = full(taps.PIPELINEWISE_MYSQL, source, project, {"id": "decimal(20,0)"}, on_bad_value="null")
    assert set(rows) == {1, 3, 2**63 - 1, 2**64 - 1}
    changed = json.loads(rows[2**63 - 1]["_dativo_changes"])
    assert {change["column"] for change in changed} == {"born", "at", "clock"}
    assert rows[2**63 - 1]["price"] == Decimal("12345678901234567890.0123456789")
    assert rows[1]["_dativo_changes"] is None


@pytest.mark.server
@pytest.mark.xdist_group("taps-mariadb")
def test_mariadb_by_singer_python(mariadb: Server, project: Project) -> None:
    """This tap turns zero dates into nulls, and times into date-times of 1970."""
    rows = full(taps.MYSQL, sources.mariadb_database(mariadb), project)
    assert rows[2**63 - 1]["price"] == Decimal("12345678901234567890.0123456789")
    assert rows[2**63 - 1]["born"] is None
    assert rows[1]["clock"] == datetime.datetime(1970, 1, 1, 23, 59, 59, tzinfo=UTC)


@pytest.mark.xdist_group("taps-jsonl")
def test_a_key_of_two_types_keeps_both(project: Project, tmp_path: Path) -> None:
    """The tap infers `integer` or `string` for the key: such a column is JSON text, exact as sent."""
    data = tmp_path / "source"
    data.mkdir()
    rows = full(taps.JSONL, sources.jsonl_files(data), project)
    assert set(rows) == {"1", "2", '"three"'}
    assert rows["1"]["at"] == datetime.datetime(2024, 2, 29, 10, tzinfo=UTC)
    assert rows["2"]["name"] == "Ünïcödé 🚚\x00"
    assert (rows["1"]["price"], rows['"three"']["flag"]) in ((1.1, True), ("1.1", True))


@pytest.mark.xdist_group("taps-csv")
def test_the_keys_that_a_tap_calls_sdc_are_kept(project: Project, tmp_path: Path) -> None:
    data = tmp_path / "source"
    data.mkdir()
    source = sources.csv_folder(data)
    project.run({"connector": taps.CSV.reference, "config": source.config, "streams": {"orders": {}}}, "parquet")
    rows = [(row["_sdc_line_number"], row["id"], row["name"], row["price"]) for row in project.files("orders")]
    assert [row[1:] for row in rows] == [("1", "plain", "1.10"), ("2", 'a "quoted", one\nof two lines', ""), ("3", "東京", "1e3")]
    assert len({row[0] for row in rows}) == 3
