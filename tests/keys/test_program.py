"""`dativo keys`, as a person runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from dativo_protocols import Batch, StreamId
from dativo_sdk import JobKey, WriteCatalog

from dativo.keys._local import read_keys
from dativo.targets.jsonl import JsonLinesWriter
from tests.project import Project


@pytest.fixture
def folder(project: Project) -> Project:
    """A project with a key file, a description of it, and an encrypted file `data.jsonl.enc`."""
    project.dativo("keys", "new", "keys.json", "warehouse")
    (project.folder / "kms.yaml").write_text("type: local\nfile: ${KEY_FOLDER:-.}/keys.json\n")
    kms = {"type": "local", "file": str(project.folder / "keys.json")}
    config = {
        "path": str(project.folder / "out"),
        "encryption": {"kms": kms, "footer_key": "warehouse", "audit": str(project.folder / "a")},
    }
    target = JsonLinesWriter()
    target.initialize(config, WriteCatalog(JobKey("acme", "shop"), "r1"))
    data = pa.record_batch({"id": [1, 2]})
    target.write_batch(Batch(StreamId("numbers"), data, 2, data.nbytes))
    target.commit(b"", final=True)
    target.close()
    (file,) = project.folder.glob("out/numbers/*.enc")
    file.rename(project.folder / "data.jsonl.enc")
    return project


def test_keys_are_made_and_get_versions(project: Project) -> None:
    project.dativo("keys", "new", "keys.json", "warehouse")
    made: dict[str, Any] = json.loads(project.dativo("keys", "new", "keys.json", "warehouse", "pii", "--json"))
    assert made["versions"] == {"warehouse": 2, "pii": 1}
    assert {key: sorted(versions) for key, versions in read_keys(project.folder / "keys.json").items()} == {
        "warehouse": [1, 2],
        "pii": [1],
    }


def test_a_file_is_decrypted_to_stdout_or_a_file(folder: Project) -> None:
    assert folder.dativo("keys", "decrypt", "data.jsonl.enc", "--keys", "kms.yaml") == '{"id":1}\n{"id":2}\n'
    told = folder.dativo("keys", "decrypt", "data.jsonl.enc", "--keys", "kms.yaml", "--output", "data.jsonl", "--json")
    assert json.loads(told)["bytes"] == 18
    assert (folder.folder / "data.jsonl").read_text() == '{"id":1}\n{"id":2}\n'
    audit = [json.loads(line) for line in (folder.folder / ".dativo" / "key-audit.jsonl").read_text().splitlines()]
    assert [(line["operation"], line["key"], line["outcome"]) for line in audit] == [("unwrap", "warehouse", "ok")] * 2


def test_a_changed_file_gives_no_output(folder: Project) -> None:
    file = folder.folder / "data.jsonl.enc"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    folder.dativo("keys", "decrypt", "data.jsonl.enc", "--keys", "kms.yaml", "--output", "data.jsonl", code=20)
    assert not (folder.folder / "data.jsonl").exists()


def test_what_cannot_be_decrypted_is_told(folder: Project) -> None:
    folder.dativo("keys", "decrypt", "keys.json", "--keys", "kms.yaml", code=20)
    folder.dativo("keys", "decrypt", "nothing.enc", "--keys", "kms.yaml", code=20)
    folder.dativo("keys", "decrypt", "data.jsonl.enc", "--keys", "nothing.yaml", code=2)
    folder.dativo("keys", "decrypt", "data.jsonl.enc", "--keys", "kms.yaml", "--json", code=2)
    Path(folder.folder / "keys.json").chmod(0o644)
    folder.dativo("keys", "decrypt", "data.jsonl.enc", "--keys", "kms.yaml", code=2)
