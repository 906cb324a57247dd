"""Readers as Singer taps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .test_program import COUNTING, HERE, run, said, written


def test_about_describes_the_settings() -> None:
    about = json.loads(run("--about", "--format=json").stdout)
    assert (about["name"], about["version"]) == ("counting", "1.2.3")
    assert {"catalog", "discover", "state"} < set(about["capabilities"])
    assert about["settings"]["type"] == "object"


def catalog_of(tmp_path: Path, *selected: str, without: tuple[str, ...] = ()) -> str:
    """What is discovered, with these streams selected, and without these fields."""
    document = json.loads(run("--config", written(tmp_path / "config.json", {}), "--discover").stdout)
    for entry in document["streams"]:
        for node in entry["metadata"]:
            breadcrumb = node["breadcrumb"]
            node["metadata"]["selected"] = entry["tap_stream_id"] in selected if not breadcrumb else breadcrumb[1] not in without
    return written(tmp_path / "catalog.json", document)


def test_discovered_streams_say_their_keys(tmp_path: Path) -> None:
    numbers, squares = json.loads(run("--config", written(tmp_path / "config.json", {}), "--discover").stdout)["streams"]
    assert (numbers["tap_stream_id"], squares["tap_stream_id"]) == ("numbers", "math-squares")
    assert (numbers["key_properties"], numbers["replication_method"], numbers["replication_key"]) == (["n"], "INCREMENTAL", "n")
    assert numbers["metadata"][1]["metadata"]["inclusion"] == "automatic"


def test_selected_streams_and_fields_are_read(tmp_path: Path) -> None:
    catalog = catalog_of(tmp_path, "math-squares", without=("text",))
    ended = run("--config", written(tmp_path / "config.json", {"rows": 3}), "--catalog", catalog)
    (schema,) = said(ended, "SCHEMA")
    assert (schema["stream"], list(schema["schema"]["properties"]), schema["key_properties"]) == ("math-squares", ["n"], ["n"])
    assert [message["record"] for message in said(ended, "RECORD")] == [{"n": 0}, {"n": 1}, {"n": 4}]
    assert said(ended, "STATE")[-1]["value"] == {"bookmarks": {"math-squares": {"n": 3}}}


def test_older_flags_select_too(tmp_path: Path) -> None:
    entry: dict[str, Any] = {"tap_stream_id": "numbers", "schema": {"selected": True, "properties": {"n": {}}}}
    properties = written(tmp_path / "properties.json", {"streams": [entry]})
    ended = run("--config", written(tmp_path / "config.json", {}), "--properties", properties)
    assert [message["stream"] for message in said(ended, "SCHEMA")] == ["numbers"]


def test_a_tap_goes_on_from_its_state(tmp_path: Path) -> None:
    state = written(tmp_path / "state.json", ' {"bookmarks" : {"numbers": {"n": 2, "exact": 1.10}, "gone": {}}, "other": 7}')
    ended = run("--config", written(tmp_path / "config.json", {"rows": 3}), "--state", state)
    rows = [message["record"]["n"] for message in said(ended, "RECORD") if message["stream"] == "numbers"]
    assert rows == [2]


def test_states_of_streams_without_new_rows_stay_as_they_were(tmp_path: Path) -> None:
    state = written(tmp_path / "state.json", '{"bookmarks":{"numbers":{"n": 3, "exact": 1.10}}}')
    ended = run("--config", written(tmp_path / "config.json", {"rows": 3}), "--state", state)
    assert b'{"bookmarks":{"numbers":{"n": 3, "exact": 1.10},"math-squares":' in ended.stdout


def test_a_state_waits_for_the_rows_of_all_streams(tmp_path: Path) -> None:
    target = COUNTING.replace("CountingReader", "Alternating")
    ended = run("--config", written(tmp_path / "config.json", {"rows": 4}), "--max-rows", "2", target=target)
    kinds = [message["stream"] if message["type"] == "RECORD" else message["type"] for message in said(ended)]
    squares, numbers = ["math-squares"] * 2, ["numbers"] * 2
    assert kinds == ["SCHEMA", "SCHEMA", *squares, "STATE", *numbers, *squares, *numbers, "STATE"]
    assert said(ended, "STATE")[-1]["value"]["bookmarks"] == {"math-squares": {"n": 4}, "numbers": {"n": 4}}


def test_errors_of_a_tap_are_on_stderr(tmp_path: Path) -> None:
    ended = run("--config", written(tmp_path / "config.json", {"rows": "many"}))
    assert (ended.returncode, ended.stdout) == (1, b"")
    assert b"CRITICAL `rows` is no number\nhint: write a number" in ended.stderr


def test_a_state_that_is_none_is_refused(tmp_path: Path) -> None:
    for text in ("[]", "{", '{"bookmarks": 7}'):
        ended = run("--config", written(tmp_path / "config.json", {}), "--state", written(tmp_path / "state.json", text))
        assert b"is no state of a tap" in ended.stderr


LOOSE = f"""
import sys

sys.path.insert(0, {str(HERE)!r})
import counting_reader

counting_reader.SCHEMA["properties"]["text"] = {{"description": "anything"}}


class Loose(counting_reader.CountingReader):
    pass
"""


def test_a_property_of_any_type_says_all_of_them(tmp_path: Path) -> None:
    written(tmp_path / "loose.py", LOOSE)
    schemas = said(run("--config", written(tmp_path / "config.json", {}), target=f"{tmp_path / 'loose.py'}:Loose"), "SCHEMA")
    every = ["null", "object", "array", "string", "number", "boolean"]
    assert [schema["schema"]["properties"]["text"] for schema in schemas] == [{"description": "anything", "type": every}] * 2
