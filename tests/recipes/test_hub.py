"""What is known of a connector's settings, and where it is noted."""

from __future__ import annotations

from pathlib import Path

import pytest

from dativo._hub import known_schema, note_schema
from dativo._hub_settings import required_settings, secret_settings, settings, skeleton
from dativo._recipe import ProgramConfig

SCHEMA = {
    "title": "Words",
    "type": "object",
    "required": ["host", "login"],
    "properties": {
        "host": {"type": ["string", "null"], "description": "Words", "examples": ["Words"]},
        "port": {"type": "integer", "default": 5432},
        "login": {
            "oneOf": [
                {
                    "title": "Token",
                    "required": ["kind", "token"],
                    "properties": {"kind": {"const": "t"}, "token": {"type": "string", "airbyte_secret": True}},
                },
                {"title": "User", "required": ["name"], "properties": {"name": {"type": "string"}, "word": {"writeOnly": True}}},
            ]
        },
        "tunnel": {"required": ["key"], "properties": {"key": {"type": "string", "secret": True}}},
    },
}


def test_settings_are_listed_with_every_variant() -> None:
    found = [(each.path, each.variant, each.required) for each in settings(SCHEMA)]

    assert found == [
        ("host", None, True),
        ("login.kind", "Token", True),
        ("login.token", "Token", True),
        ("login.name", "User", True),
        ("login.word", "User", False),
        ("port", None, False),
        ("tunnel.key", None, False),
    ]


def test_what_is_required_is_that_of_the_first_variant() -> None:
    assert [each.path for each in required_settings(SCHEMA)] == ["host", "login.kind", "login.token"]


def test_secrets_are_marked_in_three_ways() -> None:
    assert secret_settings(SCHEMA) == ("login.token", "login.word", "tunnel.key")


def test_a_skeleton_has_the_same_settings_and_no_words() -> None:
    bare = skeleton(SCHEMA)

    assert "Words" not in str(bare)
    assert [(each.path, each.types, each.required, each.secret, each.default, each.variant) for each in settings(bare)] == [
        (each.path, each.types, each.required, each.secret, each.default, each.variant) for each in settings(SCHEMA)
    ]


@pytest.mark.parametrize("schema", [{}, {"properties": None}, {"properties": {"a": True, "b": None}}, {"type": "object"}])
def test_schemas_that_say_little_are_taken(schema: dict[str, object]) -> None:
    assert list(settings(skeleton(schema))) == list(settings(schema))


def test_a_schema_within_itself_ends() -> None:
    endless: dict[str, object] = {"type": "object"}
    endless["properties"] = {"more": endless}

    assert [each.path.count("more") for each in settings(endless)] == [7]
    assert skeleton(endless)


@pytest.mark.parametrize(
    "engine",
    [ProgramConfig(package="source-x==1.2"), ProgramConfig(image="example/source-x:1.2"), ProgramConfig(image="x@sha256:1")],
)
def test_what_was_said_is_known_from_then_on(tmp_path: Path, engine: ProgramConfig) -> None:
    assert known_schema(engine, tmp_path) is None

    note_schema(engine, SCHEMA, tmp_path)

    assert known_schema(engine, tmp_path) == skeleton(SCHEMA)


@pytest.mark.parametrize(
    "engine", [ProgramConfig(package="tap-x"), ProgramConfig(executable="./tap-x"), ProgramConfig(image="example/tap-x")]
)
def test_what_may_be_another_thing_tomorrow_is_not_noted(tmp_path: Path, engine: ProgramConfig) -> None:
    note_schema(engine, SCHEMA, tmp_path)

    assert list(tmp_path.rglob("*.json")) == []


def test_a_broken_note_is_none(tmp_path: Path) -> None:
    engine = ProgramConfig(package="tap-x==1")
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "tap-x-1.json").write_text('{"type": ')

    assert known_schema(engine, tmp_path) is None
