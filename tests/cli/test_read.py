"""`dativo read`, in a pipe and into files."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

TAP = "singer:./tap.py"

pytestmark = pytest.mark.usefixtures("tap")


def test_one_stream_is_its_records(project):
    ran = project.dativo("read", TAP, "--stream", "pets")

    assert (ran.code, ran.err) == (0, "")
    assert [json.loads(line) for line in ran.out.splitlines()] == [
        {"id": 0, "name": "n0", "born": "2020-01-01", "tags": ["a", "b"]},
        {"id": 1, "name": None, "born": "2020-01-02", "tags": None},
    ]


def test_lines_of_more_streams_say_which(project):
    ran = project.dativo("read", TAP, "--limit", "1")

    lines = [json.loads(line) for line in ran.out.splitlines()]
    assert [(line["stream"], line["record"]["id"]) for line in lines] == [("people", 0), ("pets", 0)]


def test_fields(project):
    ran = project.dativo("read", TAP, "--stream", "pets", "--select", "id, name", "--limit", "1")

    assert json.loads(ran.out) == {"id": 0, "name": "n0"}


def test_a_document(project):
    ran = project.dativo("read", TAP, "--json")

    streams = json.loads(ran.out)["streams"]
    assert [(stream["stream"], len(stream["rows"])) for stream in streams] == [("people", 3), ("pets", 2)]
    assert streams[0]["columns"][:2] == [{"name": "id", "type": "int64"}, {"name": "name", "type": "string"}]


def test_a_state_says_where_to_start(project):
    project.write("state.json", '{"bookmarks": {"people": 2}}')

    ran = project.dativo("read", TAP, "--stream", "people", "--state", "state.json")

    assert [json.loads(line)["id"] for line in ran.out.splitlines()] == [2]


def test_the_configuration_from_stdin_and_a_setting_over_it(project):
    given = b'{"streams": {"cats": 1}, "more": {"name": "x"}}'

    ran = project.dativo("read", TAP, "--config", "-", "--set", "more.name=Tom", given=given)

    assert json.loads(ran.out)["name"] == "Tom"


def test_what_the_schema_does_not_name_is_kept_beside(project):
    ran = project.dativo("read", TAP, "--stream", "pets", "--limit", "1", "--set", "more.colour=red")

    assert json.loads(ran.out)["_dativo_extra"] == {"colour": "red"}


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "csv", "jsonl"])
def test_files(project, suffix):
    name = f"people.{suffix}"

    ran = project.dativo("read", TAP, "--stream", "people", "--extra", "drop", "--output", name)

    assert (ran.code, ran.out, ran.err) == (0, "", f"3 rows written to `{name}`\n")
    assert rows(project.folder / name) == [(0, "n0", '["a", "b"]'), (1, None, None), (2, "n2", None)]
    assert sorted(path.name for path in project.folder.glob("*people*")) == [name]


def rows(path: Path) -> list[tuple[object, ...]]:
    if path.suffix == ".jsonl":
        found = [json.loads(line) for line in path.read_text().splitlines()]
        return [(row["id"], row["name"], row["tags"] and json.dumps(row["tags"])) for row in found]
    if path.suffix == ".csv":
        from pyarrow import csv

        table = csv.read_csv(path, convert_options=csv.ConvertOptions(strings_can_be_null=True, quoted_strings_can_be_null=False))
    else:
        table = pq.read_table(path) if path.suffix == ".parquet" else pa.ipc.open_file(path).read_all()
    return [(row["id"], row["name"], row["tags"]) for row in table.to_pylist()]


def test_a_stream_without_rows_makes_a_file_with_its_columns(project):
    project.dativo("read", TAP, "--set", "streams={none: 0}", "--extra", "drop", "--output", "none.parquet")

    assert pq.read_table(project.folder / "none.parquet").column_names == ["id", "name", "born", "tags"]


def test_a_failed_read_leaves_the_old_file(project):
    project.write("people.csv", "mine\n")

    ran = project.dativo("read", TAP, "--stream", "people", "--set", "fails=true", "--output", "people.csv")

    assert ran.code == 10
    assert (project.folder / "people.csv").read_text() == "mine\n"
    assert sorted(path.name for path in project.folder.glob("*people*")) == ["people.csv"]


def test_a_file_takes_the_permissions_of_the_one_it_replaces(project):
    project.write("people.csv", "mine\n").chmod(0o640)

    project.dativo("read", TAP, "--stream", "people", "--output", "people.csv")

    assert (project.folder / "people.csv").stat().st_mode & 0o777 == 0o640


def test_a_file_of_columns_takes_one_stream(project):
    ran = project.dativo("read", TAP, "--output", "all.parquet")

    assert ran.code == 2
    assert ran.err == (
        "error: `all.parquet` can hold one stream only, and there are 2: `people`, `pets`\n"
        "hint: choose one with `--stream`, or write a `.jsonl` file\n"
    )


def test_a_file_whose_format_nobody_knows(project):
    ran = project.dativo("read", TAP, "--output", "people.xls")

    assert ran.code == 2
    assert ran.err == (
        "error: cannot tell the format of `people.xls` by its name\n"
        "hint: end it with one of `.parquet`, `.jsonl`, `.ndjson`, `.csv`, `.arrow`\n"
    )


def test_a_folder_that_is_not_there(project):
    ran = project.dativo("read", TAP, "--stream", "pets", "--output", "nowhere/pets.csv")

    assert (ran.code, ran.err) == (20, "error: cannot write `nowhere/pets.csv`: No such file or directory\n")


def test_a_value_that_does_not_fit_fails(project):
    ran = project.dativo("read", TAP, "--stream", "pets", "--set", "bad_row=1")

    assert ran.code == 30
    assert ran.err == (
        "error: line 3, stream `pets`, column `born`: expected date32: the text is not a date `YYYY-MM-DD`\n"
        "hint: `--on-bad-value null` nulls such values, `--rejects FILE` sets their rows aside\n"
    )


def test_a_value_that_does_not_fit_is_nulled(project):
    ran = project.dativo("read", TAP, "--stream", "pets", "--set", "bad_row=1", "--on-bad-value", "null")

    second = json.loads(ran.out.splitlines()[1])
    assert (second["born"], second["_dativo_changes"][0]["column"]) == (None, "born")


def test_rows_with_such_values_are_set_aside(project):
    ran = project.dativo("read", TAP, "--stream", "pets", "--set", "bad_row=1", "--rejects", "bad.jsonl")

    rejected = json.loads((project.folder / "bad.jsonl").read_text())
    assert (ran.code, len(ran.out.splitlines()), ran.err) == (0, 1, "warning: 1 row rejected, see `bad.jsonl`\n")
    assert (rejected["stream"], rejected["line"], json.loads(rejected["record"])["born"]) == ("pets", 3, "someday")


def test_an_unknown_stream_names_those_there_are(project):
    ran = project.dativo("read", TAP, "--stream", "dogs")

    assert (ran.code, ran.err) == (2, "error: the connector has no stream `dogs`\nhint: there are: `people`, `pets`\n")


def test_a_connector_without_discovery_is_read_by_name(project):
    unnamed = project.dativo("read", TAP, "--set", "mute=true")
    named = project.dativo("read", TAP, "--set", "mute=true", "--stream", "pets")

    assert (unnamed.code, unnamed.err.splitlines()[-1]) == (10, "hint: name the streams to read with `--stream`")
    assert [json.loads(line)["id"] for line in named.out.splitlines()] == [0, 1]


def test_a_reader_that_has_had_enough_ends_it_quietly(project):
    with project.start("read", TAP, "--set", "streams={people: 3000000}", "--set", "pid_file=pid") as running:
        first = running.stdout.readline()
        running.stdout.close()
        error = running.stderr.read()

    assert (running.returncode, error) == (0, b"")
    assert json.loads(first)["id"] == 0
    assert not Path("/proc", (project.folder / "pid").read_text()).exists()


def test_a_reader_that_leaves_ends_a_connector_that_says_nothing(project):
    with project.start("read", TAP, "--set", "pause=600", "--set", "pid_file=pid") as running:
        while running.poll() is None and not (project.folder / "pid").exists():
            time.sleep(0.05)
        running.stdout.close()
        error = running.stderr.read()

    assert (running.returncode, error) == (0, b"")


def test_a_full_disk_is_no_bug(project):
    with open("/dev/full", "wb") as full:
        running = project.start("read", TAP, stdout=full)
        _, error = running.communicate(timeout=60)

    assert (running.returncode, error) == (20, b"error: cannot write to standard output: No space left on device\n")


def test_a_closed_stdout_is_written_to_by_nobody(project):
    line = f"exec {sys.executable} -m dativo read {TAP} >&-"

    ran = subprocess.run(["sh", "-c", line], cwd=project.folder, env=project.environment, capture_output=True, check=False)

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")


def test_a_locale_without_utf_8_still_gets_utf_8_rows(project):
    config = project.write("config.json", '{"streams": {"pets": 1}, "more": {"name": "Zoë"}}')

    ran = project.dativo("read", TAP, "--config", config.name, LC_ALL="C", PYTHONIOENCODING="ascii")

    assert json.loads(ran.raw_out)["name"] == "Zoë"
