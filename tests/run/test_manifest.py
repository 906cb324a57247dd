"""A plugin's manifest is a request: what the job does not grant is refused before anything of the plugin runs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from dativo_protocols import ConfigError, SandboxError

import dativo
from tests.project import Project

READER = """
import os
from pathlib import Path
import pyarrow as pa
from dativo_protocols import Batch, Catalog, CatalogStream, State, StreamId

if "TRACE" in os.environ:
    Path(os.environ["TRACE"]).touch()
SEEN = StreamId("seen")

class Seen:
    def initialize(self, config, catalog, state):
        self.paths, self.names, self.done = config.get("paths", []), config.get("names", []), False

    def get_schema(self):
        return Catalog((CatalogStream(SEEN, {}, (), (), ("FULL_TABLE",), data=pa.schema([("what", pa.string())])),))

    def read_batch(self, max_rows):
        if self.done:
            return None
        self.done = True
        found = [path for path in self.paths if os.path.exists(path)] + [name for name in self.names if name in os.environ]
        data = pa.record_batch({"what": pa.array(found, pa.string())})
        return Batch(SEEN, data, data.num_rows, data.nbytes)

    def get_incremental_state(self):
        return None

    def close(self):
        pass
"""
SECRET = "a long secret of nobody"


def plugin(folder: Path = Path("plugin"), **manifest: Any) -> str:
    """The reader, with a manifest; its reference."""
    folder.mkdir(exist_ok=True)
    (folder / "seen.py").write_text(READER)
    said = {"name": "seen", "entry": "seen.py:Seen", **manifest}
    (folder / "dativo-plugin.yaml").write_text(yaml.safe_dump(said))
    return f"native:{folder / 'seen.py'}:Seen"


def checksum(file: Path) -> str:
    return f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"


def job(reference: str, sandbox: Mapping[str, Any], **config: Any) -> dict[str, Any]:
    source = {"connector": reference, "config": config, "sandbox": sandbox}
    return {"name": "seen", "source": source, "target": {"connector": "parquet", "config": {"path": "out"}}}


def seen() -> list[str]:
    found: list[str] = dativo.dataset(Path("out")).to_arrow("seen").column("what").to_pylist()
    return found


def test_what_is_asked_for_and_granted_it_gets_and_what_is_only_granted_it_does_not(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASKED", "x")
    monkeypatch.setenv("UNASKED", "x")
    for name in ("a", "b"):
        Path("data", name).parent.mkdir(exist_ok=True)
        Path("data", name).write_text("x")
    reference = plugin(permissions={"read": ["${config.path}"], "environment": ["ASKED", "LANG"]})
    granted = {"files": ["data"], "environment": ["ASKED", "UNASKED"], "network": ["db.example:5432"]}
    logged: list[str] = []
    dativo.run(
        job(reference, granted, path="data/a", paths=["data/a", "data/b"], names=["ASKED", "UNASKED"]),
        log=lambda level, line: logged.append(line),
    )
    assert seen() == ["data/a", "ASKED"]
    assert any("withheld: host `db.example:5432`, variable `UNASKED`" in line for line in logged)


def test_a_manifest_without_permissions_leaves_them_to_the_job(project: Path) -> None:
    Path("data").write_text("x")
    dativo.run(job(plugin(), {"files": ["data"]}, paths=["data"]))
    assert seen() == ["data"]


@pytest.mark.parametrize(
    ("asked", "granted", "said"),
    [
        ({"read": ["${config.path}"]}, {}, "files: [data/in]"),
        ({"write": ["data/out"]}, {"files": ["data"]}, "files: [{path: data/out, write: true}]"),
        ({"read": ["data"]}, {"files": ["data/in"]}, "files: [data]"),
        ({"network": ["api.example", "DB.example:5432"]}, {"network": ["db.example:5432"]}, "network: [api.example]"),
        ({"network": "all"}, {"network": ["db.example"]}, "network: all"),
        ({"environment": ["API_URL", "LANG"]}, {}, "environment: [API_URL]"),
        ({"memory": "4 GiB"}, {}, "memory: 4294967296"),
        ({"processes": 20, "cpu_seconds": 60}, {"processes": 10}, "processes: 20"),
        ({"cpu_seconds": 60, "read": ["data"]}, {"cpu_seconds": 10}, "files: [data], cpu_seconds: 60.0"),
    ],
)
def test_what_is_not_granted_is_refused_with_what_to_add(
    asked: Any, granted: Any, said: str, project: Path, tmp_path: Path
) -> None:
    Path("data").mkdir()
    Path("data/in").write_text("x")
    with pytest.raises(SandboxError, match="plugin `seen` asks for what the job does not grant") as caught:
        dativo.run(job(plugin(permissions=asked), granted, path="data/in"))
    assert caught.value.hint == f"if it may have that, add to the job's `source`: `sandbox: {{{said}}}`"
    assert caught.value.exit_code == 2
    assert not Path("out").exists()


def test_a_link_in_what_is_granted_leads_to_nothing_else(project: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    Path("data").mkdir()
    Path("data/link").symlink_to(tmp_path / "secret")
    with pytest.raises(SandboxError, match="does not grant"):
        dativo.run(job(plugin(permissions={"read": ["data/link"]}), {"files": ["data"]}))


def test_a_secret_that_is_not_asked_for_is_not_handed_over(project: Path) -> None:
    reference = plugin(permissions={"secrets": ["token"]})
    with pytest.raises(SandboxError, match=r"secrets that its manifest does not ask for: `db\.password`") as caught:
        dativo.run(job(reference, {}, token=SECRET, db={"password": SECRET}))
    assert SECRET not in str(caught.value)
    dativo.run(job(reference, {}, token=SECRET))


def test_a_reader_is_asked_what_it_can_be_configured_with_before_anything_is_granted(project: Path) -> None:
    reference = plugin(permissions={"read": ["/etc/nothing"], "network": ["api.example"]})
    assert dativo.source(reference).spec() is not None


def test_a_writer_is_refused_before_it_is_asked_what_it_can_do(project: Path, tap: Any) -> None:
    reference = plugin(kind="writer", permissions={"write": ["${config.path}"]})
    Path("kept").mkdir()
    tap.says({"type": "SCHEMA", "stream": "orders", "schema": {"properties": {"id": {"type": "integer"}}}, "key_properties": []})
    target = {
        "connector": reference,
        "config": {"path": "kept/x"},
        "environment": {"TRACE": str(Path("kept").absolute() / "trace")},
    }
    with pytest.raises(SandboxError) as caught:
        dativo.run(tap.job(target))
    assert (
        caught.value.hint == "if it may have that, add to the job's `target`: `sandbox: {files: [{path: kept/x, write: true}]}`"
    )
    assert not list(Path("kept").iterdir())


@pytest.mark.parametrize("isolation", ["in_process", "process", "sandbox"])
def test_a_file_that_is_not_the_published_one_is_not_loaded(
    isolation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plugin()
    reference = plugin(checksums={"seen.py": checksum(Path("plugin/seen.py"))})
    whole = job(reference, {}, paths=["/usr"])
    trace = {} if isolation == "sandbox" else {"environment": {"TRACE": str(tmp_path / "trace")}}
    monkeypatch.setenv("TRACE", str(tmp_path / "trace"))
    Path("job.yaml").write_text(json.dumps({**whole, "source": {**whole["source"], "isolation": isolation, **trace}}))
    Project(tmp_path).dativo("run", "job.yaml")
    assert seen() == ["/usr"]
    (tmp_path / "trace").unlink(missing_ok=True)
    with Path("plugin/seen.py").open("a") as file:
        file.write("# changed\n")
    Project(tmp_path).dativo("run", "job.yaml", "--json", code=2)
    assert not (tmp_path / "trace").exists()


def test_a_program_is_compared_with_its_checksum_too(project: Path) -> None:
    program = Path("reader")
    program.write_text("#!/bin/sh\ntouch ran\n")
    program.chmod(0o755)
    said = {"name": "reader", "entry": "reader", "language": "other", "checksums": {"reader": f"sha256:{'0' * 64}"}}
    Path("dativo-plugin.yaml").write_text(yaml.safe_dump(said))
    with pytest.raises(ConfigError, match="`reader` is not the one that was published") as caught:
        dativo.run(job("program:./reader", {}))
    assert (caught.value.exit_code, os.path.exists("ran")) == (2, False)


def test_a_manifest_of_another_api_version_is_refused_before_anything_runs(project: Path) -> None:
    with pytest.raises(ConfigError, match=r"`seen` was written for version 1\.9 of the plugin API"):
        dativo.run(job(plugin(api_version="1.9"), {}))
