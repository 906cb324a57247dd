"""Nothing in plaintext on any disk: while rows wait, after a run, after a killed one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from dativo_protocols import Rejects, StreamId

from dativo.targets import _staging
from dativo.targets._encryption_spill import SpillCipher
from dativo.targets._files import FilesWriter
from dativo.targets._spill import Spill
from tests.keys.loading import MARK, every_format, leaks, opened, read, rows, send
from tests.project import DATIVO, Project


def test_the_search_for_leaks_finds_one(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_text(f"x{MARK}")
    assert leaks(tmp_path) == [str(tmp_path / "deep" / "file")]
    with open(tmp_path / "gone", "w+") as file:
        file.write(MARK)
        file.flush()
        (tmp_path / "gone").unlink()
        assert len(leaks(tmp_path)) == 2


@every_format
def test_parked_rows_are_in_no_file_while_they_wait(
    tmp_path: Path,
    keys: dict[str, Any],
    writer: type[FilesWriter],
    options: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Many slow tables and their rejected rows, hardly any memory, and a search after every step."""
    monkeypatch.setattr(_staging, "BUFFERED_BYTES", 1 << 14)
    parked: list[str] = []
    park = Spill.park

    def watched(spill: Spill, batches: list[pa.RecordBatch]) -> None:
        park(spill, batches)
        parked.append(str(spill._path))

    monkeypatch.setattr(Spill, "park", watched)
    out, streams = tmp_path / "out", [StreamId(f"table{i}") for i in range(12)]
    with opened(out, keys, writer, **options) as target:
        for step in range(4):
            for stream in streams:
                send(target, rows(20, step * 20), stream)
                reject = {"line": [step], "column": ["age"], "reason": [MARK], "record": [MARK.encode()]}
                target.write_rejects(Rejects(stream, pa.record_batch(reject), 1))
            assert leaks(tmp_path) == []
        assert len(set(parked)) > 10
        assert any(Path(path).exists() for path in parked)
        target.commit(b"", final=True)
        assert leaks(tmp_path) == []
    assert leaks(tmp_path) == []
    data = read(out, keys)
    assert [data.to_arrow(stream)["id"].to_pylist() for stream in streams] == [list(range(80))] * 12
    assert all(data.quarantine(stream).to_arrow().num_rows == 4 for stream in streams)


def test_parked_rows_that_somebody_changed_are_refused(tmp_path: Path) -> None:
    batch = rows()
    for place in (9, 60, -1):
        spill = Spill(tmp_path / "parked", batch.schema, SpillCipher())
        spill.park([batch])
        spill.park([batch])
        content = bytearray((tmp_path / "parked").read_bytes())
        assert MARK.encode() not in content
        content[place] ^= 1
        (tmp_path / "parked").write_bytes(content)
        with pytest.raises(OSError, match="changed by somebody else"):
            spill.fetch()
        (tmp_path / "parked").unlink(missing_ok=True)


def test_a_whole_run_leaves_nothing_in_plaintext_and_neither_does_a_killed_one(
    tmp_path: Path, keys: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command line, with temporary files and the state store in the folder that is searched."""
    project = Project(tmp_path / "project")
    (project.folder / "tmp").mkdir(parents=True)
    schema = {"properties": {"id": {"type": "integer"}, "email": {"type": "string"}, "age": {"type": "integer"}}}
    messages = [{"type": "SCHEMA", "stream": "users", "schema": schema, "key_properties": ["id"]}]
    for i in range(300):
        record = {"id": i, "email": f"{MARK}-{i}", "age": MARK if i % 50 == 0 else i, "other": MARK}
        messages.append({"type": "RECORD", "stream": "users", "record": record})
        if i % 100 == 99:
            messages.append({"type": "STATE", "value": {"at": i}})
    lines = tmp_path / "messages.jsonl"
    lines.write_text("".join(json.dumps(message) + "\n" for message in messages))
    monkeypatch.setenv("TMPDIR", str(project.folder / "tmp"))
    tap = tmp_path / "tap"
    tap.write_text(f"#!/bin/sh\nexec cat {lines}\n")
    tap.chmod(0o755)
    job = {
        "name": "shop",
        "source": {"connector": f"singer:{tap}", "discover": False},
        "target": {"connector": "parquet", "config": {"path": str(project.files_path), "encryption": keys}},
        "on_bad_value": "quarantine",
        "checkpoint": {"rows": 100},
    }
    (project.folder / "job.yaml").write_text(json.dumps(job))
    for point in ("files.staged", "files.synced", "files.record_written", "files.committed"):
        monkeypatch.setenv("DATIVO_FAULT_POINT", point)
        project.dativo("run", "job.yaml", code=-9)
        assert leaks(project.folder) == [], point
    monkeypatch.delenv("DATIVO_FAULT_POINT")
    project.dativo("run", "job.yaml")
    assert leaks(project.folder) == []
    data = read(project.files_path, keys)
    assert {row["id"] for row in data.to_arrow("users", ["id"]).to_pylist()} == {i for i in range(300) if i % 50}
    assert data.quarantine("users").num_rows >= 6


@pytest.mark.parametrize("target", ["parquet", "jsonl"])
def test_no_system_call_writes_plaintext_to_a_file(target: str, tmp_path: Path, keys: dict[str, Any]) -> None:
    """Not even to one that is removed before anybody could look: plaintext is in the connector's pipe, and nowhere else."""
    if shutil.which("strace") is None:
        pytest.skip("needs Debian's package `strace`, which `scripts/servers.sh` installs")
    schema = {"properties": {"id": {"type": "integer"}, "email": {"type": "string"}, "age": {"type": "integer"}}}
    messages: list[dict[str, Any]] = [{"type": "SCHEMA", "stream": "users", "schema": schema, "key_properties": []}]
    for i in range(2000):
        record = {"id": i, "email": f"{MARK}-{i}", "age": MARK if i % 50 == 0 else i, "other": MARK}
        messages.append({"type": "RECORD", "stream": "users", "record": record})
        if i % 500 == 499:
            messages.append({"type": "STATE", "value": {"at": i}})
    (tmp_path / "messages").write_text("".join(json.dumps(message) + "\n" for message in messages))
    tap, trace = tmp_path / "tap", tmp_path / "trace"
    tap.write_text(f"#!/bin/sh\nexec cat {tmp_path / 'messages'}\n")
    tap.chmod(0o755)
    job = {
        "name": "shop",
        "source": {"connector": f"singer:{tap}", "discover": False},
        "target": {"connector": target, "config": {"path": str(tmp_path / "out"), "encryption": keys}},
        "checkpoint": {"rows": 500},
    }
    (tmp_path / "job.yaml").write_text(json.dumps(job))
    calls = "write,pwrite64,writev,pwritev,pwritev2,sendfile,splice,copy_file_range"
    strace = ["strace", "-f", "-y", "-qq", "-s", "4000000", "-e", f"trace={calls}", "-o", str(trace)]
    ended = subprocess.run([*strace, str(DATIVO), "run", "job.yaml"], cwd=tmp_path, capture_output=True, text=True)
    if "ptrace" in ended.stderr and ended.returncode:
        pytest.skip(f"may not trace: {ended.stderr.strip()}")
    assert ended.returncode == 0, ended.stderr

    told = [line for line in trace.read_text(errors="replace").splitlines() if MARK in line]
    assert told, "the connector's own writes were not seen"
    written_to = {found[1] for line in told if (found := re.search(r"\(\d+<([^>]*)>", line))}
    assert all(place.startswith("pipe:") for place in written_to), written_to
