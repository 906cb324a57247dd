"""`dativo connector show`."""

from __future__ import annotations

import json

import yaml

RECIPE = """\
name: tiny
version: '3'
description: Tiny things
roles: [source]
default_engine: singer
engines:
  singer: {package: tap-tiny==3}
  airbyte: {image: "example/source-tiny:3", example: {config: {size: small}, streams: [things]}}
config: {depth: 1}
secrets: [token]
incremental: {cursor: id}
notes: Two
  lines
"""


def test_a_recipe(project):
    project.write("connectors/tiny.yaml", RECIPE)

    shown = project.dativo("connector", "show", "tiny")

    assert shown.code == 0
    assert shown.out == (
        "recipe    tiny 3\n"
        "about     Tiny things\n"
        "singer    package tap-tiny==3 (default)\n"
        "airbyte   image example/source-tiny:3\n"
        "roles     source\n"
        "secrets   token\n"
        "cursor    id\n"
        'defaults  {"depth": 1}\n'
        "notes     Two lines\n"
        "\n"
        "its settings are not known here: `dativo connector test tiny` asks it\n"
        "\n"
        "jobs/tiny.yaml:\n"
        "\n"
        "name: tiny\n"
        "source:\n"
        "  connector: tiny\n"
        "target:\n"
        "  connector: duckdb\n"
        "  config:\n"
        "    path: out/tiny.duckdb\n"
    )


def test_only_the_job_of_another_engine(project):
    project.write("connectors/tiny.yaml", RECIPE)

    job = yaml.safe_load(project.dativo("connector", "show", "tiny", "--engine", "airbyte", "--job").out)

    assert job["source"] == {"connector": "tiny", "engine": "airbyte", "config": {"size": "small"}, "streams": ["things"]}


def test_the_settings_of_a_shipped_recipe(project):
    shown = project.dativo("connector", "show", "stripe").out

    assert "required setting  type             variant\n" in shown
    assert "client_secret     string (secret)  -\n" in shown
    assert "optional settings: `dativo connector show stripe --json`\n" in shown


def test_as_json(project):
    about = json.loads(project.dativo("connector", "show", "hubspot", "--engine", "airbyte", "--json").out)

    assert about["runs"]["airbyte"]["package"] == "airbyte-source-hubspot==5.7.0"
    assert "credentials.client_secret" in about["required"]
    assert {(each["name"], each["variant"]) for each in about["settings"] if each["secret"]} >= {
        ("credentials.refresh_token", "OAuth"),
        ("credentials.access_token", "Private App"),
    }
    assert yaml.safe_load(about["example"])["source"]["engine"] == "airbyte"


def test_a_job_is_made_of_required_settings(project):
    """Known from the cache, where `dativo connector test` notes them."""
    project.write("connectors/tiny.yaml", RECIPE)
    known = {
        "required": ["size", "token", "since", "depth", "mode"],
        "properties": {
            "size": {"type": "integer"},
            "token": {"type": "string"},
            "since": {"type": "string", "format": "date-time"},
            "depth": {"type": "integer"},
            "mode": {"oneOf": [{"title": "A", "required": ["kind"], "properties": {"kind": {"const": "a"}, "b": {}}}]},
            "more": {"type": "string"},
        },
    }
    project.write("cache/specs/tap-tiny-3.json", json.dumps(known))

    job = yaml.safe_load(project.dativo("connector", "show", "tiny", "--job").out)

    wanted = {"mode": {"kind": "a"}, "since": "2026-01-01T00:00:00Z", "size": 1, "token": "${TINY_TOKEN}"}
    assert job["source"]["config"] == wanted


def test_an_engine_that_it_has_not(project):
    ran = project.dativo("connector", "show", "faker", "--engine", "airbite")

    assert (ran.code, ran.err) == (2, "error: recipe `faker` has no engine `airbite`\nhint: did you mean `airbyte`?\n")
