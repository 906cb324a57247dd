"""Each KMS under a target: rows written with it are read with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from dativo_protocols import Batch, StreamId
from dativo_protocols.errors import ConfigError
from dativo_sdk import JobKey, WriteCatalog

import dativo
from dativo.keys import open_keyring
from dativo.targets._files import FilesWriter
from dativo.targets.csv import CsvWriter
from dativo.targets.parquet import ParquetWriter
from tests.keys.loading import MARK, leaks
from tests.keys.servers import Aws, Token, Vault
from tests.project import Project

pytestmark = pytest.mark.xdist_group("keys")


@pytest.fixture(params=["vault", "aws", "pkcs11"])
def encryption(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    prefix = ""
    if request.param == "vault":
        vault: Vault = request.getfixturevalue("vault")
        kms = vault.config
    elif request.param == "aws":
        aws: Aws = request.getfixturevalue("aws")
        kms, prefix = aws.config, "alias/"
    else:
        token: Token = request.getfixturevalue("token")
        kms = token.config
    return {
        "kms": kms,
        "footer_key": f"{prefix}footer",
        "quarantine_key": f"{prefix}pii",
        "audit": str(tmp_path / "audit.jsonl"),
    }


@pytest.mark.parametrize("writer", [ParquetWriter, CsvWriter])
def test_rows_are_written_and_read(encryption: dict[str, Any], writer: type[FilesWriter], tmp_path: Path) -> None:
    if writer is ParquetWriter:
        encryption = {**encryption, "column_keys": {encryption["quarantine_key"]: ["email"]}}
    data = pa.record_batch({"id": [1, 2], "email": ["a@example.org", "b@example.org"]})
    target = writer()
    target.initialize({"path": str(tmp_path / "out"), "encryption": encryption}, WriteCatalog(JobKey("acme", "shop"), "r1"))
    target.write_batch(Batch(StreamId("users"), data, 2, data.nbytes))
    target.commit(b"", final=True)
    target.close()
    with open_keyring(encryption) as keys:
        assert dativo.dataset(tmp_path / "out", keys=keys).to_arrow("users").to_pylist() == data.to_pylist()


def test_a_key_that_is_not_there_is_found_out_at_the_start(encryption: dict[str, Any], tmp_path: Path) -> None:
    wrong = {**encryption, "footer_key": encryption["footer_key"].replace("footer", "absent")}
    with pytest.raises(ConfigError, match="absent"):
        ParquetWriter().initialize(
            {"path": str(tmp_path / "out"), "encryption": wrong}, WriteCatalog(JobKey("acme", "shop"), "r1")
        )


@pytest.mark.parametrize("target", ["parquet", "jsonl"])
def test_a_killed_run_the_next_one_and_a_replay_leave_nothing_in_plaintext(
    encryption: dict[str, Any], target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command line: temporary files, the state store and the quarantine are in the folder that is searched."""
    project = Project(tmp_path / "project")
    (project.folder / "tmp").mkdir(parents=True)
    monkeypatch.setenv("TMPDIR", str(project.folder / "tmp"))
    schema = {"properties": {"id": {"type": "integer"}, "email": {"type": "string"}, "age": {"type": ["null", "integer"]}}}
    messages: list[dict[str, Any]] = [{"type": "SCHEMA", "stream": "users", "schema": schema, "key_properties": []}]
    for i in range(100):
        record = {"id": i, "email": f"{MARK}-{i}", "age": MARK if i % 10 == 0 else i, "other": MARK}
        messages.append({"type": "RECORD", "stream": "users", "record": record})
    described = {"stream": "users", "tap_stream_id": "users", "schema": schema, "metadata": []}
    (project.folder / "catalog.json").write_text(json.dumps({"streams": [described]}))
    (tmp_path / "messages").write_text("".join(json.dumps(message) + "\n" for message in messages))
    tap = tmp_path / "tap"
    tap.write_text(f"#!/bin/sh\nexec cat {tmp_path / 'messages'}\n")
    tap.chmod(0o755)
    job = {
        "name": "shop",
        "source": {"connector": f"singer:{tap}", "catalog": "catalog.json"},
        "target": {"connector": target, "config": {"path": str(project.files_path), "encryption": encryption}},
    }
    (project.folder / "job.yaml").write_text(json.dumps(job))

    monkeypatch.setenv("DATIVO_FAULT_POINT", "files.staged")
    project.dativo("run", "job.yaml", code=-9)
    monkeypatch.delenv("DATIVO_FAULT_POINT")
    assert leaks(project.folder) == []
    assert json.loads(project.dativo("run", "job.yaml", "--json"))["quarantined"] == 10
    replayed = json.loads(project.dativo("quarantine", "replay", "job.yaml", "--json", "--set", "on_bad_value=null"))

    assert (replayed["written"], replayed["quarantined"]) == (10, 0)
    assert leaks(project.folder) == []
    with open_keyring(encryption) as keys:
        found = dativo.dataset(project.files_path, keys=keys).to_arrow("users")
        assert sorted(found["id"].to_pylist()) == list(range(100))
        assert set(found["email"].to_pylist()) == {f"{MARK}-{i}" for i in range(100)}
