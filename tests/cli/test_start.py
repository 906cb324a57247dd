"""How the program starts."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("pyarrow", "pydantic", "rich", "duckdb", "yaml", "sqlite3", "dativo_protocols", "dativo_engines")


@pytest.mark.parametrize("argument", ["--version", "--help"])
def test_heavy_imports_are_left_until_needed(argument):
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "dativo", argument], capture_output=True, text=True, check=True, timeout=60
    )
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in ran.stderr.splitlines()}

    assert "click" in imported
    assert imported.isdisjoint(HEAVY)


def imported_by(project, *arguments, program="dativo"):
    """Modules that the program has imported by its end."""
    command = [sys.executable, "-X", "importtime", "-m", program, *arguments]
    ran = subprocess.run(
        command, cwd=project.folder, env=project.environment, capture_output=True, text=True, check=True, timeout=60
    )
    return {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines()}


def test_a_run_loads_nothing_that_it_does_not_use(project, tap):
    source = "{connector: 'singer:./tap.py', config: {streams: {people: 0}}}"
    target = "{connector: duckdb, config: {path: small.duckdb}}"
    project.write("jobs/small.yaml", f"name: small\nsource: {source}\ntarget: {target}\n")

    imported = imported_by(project, "run", "small")

    assert {"pyarrow", "duckdb"} <= imported
    assert imported.isdisjoint({"pyarrow.compute", "pyarrow.dataset", "tenacity", "docker", "jsonschema"})


def test_a_built_in_reader_and_parquet_load_less_still(project):
    (project.folder / "many.csv").write_text("id,name\n" + "".join(f"{n},name {n}\n" for n in range(5_000)))
    source, target = "{connector: csv, config: {path: many.csv}}", "{connector: parquet, config: {path: out}}"
    project.write("jobs/small.yaml", f"name: small\nsource: {source}\ntarget: {target}\n")

    imported = imported_by(project, "run", "small")

    assert {"dativo_readers._readers", "pyarrow.parquet"} <= imported
    assert imported.isdisjoint({"pyarrow.compute", "dativo_sdk.manifest", "tomllib", "email.parser", "subprocess", "asyncio"})


def test_a_built_in_reader_as_a_program_loads_next_to_nothing(project):
    (project.folder / "few.csv").write_text("id\n1\n")
    project.write("config.json", '{"path": "few.csv"}')

    imported = imported_by(project, "csv", "discover", "--config", "config.json", program="dativo_sdk.program")

    assert "dativo_readers._readers" in imported
    assert imported.isdisjoint({*HEAVY} - {"dativo_protocols"} | {"importlib.metadata", "zipfile", "email"})


def test_version(project):
    ran = project.dativo("--version")

    assert (ran.code, ran.out, ran.err) == (0, "dativo 0.1.0\n", "")


def test_help_lists_the_commands_in_the_order_of_use(project):
    ran = project.dativo("--help")

    listed = ran.out.partition("Commands:\n")[2].partition("\n\n")[0]
    names = [line.split()[0] for line in listed.splitlines()]
    before = ["init", "spec", "check", "discover", "read", "plan", "run", "quarantine"]
    assert names == [*before, "state", "runs", "connector", "plugin", "keys", "doctor", "completion"]


def test_no_arguments_show_the_help(project):
    ran = project.dativo()

    assert ran.code == 2
    assert ran.err.startswith("Usage: dativo")


def test_every_command_has_examples(project):
    from dativo.cli._reference import commands

    without = [path for path, command in commands() if not command.examples]

    assert without == []


def test_project_may_stand_before_and_after_the_command(project):
    project.write("jobs/orders.yaml", "not: a job\n")

    before = project.dativo("--project", "jobs", "state", "show", "orders.yaml")
    after = project.dativo("state", "show", "orders.yaml", "--project", "jobs")

    assert before.err == after.err
    assert "orders.yaml:1" in before.err


def test_a_project_that_is_not_there(project):
    ran = project.dativo("--project", "nowhere", "runs")

    assert ran.code == 2
    assert ran.err == (
        "error: invalid value for `--project`: cannot change to `nowhere`: No such file or directory\n"
        "hint: `dativo --help` shows the usage\n"
    )
