"""The message streams of the Singer SDK's own target test suite, with the results that the suite asks for.

The suite runs inside a target's process and looks at exceptions; here the same files go through `dativo run` into each target,
with `on_bad_value: fail`, so that what is an exception there is an exit code here.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from singer_sdk.testing import target_test_streams

from tests.project import Project

FILES = {path.stem: path for path in sorted(Path(target_test_streams.__file__).parent.glob("*.singer"))}
CONTRACT, CONNECTOR = 30, 10
REFUSED = {"record_before_schema": CONNECTOR, "record_missing_key_property": CONTRACT}
STRICT = {"on_bad_value": "fail"}
NO_PROPERTIES = "invalid_schema"

pytestmark = pytest.mark.parametrize("target", ["duckdb", "parquet", "jsonl"])


def records(case: str) -> dict[str, list[dict[str, Any]]]:
    """What the file says, by stream."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in FILES[case].read_text().splitlines():
        message = json.loads(line)
        if message["type"] == "RECORD":
            found.setdefault(message["stream"], []).append(message["record"])
    return found


def table(project: Project, target: str, name: str) -> list[dict[str, Any]]:
    """A table's rows, nested values parsed."""
    if target == "duckdb":
        rows = project.rows(f'select to_json(t) from "{name}" t')
        return [json.loads(row) for (row,) in rows]
    return project.files(name)


def plain(value: object) -> object:
    """A nested value that a target keeps as JSON text, parsed."""
    return json.loads(value) if isinstance(value, str) and value[:1] in ("{", "[") else value


@pytest.mark.parametrize("case", [case for case in FILES if case not in {*REFUSED, NO_PROPERTIES}])
def test_a_stream_loads_every_record(case: str, target: str, project: Project) -> None:
    report = project.replay(FILES[case], target, **STRICT)
    sent = Counter({stream: len(rows) for stream, rows in records(case).items()})
    assert Counter({stream["stream"]: stream["written"] for stream in report["streams"] if stream["written"]}) == sent


@pytest.mark.parametrize("case", REFUSED)
def test_a_stream_that_the_suite_wants_refused_is_refused(case: str, target: str, project: Project) -> None:
    report = project.replay(FILES[case], target, code=REFUSED[case], **STRICT)
    assert next(iter(records(case))) in report["error"]["message"]
    assert report["written"] == 0


def test_a_schema_without_properties_is_taken(target: str, project: Project) -> None:
    """The one departure: the suite wants `invalid_schema` refused, but taps do send schemas without properties."""
    report = project.replay(FILES[NO_PROPERTIES], target, **STRICT)
    assert (report["status"], report["written"]) == ("succeeded", 0)


def test_duplicates_are_merged_where_the_target_can_and_kept_where_it_appends(target: str, project: Project) -> None:
    project.replay(FILES["duplicate_records"], target)
    rows = [(row["id"], row["metric"]) for row in table(project, target, "test_duplicate_records")]
    every = [(record["id"], record["metric"]) for record in records("duplicate_records")["test_duplicate_records"]]
    assert sorted(rows) == ([(1, 100), (2, 20)] if target == "duckdb" else sorted(every))


def test_strings_are_kept_to_the_last_control_character(target: str, project: Project) -> None:
    project.replay(FILES["encoded_string_data"], target)
    for stream, sent in records("encoded_string_data").items():
        rows = sorted(table(project, target, stream), key=lambda row: int(row["id"]))
        assert [{name: plain(value) for name, value in row.items()} for row in rows] == sent


def test_arrays_are_kept(target: str, project: Project) -> None:
    project.replay(FILES["array_data"], target)
    rows = {row["id"]: plain(row["fruits"]) for row in table(project, target, "test_array_data")}
    assert rows == {record["id"]: record["fruits"] for record in records("array_data")["test_array_data"]}


def test_a_schema_that_changes_adds_columns_and_leaves_them_null_before(target: str, project: Project) -> None:
    project.replay(FILES["schema_updates"], target)
    rows = sorted(table(project, target, "test_schema_updates"), key=lambda row: int(row["id"]))
    for row, record in zip(rows, records("schema_updates")["test_schema_updates"], strict=True):
        assert {name: plain(row[name]) for name in ("id", "a1", "a2", "a3", "a4", "a5", "a6")} == {
            name: record.get(name) for name in ("id", "a1", "a2", "a3", "a4", "a5", "a6")
        }


def test_optional_attributes_and_missing_fields_are_null(target: str, project: Project) -> None:
    project.replay(FILES["optional_attributes"], target)
    rows = {row["id"]: row["optional"] for row in table(project, target, "test_optional_attributes")}
    assert rows == {1: "This is optional", 2: None, 3: "Also optional", 4: None}


def test_letter_case_and_special_characters_in_names_are_kept_apart(target: str, project: Project) -> None:
    project.replay(FILES["camelcase"], target)
    assert {row["clientName"] for row in table(project, target, "TestCamelcase")} == {
        "Gitter Windows Desktop App",
        "Gitter iOS App",
    }
    project.replay(FILES["special_chars_in_attributes"], target, name="special")
    (row,) = table(project, target, "test_SpecialChars_in_attributes")
    assert plain(row["d"]) == {"env": "prod", "agent:type": "desktop", "agent:os:version": "10.13.1"}


def test_the_last_state_is_committed_as_it_came(target: str, project: Project) -> None:
    report = project.replay(FILES["multiple_state_messages"], target)
    assert report["state_after"] == '{"test_multiple_state_messages_a": 5, "test_multiple_state_messages_b": 6}'


def test_without_keys_a_second_load_appends(target: str, project: Project) -> None:
    project.replay(FILES["no_primary_keys"], target)
    project.replay(FILES["no_primary_keys_append"], target)
    rows = sorted((row["id"], row["metric"]) for row in table(project, target, "test_no_pk"))
    assert rows == [(1, 11), (1, 101), (2, 22), (2, 202), (3, 33), (3, 303), (4, 404), (5, 505)]


def test_with_keys_a_second_load_updates_where_the_target_merges(target: str, project: Project) -> None:
    project.replay(FILES["user_location_data"], target)
    project.replay(FILES["user_location_upsert_data"], target)
    first, second = (records(case)["test_users"] for case in ("user_location_data", "user_location_upsert_data"))
    rows = sorted((row["id"], row["name"]) for row in table(project, target, "test_users"))
    merged = {record["id"]: record["name"] for record in [*first, *second]}
    appended = sorted((record["id"], record["name"]) for record in [*first, *second])
    assert rows == (sorted(merged.items()) if target == "duckdb" else appended)
