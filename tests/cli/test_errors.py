"""How a command fails."""

from __future__ import annotations

import json

import pytest
from dativo_protocols import ConnectorError

from dativo.cli._failure import Failure, report


def test_an_unknown_option_names_the_help(project):
    ran = project.dativo("run", "--frobnicate")

    assert ran.code == 2
    assert ran.out == ""
    assert ran.err == "error: no such option `--frobnicate`\nhint: `dativo run --help` shows the usage\n"


def test_a_number_that_is_none(project):
    ran = project.dativo("runs", "--limit", "many")

    assert (ran.code, ran.err.splitlines()[0]) == (2, "error: invalid value for `--limit`: `many` is not a valid whole number")


def test_an_unknown_command_names_its_like(project):
    ran = project.dativo("rum")

    assert ran.code == 2
    assert ran.err == "error: no such command `rum`, did you mean `run`?\nhint: `dativo --help` shows the usage\n"


def test_an_unknown_job_names_its_like(project):
    project.write("jobs/orders.yaml", "")

    ran = project.dativo("run", "order")

    assert (ran.code, ran.err) == (2, "error: there is no job `order`\nhint: did you mean `orders`?\n")


def test_errors_are_json_with_json(project):
    ran = project.dativo("run", "order", "--json")

    assert ran.code == 2
    assert json.loads(ran.err) == {
        "error": "there is no job `order`",
        "kind": "ConfigError",
        "hint": "there is no job in `jobs/`",
        "facts": {"job": "order"},
        "exit_code": 2,
    }


def test_usage_errors_are_json_with_json(project):
    ran = project.dativo("runs", "--json", "--limit", "many")

    assert ran.code == 2
    assert json.loads(ran.err)["kind"] == "UsageError"


def test_verbose_adds_facts_and_traceback(project):
    ran = project.dativo("--verbose", "run", "order")

    assert "Traceback" in ran.err
    assert ran.err.endswith("error: there is no job `order`\n  job: order\nhint: there is no job in `jobs/`\n")


def test_a_temporary_error_has_its_own_exit_code():
    assert Failure.of(ConnectorError("away", retryable=True)).exit_code == 75


def test_a_bug_says_so_with_its_traceback(capsys):
    try:
        raise ZeroDivisionError("by 0")
    except ZeroDivisionError as error:
        report(Failure.of(error), error, as_json=False, verbose=False)

    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-2] == "error: internal error: ZeroDivisionError: by 0"
    assert lines[-1].startswith("hint: this is a bug in Dativo: please report it")


def test_messages_cannot_steer_the_terminal(capsys):
    error = ConnectorError("tap said \x1b[2J\x07")
    report(Failure.of(error), error, as_json=False, verbose=False)

    assert capsys.readouterr().err == "error: tap said \\x1b[2J\\x07\n"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), KeyboardInterrupt("run x was interrupted")])
def test_an_interruption_is_130(error):
    assert Failure.of(error).exit_code == 130
