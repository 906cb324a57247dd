"""A whole job into PostgreSQL, by the command line; read back by others."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from tests.project import DATIVO, Project
from tests.servers.postgres import PASSWORD, PostgresServer
from tests.taps.servers import program

SCHEMA = {
    "type": "SCHEMA",
    "stream": "orders",
    "key_properties": ["id"],
    "bookmark_properties": ["updated_at"],
    "schema": {
        "properties": {
            "id": {"type": "integer"},
            "amount": {"type": "number", "multipleOf": 0.01},
            "updated_at": {"type": "string", "format": "date-time"},
            "lines": {"type": "array", "items": {"type": "object", "properties": {"sku": {"type": "string"}}}},
        }
    },
}


def record(id_: object, amount: str, day: int) -> str:
    row = f'{{"id":{json.dumps(id_)},"amount":{amount},"updated_at":"2026-01-{day:02}T01:00:00+01:00","lines":[{{"sku":"é"}}]}}'
    return f'{{"type":"RECORD","stream":"orders","record":{row}}}'


def state(day: int) -> str:
    return json.dumps({"type": "STATE", "value": {"day": day}})


class Job:
    """A job whose tap says given lines, into a schema of its own."""

    def __init__(self, project: Project, server: PostgresServer) -> None:
        self.project = project
        self.server = server
        self.schema = f"job_{secrets.token_hex(6)}"

    def write(self, *lines: str, **target: Any) -> None:
        tap = self.project.folder / "tap"
        (self.project.folder / "messages").write_text("\n".join([json.dumps(SCHEMA), *lines, ""]))
        tap.write_text(f"#!/bin/sh\nexec cat {self.project.folder / 'messages'}\n")
        tap.chmod(0o755)
        config = {"url": "${SHOP_DATABASE}", "schema": self.schema}
        job = {
            "name": "shop",
            "source": {"connector": f"singer:{tap}", "discover": False},
            "target": {"connector": "postgres", "config": config, **target},
        }
        (self.project.folder / "job.yaml").write_text(json.dumps(job))

    def run(
        self, url: str | None = None, fault: str = "", command: Sequence[str] = ("run",), options: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"SHOP_DATABASE": url or self.server.url(), "DATIVO_FAULT_POINT": fault}
        whole = [str(DATIVO), *command, "job.yaml", "--json", *options]
        return subprocess.run(whole, cwd=self.project.folder, env=environment, capture_output=True, text=True)


@pytest.fixture
def job(project: Project, postgres: PostgresServer) -> Job:
    return Job(project, postgres)


def test_a_job_run_twice(job: Job) -> None:
    job.write(record(1, "1.10", 1), record(2, "2.20", 1), record("x", "0.1", 1), state(1))
    first = job.run()
    assert first.returncode == 0, first.stderr
    job.write(record(2, "3.30", 2), record(2, "9.99", 1), record(3, "4.40", 2), state(2))
    second = job.run()
    assert second.returncode == 0, second.stderr
    (stream,) = json.loads(second.stdout)["streams"]
    assert stream["written"] == 3
    psql = [
        program("psql", "postgresql"),
        job.server.url(),
        "-XqAt",
        "-c",
        f'SELECT id, amount FROM "{job.schema}".orders ORDER BY 1',
    ]
    found = subprocess.run(psql, capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["1|1.10", "2|3.30", "3|4.40"]
    query = f'SELECT id, updated_at, lines::text FROM "{job.schema}".orders ORDER BY id'
    rows = pl.read_database_uri(query, job.server.url(), engine="adbc").rows()
    assert rows[1] == (2, datetime(2026, 1, 2, tzinfo=UTC), '[{"sku":"é"}]')
    rejected = job.server.sql(f'SELECT line, "column", record FROM "{job.schema}".orders__quarantine')
    assert [(line, column, json.loads(text)["id"]) for line, column, text in rejected] == [(4, "id", "x")]
    ((kept,),) = job.server.sql(f'SELECT state FROM "{job.schema}"._dativo_state')
    assert json.loads(kept)["day"] == 2


def test_a_job_that_is_killed_and_run_again(job: Job) -> None:
    job.write(*(record(number, "1.00", 1) for number in range(100)), state(1), write="append")
    assert job.run(fault="postgres.before_commit").returncode == -signal.SIGKILL
    assert job.run().returncode == 0
    assert job.server.sql(f'SELECT count(*), count(DISTINCT id) FROM "{job.schema}".orders') == [(100, 100)]


def test_no_output_says_the_password(job: Job) -> None:
    job.write(record(1, "1.10", 1))
    wrong = job.run(url=job.server.url(password="sesame%20street"))
    assert wrong.returncode == 2
    for text in (wrong.stdout + wrong.stderr, job.run().stderr):
        assert "sesame" not in text
        assert PASSWORD not in text
        assert "correct%20horse" not in text
    told = subprocess.run(
        ["grep", "-rlE", "sesame|correct.{1,3}horse", ".dativo"], cwd=job.project.folder, capture_output=True, text=True
    )
    assert told.stdout == ""


def note(id_: int, text: str) -> str:
    row = {"id": id_, "amount": 1, "updated_at": "2026-01-01T00:00:00Z", "lines": [], "note": text}
    return json.dumps({"type": "RECORD", "stream": "orders", "record": row})


@pytest.fixture
def job_with_notes(job: Job, monkeypatch: pytest.MonkeyPatch) -> Job:
    properties = {**SCHEMA["schema"]["properties"], "note": {"type": ["null", "string"]}}  # type: ignore[index]
    monkeypatch.setitem(SCHEMA, "schema", {"properties": properties})
    job.write(note(1, "fine"), note(2, "a\0b"), note(3, "\\u0000"), state(1), write="append")
    return job


def test_a_text_with_a_character_0_goes_to_quarantine_and_is_replayed_as_json(job_with_notes: Job) -> None:
    job = job_with_notes
    ended = job.run()
    assert ended.returncode == 0, ended.stderr
    (stream,) = json.loads(ended.stdout)["streams"]
    assert (stream["written"], stream["quarantined"]) == (2, 1)
    assert job.server.sql(f'SELECT id, note FROM "{job.schema}".orders ORDER BY id') == [(1, "fine"), (3, "\\u0000")]
    ((column, text),) = job.server.sql(f'SELECT "column", record FROM "{job.schema}".orders__quarantine')
    assert (column, json.loads(text)["note"]) == ("note", "a\0b")

    described = {"stream": "orders", "tap_stream_id": "orders", "schema": SCHEMA["schema"], "metadata": []}
    (job.project.folder / "catalog.json").write_text(json.dumps({"streams": [described]}))
    settings = ["source.catalog=catalog.json", "source.streams={orders: {types: {note: json}}}"]
    replayed = job.run(command=("quarantine", "replay"), options=[f"--set={each}" for each in settings])
    assert replayed.returncode == 0, replayed.stderr
    notes = job.server.sql(f'SELECT id, note::text FROM "{job.schema}".orders ORDER BY id')
    assert notes == [(1, '"fine"'), (2, r'"a\u0000b"'), (3, r'"\\u0000"')]
    assert job.server.sql(f'SELECT count(*) FROM "{job.schema}".orders__quarantine') == [(0,)]


@pytest.mark.parametrize(("bad", "code", "notes"), [("null", 0, ["fine", None, "\\u0000"]), ("fail", 30, [])])
def test_a_text_with_a_character_0_is_handled_as_the_job_says(
    job_with_notes: Job, bad: str, code: int, notes: list[str | None]
) -> None:
    job = job_with_notes
    path = job.project.folder / "job.yaml"
    path.write_text(json.dumps({**json.loads(path.read_text()), "on_bad_value": bad}))
    ended = job.run()
    assert ended.returncode == code, ended.stderr
    ((there,),) = job.server.sql(f"SELECT to_regclass('{job.schema}.orders')::text")
    found = job.server.sql(f'SELECT note FROM "{job.schema}".orders ORDER BY id') if there else []
    assert found == [(note,) for note in notes]
