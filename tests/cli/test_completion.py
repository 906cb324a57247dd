"""Shell completion."""

from __future__ import annotations

import subprocess

import pytest


@pytest.fixture
def complete(project):
    """What is offered for the last word of a command line."""

    def ask(line: str) -> list[str]:
        words = line.split(" ")
        asked = project.dativo(_DATIVO_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1))
        assert asked.err == ""
        return asked.out.splitlines()

    return ask


@pytest.mark.parametrize(
    ("shell", "line"), [("bash", "_dativo_completion() {"), ("zsh", "#compdef dativo"), ("fish", "function _dativo_completion;")]
)
def test_the_script_of_a_shell(project, shell, line):
    ran = project.dativo("completion", shell)

    assert ran.code == 0
    assert line in ran.out.splitlines()


def test_bash_takes_the_script(project):
    script = project.dativo("completion", "bash").raw_out

    ran = subprocess.run(["bash", "-n"], input=script, capture_output=True, check=False)

    assert (ran.returncode, ran.stderr) == (0, b"")


def test_commands(complete):
    assert complete("dativo ru") == ["plain,run", "plain,runs"]


def test_jobs(project, complete):
    project.write("jobs/orders.yaml", "")
    project.write("jobs/people.yaml", "")

    assert complete("dativo run o") == ["plain,orders"]
    assert complete("dativo state show ") == ["plain,orders", "plain,people"]


def test_jobs_of_another_project(project, complete):
    project.write("demo/jobs/orders.yaml", "")

    assert complete("dativo --project demo run ") == ["plain,orders"]


def test_recipes(project, complete):
    project.write("connectors/mine.yaml", "")

    assert complete("dativo discover mi") == ["plain,mine"]


def test_files_where_no_name_fits(complete):
    assert complete("dativo run ./jo") == ["file,./jo"]
