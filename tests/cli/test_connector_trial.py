"""`dativo connector test`, with small real taps."""

from __future__ import annotations

import json
import re

import pytest


@pytest.fixture
def steps(project):
    """Each step's result and what was found, and the exit code."""

    def ask(*arguments: str) -> tuple[dict[str, tuple[str, str]], int]:
        ran = project.dativo("connector", "test", *arguments, "--json")
        report = json.loads(ran.out)
        assert report["succeeded"] == (ran.code == 0)
        return {step["step"]: (step["result"], step["message"]) for step in report["steps"]}, ran.code

    return ask


def test_every_step(project, wheel):
    ran = project.dativo("connector", "test", f"singer:{wheel}", "--set", "token=right", "--limit", "2")

    rows = [re.split(r"  +", line) for line in ran.out.splitlines()]
    assert ran.code == 0
    assert [row[:2] for row in rows] == [
        ["step", "result"],
        *([name, "ok"] for name in ("install", "spec", "check", "discover", "read")),
    ]
    assert rows[2][3:] == ["3 settings, required: token"]
    assert rows[4][3:] == ["2 streams: people, pets"]
    assert rows[5][3:] == ["`people`: 2 rows of 4 columns"]
    assert all(row[2] == "<seconds>" for row in rows[1:])


def test_without_a_configuration_it_is_only_asked_for_its_settings(steps, tap):
    found, code = steps(f"singer:{tap}")

    assert code == 0
    assert found["spec"][0] == "ok"
    assert {name: found[name] for name in ("check", "discover", "read")} == dict.fromkeys(
        ("check", "discover", "read"), ("skipped", "no configuration is given: it needs `token`")
    )


def test_the_first_failure_decides(project, tap):
    ran = project.dativo("connector", "test", f"singer:{tap}", "--set", "token=wrong")

    assert ran.code == 10
    assert "check     failed   <seconds>  `tap.py` failed: ValueError: the token is *** (exit code 1)\n" in ran.out
    assert "read      skipped      -  it cannot be asked for its streams: name one with `--stream`\n" in ran.out
    assert ran.err.splitlines()[0] == "error: `tap.py` failed: ValueError: the token is *** (exit code 1)"


def test_what_is_not_there_fails_at_once(steps):
    found, code = steps("singer:tap-nowhere", "--set", "token=right")

    assert code == 2
    assert found["spec"] == ("failed", "no program `tap-nowhere` on PATH")


def test_what_cannot_be_installed_is_not_run(steps, project):
    found, code = steps(f"singer:tap-x @ file://{project.folder}/tap_x-1-py3-none-any.whl", "--set", "token=right")

    assert code == 2
    assert found["install"][0] == "failed"
    assert {found[name] for name in ("spec", "check", "discover", "read")} == {("skipped", "it is not installed")}


def test_streams_without_rows_are_passed_over(steps, tap):
    found, _ = steps(f"singer:{tap}", "--set", "token=right", "--set", "streams={a: 0, b: 0, c: 3}")
    none, _ = steps(f"singer:{tap}", "--set", "token=right", "--set", "streams={a: 0, b: 0}")

    assert found["read"] == ("ok", "`c`: 3 rows of 4 columns")
    assert none["read"] == ("ok", "no rows in `a`, `b`")


def test_a_stream_by_name(steps, tap):
    found, _ = steps(f"singer:{tap}", "--set", "token=right", "--stream", "pets")
    wrong, code = steps(f"singer:{tap}", "--set", "token=right", "--stream", "cars")

    assert found["read"] == ("ok", "`pets`: 2 rows of 4 columns")
    assert (wrong["read"], code) == (("failed", "the connector has no stream `cars`"), 2)


def test_a_tap_without_discovery(steps, tap):
    found, _ = steps(f"singer:{tap}", "--set", "token=right", "--set", "mute=true")
    named, code = steps(f"singer:{tap}", "--set", "token=right", "--set", "mute=true", "--stream", "pets")

    assert found["discover"] == ("skipped", "it has no discovery")
    assert found["read"][0] == "skipped"
    assert (named["read"], code) == (("ok", "`pets`: 2 rows of 4 columns"), 0)


def test_a_job_brings_its_configuration(project, steps, tap):
    job = {"name": "tiny", "source": {"connector": f"singer:{tap}", "config": {"token": "right"}}}
    project.write("jobs/tiny.yaml", json.dumps({**job, "target": {"connector": "jsonl", "config": {"path": "out"}}}))

    found, code = steps("jobs/tiny.yaml")

    assert (found["read"][0], code) == ("ok", 0)
