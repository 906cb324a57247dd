"""Values of real sources come through exactly, or go to quarantine exactly as the source sent them."""

from __future__ import annotations

import datetime
import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.airbyte import sources
from tests.project import Project

pytestmark = pytest.mark.network


@pytest.mark.xdist_group("airbyte-file")
def test_infinity_and_booleans_among_strings(project: Project, tmp_path: Path) -> None:
    """A boolean is no string: without a type in the job, such a row goes to quarantine as it was sent."""
    with sources.file(tmp_path) as source:
        (tmp_path / "things.csv").write_text(sources.THINGS + "4,infinite,inf,true\n")
        connector = {"connector": source.reference, "config": source.config}
        project.run({**connector, "streams": {"things": {"write": "overwrite"}}}, "parquet")
        assert {row["column"] for row in project.rejected("things")} == {"flag"}
        assert any(b'"price": Infinity' in row["record"] for row in project.rejected("things"))
        types = {"flag": "json", "id": "int64"}
        project.run({**connector, "streams": {"things": {"write": "overwrite", "types": types}}}, "parquet")
    assert project.files("things") == [
        {"id": 1, "name": "plain", "price": 1.1, "flag": "true"},
        {"id": 2, "name": 'a "quoted", one\nof two lines', "price": None, "flag": "false"},
        {"id": 3, "name": "東京", "price": 1000.0, "flag": None},
        {"id": 4, "name": "infinite", "price": math.inf, "flag": "true"},
    ]


@pytest.mark.xdist_group("airbyte-smoke-test")
class TestSmokeTest:
    """PyAirbyte's scenarios in DuckDB: one run for all of them."""

    @pytest.fixture(scope="class")
    @classmethod
    def project(cls, tmp_path_factory: pytest.TempPathFactory) -> Project:
        project = Project(tmp_path_factory.mktemp("smoke"))
        streams = {"*": {"write": "append"}}
        project.run({"connector": sources.SMOKE_TEST, "config": {"all_fast_streams": True}, "streams": streams})
        return project

    def test_numbers(self, project: Project) -> None:
        rows = project.rows("select big_integer, precise_decimal, small_decimal from large_decimals_and_numbers order by id")
        assert rows == [
            (9999999999999999, 3.141592653589793, 1e-06),
            (-9999999999999999, -0.1, 1e-10),
            (0, 99999999.99999999, 0.0),
        ]
        rows = project.rows("select float_value, integer_value from special_number_values order by id")
        assert rows[:5] == [
            (sys.float_info.max, 1),
            (5e-324, -1),
            (-sys.float_info.max, 0),
            (-5e-324, 2**63 - 1),
            (0.0, -(2**63)),
        ]

    def test_times(self, project: Project) -> None:
        rows = project.rows("select created_date, updated_at::varchar, epoch_seconds from timestamp_types order by id")
        assert rows[0] == (datetime.date(2024, 1, 15), "2024-01-15 10:30:00+00", 1705312200)
        assert rows[2] == (datetime.date(2099, 12, 31), "2099-12-31 23:59:59.999999+00", 4102444799)
        rows = project.rows("select time_no_tz, timestamp_no_tz from time_types order by id")
        assert rows[2] == (datetime.time(23, 59, 59, 999999), datetime.datetime(2099, 12, 31, 23, 59, 59, 999999))

    def test_the_offset_of_a_time_is_not_lost(self, project: Project) -> None:
        rows = project.rows("select time_with_tz from time_types order by id")
        assert [row[0] for row in rows] == ["10:30:00+05:30", "00:00:00Z", "23:59:59.999999-08:00"]

    def test_unions_and_arrays_are_json_as_sent(self, project: Project) -> None:
        rows = project.rows("select string_or_integer, number_or_null, object_or_string from union_types order by id")
        assert [tuple(map(parsed, row)) for row in rows] == [
            ("hello", 3.141592653589793, {"key": "value"}),
            (42, None, "just_a_string"),
            ("", 0.0, {}),
        ]
        ((mixed,),) = project.rows("select mixed_array from array_of_primitives where id = 1")
        assert json.loads(mixed) == ["text", 42, True, None, 3.141592653589793]

    def test_nulls_are_null_whether_sent_or_left_out(self, project: Project) -> None:
        rows = project.rows("select * exclude (id) from null_handling where id = 2")
        assert set(rows[0]) == {None}
        assert project.rows("select col_a, col_b, col_c, col_d, col_e from sparse_records where id = 7") == [(None,) * 5]

    def test_names_of_columns_and_tables_stay_apart(self, project: Project) -> None:
        columns = [name for (name,) in project.rows("select column_name from (describe column_naming_edge_cases)")]
        assert len({column.lower() for column in columns}) == 11
        assert {"CamelCaseStreamName", "table_naming_edge_cases", "empty_stream"} <= set(project.tables())

    def test_what_an_append_gets_twice_it_keeps_twice(self, project: Project) -> None:
        assert project.rows("select count(*), count(distinct id) from duplicate_primary_keys") == [(6, 3)]


@pytest.mark.xdist_group("airbyte-smoke-test")
def test_a_merge_keeps_the_last_row_of_a_key(project: Project) -> None:
    config = {"all_fast_streams": False, "scenario_filter": ["duplicate_primary_keys"]}
    connector = {"connector": sources.SMOKE_TEST, "config": config, "streams": {"*": {"write": "merge"}}}
    for _ in range(2):
        project.run(connector)
        rows = project.rows("select id, updated_value from duplicate_primary_keys order by id")
        assert rows == [(1, "third"), (2, "second"), (3, "first")]


def parsed(cell: Any) -> Any:
    return json.loads(cell) if isinstance(cell, str) else cell
