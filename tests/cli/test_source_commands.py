"""`dativo spec`, `check` and `discover`, in a pipe."""

from __future__ import annotations

import json

import pytest

TAP = "singer:./tap.py"

pytestmark = pytest.mark.usefixtures("tap")


def test_spec_is_the_json_schema(project):
    ran = project.dativo("spec", TAP)

    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out)["required"] == ["token"]


def test_discover_is_the_connectors_own_catalog(project):
    ran = project.dativo("discover", TAP)

    assert (ran.code, ran.err) == (0, "")
    assert [stream["tap_stream_id"] for stream in json.loads(ran.out)["streams"]] == ["people", "pets"]


def test_discover_into_a_file_lists_the_streams(project):
    ran = project.dativo("discover", TAP, "--output", "catalog.json")

    assert ran.out == (
        "stream  columns  key  cursor  methods\n"
        "people        4  id   -       INCREMENTAL\n"
        "pets          4  id   -       INCREMENTAL\n"
    )
    assert ran.err == "catalog written to `catalog.json`\n"
    assert len(json.loads((project.folder / "catalog.json").read_text())["streams"]) == 2


def test_a_configuration_that_works(project):
    config = project.write("config.yaml", "token: right\nstreams: {people: 1}\n")

    ran = project.dativo("check", TAP, "--config", config.name)

    assert (ran.code, ran.out, ran.err) == (0, "the configuration works: it gave a record\n", "")


def test_a_configuration_that_does_not_work(project):
    ran = project.dativo("check", TAP, "--set", "token=wrong")

    assert (ran.code, ran.out) == (10, "")
    assert ran.err == "error: `tap.py` failed: ValueError: the token is *** (exit code 1)\n"


def test_a_check_as_json(project):
    ran = project.dativo("check", TAP, "--set", "token=wrong", "--json")

    assert ran.code == 10
    assert json.loads(ran.out)["status"] == "FAILED"
    assert json.loads(ran.err)["exit_code"] == 10


def test_a_job_brings_its_configuration(project):
    project.write(
        "jobs/small.yaml",
        "name: small\nsource: {connector: 'singer:./tap.py', config: {streams: {cats: 1}}}\n"
        "target: {connector: jsonl, config: {path: out}}\n",
    )

    ran = project.dativo("discover", "jobs/small.yaml")

    assert [stream["stream"] for stream in json.loads(ran.out)["streams"]] == ["cats"]


def test_a_variable_that_is_not_set(project):
    project.write("config.json", '{\n  "token": "${NOT_SET}"\n}')

    ran = project.dativo("check", TAP, "--config", "config.json")

    assert ran.code == 2
    assert ran.err == (
        "error: config.json:2: `token`: environment variable `NOT_SET` is not set\nhint: set it, or write `${NOT_SET:-default}`\n"
    )


def test_a_configuration_that_is_not_there(project):
    ran = project.dativo("check", TAP, "--config", "nowhere.json")

    assert (ran.code, ran.err) == (2, "error: there is no file `nowhere.json`\n")


def test_a_program_that_is_not_there(project):
    ran = project.dativo("discover", "singer:./nowhere")

    assert ran.code == 2
    assert ran.err.startswith("error: ")
    assert "nowhere" in ran.err


def test_the_first_use_says_that_it_installs(project, wheel):
    first = project.dativo("discover", f"singer:{wheel}")
    second = project.dativo("discover", f"singer:{wheel}")

    assert first.err == (
        "<clock> info    installing tap-tiny @ file://<folder>/tap_tiny-1.2-py3-none-any.whl\n"
        "<clock> info    installed tap-tiny 1.2 in <seconds>\n"
    )
    assert (second.out, second.err) == (first.out, "")


def test_no_such_recipe(project):
    ran = project.dativo("discover", "nowhere")

    assert ran.code == 2
    assert ran.err.startswith("error: there is no connector recipe `nowhere`\nhint: ")
