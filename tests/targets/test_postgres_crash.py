"""Killed at every step of a commit: the program, its session, the server, the network; then run again. The rows are the same."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from dativo_protocols.errors import ContractError, TargetError
from dativo_sdk import ConfiguredStream, WriteCatalog
from dativo_sdk.conformance import JOB, ORDERS, batch

from dativo.targets.postgres import PostgresWriter, _writer
from tests.servers.postgres import PostgresServer
from tests.servers.postgres_load import PARTS, load
from tests.servers.proxy import Proxy

POINTS = ["staged", "merged", "state_written", "before_commit", "committed"]
MODES = ["append", "append_dedup", "overwrite", "merge", "scd2"]
ROOT = Path(__file__).parents[2]


def rows(server: PostgresServer, schema: str) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that the job has written, its state included."""
    found = {table: sorted(server.sql(f'SELECT CAST(t AS text) FROM "{schema}".{table} AS t')) for table in ("orders", "parts")}
    found["rejects"] = server.sql(f'SELECT record FROM "{schema}".orders__quarantine ORDER BY record')
    found["state"] = server.sql(f'SELECT state FROM "{schema}"._dativo_state')
    return found


@lru_cache
def undisturbed(server: PostgresServer, mode: str) -> dict[str, list[tuple[Any, ...]]]:
    schema = f"undisturbed_{mode}"
    load(mode, {"url": server.url(), "schema": schema})
    return rows(server, schema)


@pytest.fixture
def config(postgres: PostgresServer) -> dict[str, Any]:
    return {"url": postgres.url(), "schema": f"crash_{secrets.token_hex(6)}"}


def disturbed(monkeypatch: pytest.MonkeyPatch, point: str, disturb: Callable[[], object], *, at: int = 2) -> None:
    """Does something as a commit of this process reaches the point for the second time."""
    left = at

    def reached(name: str) -> None:
        nonlocal left
        left -= name == f"postgres.{point}"
        if not left:
            left = -1
            disturb()

    monkeypatch.setattr(_writer, "fault_point", reached)


@pytest.mark.parametrize(
    ("point", "mode"), [*((point, "merge") for point in POINTS), *(("before_commit", mode) for mode in MODES if mode != "merge")]
)
def test_the_program_is_killed(postgres: PostgresServer, config: dict[str, Any], point: str, mode: str) -> None:
    # Where a stream is overwritten, the last commit is the one that does it.
    count = 4 if mode == "overwrite" else 2
    environment = os.environ | {"DATIVO_FAULT_POINT": f"postgres.{point}#{count}"}
    command = [sys.executable, "-m", "tests.servers.postgres_load", mode, json.dumps(config)]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    load(mode, config)
    assert rows(postgres, config["schema"]) == undisturbed(postgres, mode)


@pytest.mark.parametrize("point", POINTS)
def test_the_session_is_ended(
    postgres: PostgresServer, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    disturbed(
        monkeypatch,
        point,
        lambda: postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dativo'"),
    )
    with pytest.raises(TargetError) as caught:
        load("merge", config)
    assert caught.value.retryable
    load("merge", config)
    assert rows(postgres, config["schema"]) == undisturbed(postgres, "merge")


@pytest.mark.parametrize(("point", "mode"), [("staged", "merge"), ("before_commit", "scd2"), ("committed", "append")])
def test_the_server_is_killed_and_comes_back(
    postgres: PostgresServer, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch, point: str, mode: str
) -> None:
    undisturbed(postgres, mode)
    disturbed(monkeypatch, point, lambda: (postgres.kill(), postgres.start()))
    with pytest.raises(TargetError) as caught:
        load(mode, config)
    assert caught.value.exit_code == 75
    load(mode, config)
    assert rows(postgres, config["schema"]) == undisturbed(postgres, mode)


def test_the_server_is_down(postgres: PostgresServer, config: dict[str, Any]) -> None:
    postgres.kill()
    with pytest.raises(TargetError, match="cannot reach") as caught:
        load("append", config)
    postgres.start()
    assert caught.value.exit_code == 75


@pytest.mark.parametrize("point", POINTS)
def test_the_network_is_cut(
    postgres: PostgresServer, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    with Proxy(postgres.port) as proxy:
        disturbed(monkeypatch, point, proxy.cut)
        with pytest.raises(TargetError) as caught:
            load("append", config | {"url": postgres.url(port=proxy.port)})
    assert caught.value.retryable
    load("append", config)
    assert rows(postgres, config["schema"]) == undisturbed(postgres, "append")


@pytest.mark.parametrize("mode", ["append", "merge"])
@pytest.mark.parametrize("cut", ["before", "after"])
def test_the_network_is_cut_at_the_word_commit(postgres: PostgresServer, config: dict[str, Any], cut: str, mode: str) -> None:
    """The commit has happened or has not, and nobody told the writer."""
    seen = 0

    def sees(data: bytes) -> str | None:
        nonlocal seen
        seen += b"COMMIT\0" in data
        # Two are of the beginning; the fourth of the second commit, where not all is over yet.
        return cut if seen == 4 else None

    with Proxy(postgres.port, sees) as proxy, pytest.raises(TargetError, match="cannot commit") as caught:
        load(mode, config | {"url": postgres.url(port=proxy.port)})
    assert caught.value.retryable
    committed = postgres.sql(f'SELECT state FROM "{config["schema"]}"._dativo_state')
    load(mode, config)
    assert rows(postgres, config["schema"]) == undisturbed(postgres, mode)
    assert committed == [(b"1" if cut == "before" else b"2",)]


def test_a_run_that_begins_while_another_commits_waits_and_sees_the_outcome(
    postgres: PostgresServer, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[TargetError] = []

    def begin() -> None:
        with pytest.raises(TargetError, match="another run of job") as caught:
            PostgresWriter().initialize(config | {"lock_timeout_seconds": 0.2}, WriteCatalog(JOB, "newer", {}))
        refused.append(caught.value)

    disturbed(monkeypatch, "before_commit", begin)
    load("append", config)
    assert [error.retryable for error in refused] == [True]
    assert rows(postgres, config["schema"]) == undisturbed(postgres, "append")


def test_a_run_that_was_frozen_while_another_did_its_work(
    postgres: PostgresServer, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def overtake() -> None:
        monkeypatch.undo()
        load("merge", config)

    disturbed(monkeypatch, "staged", overtake)
    with pytest.raises(TargetError, match="a newer run"):
        load("merge", config)
    assert rows(postgres, config["schema"]) == undisturbed(postgres, "merge")


def test_an_error_in_the_midst_of_a_commit_leaves_nothing(postgres: PostgresServer, config: dict[str, Any]) -> None:
    writer = PostgresWriter()
    streams = {ORDERS: ConfiguredStream(ORDERS), PARTS: ConfiguredStream(PARTS)}
    writer.initialize(config, WriteCatalog(JOB, "run", streams))
    for stream in streams:
        writer.write_batch(batch({"id": [1]}, stream))
    writer.commit(b"1")
    # Tables come in the order of their names: the first one's rows are written when the second fails.
    postgres.sql(f'ALTER TABLE "{config["schema"]}".parts ADD CHECK (id < 2)')
    writer.close()
    writer = PostgresWriter()
    writer.initialize(config, WriteCatalog(JOB, "run2", streams))
    for stream in streams:
        writer.write_batch(batch({"id": [2], "new": [1]}, stream))
    for _ in range(2):
        with pytest.raises(ContractError, match="constraint"):
            writer.commit(b"2")
    writer.close()
    assert postgres.sql(f'SELECT * FROM "{config["schema"]}".orders') == [(1,)]
    assert postgres.sql(f'SELECT state FROM "{config["schema"]}"._dativo_state') == [(b"1",)]
