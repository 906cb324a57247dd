"""What encrypted files promise: nothing in plaintext on any disk, nothing changed unnoticed, nothing readable without its key."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dativo_protocols import Batch, Rejects, StreamId
from dativo_protocols.errors import ConfigError, DativoError, TargetError
from dativo_sdk import ConfiguredStream, Counting, Inspecting, JobKey, Quarantining, Replaying, WriteCatalog
from dativo_sdk.conformance import CHECKS, Check, WriterCase, run_check

import dativo
from dativo._dataset import Dataset
from dativo.keys import open_keyring
from dativo.keys._local import add_key
from dativo.keys.parquet import decryption_properties, footer_key
from dativo.targets import _staging
from dativo.targets._encryption_spill import SpillCipher
from dativo.targets._files import FilesWriter
from dativo.targets._spill import Spill
from dativo.targets.arrow import ArrowWriter
from dativo.targets.csv import CsvWriter
from dativo.targets.jsonl import JsonLinesWriter
from dativo.targets.parquet import ParquetWriter
from tests.keys.servers import openbao
from tests.project import Project

USERS = StreamId("users")
MARK = "PLAINTEXT-MARKER"
JOB = JobKey("acme", "shop")
FORMATS: list[tuple[type[FilesWriter], dict[str, Any]]] = [
    (ParquetWriter, {}),
    (JsonLinesWriter, {}),
    (JsonLinesWriter, {"compression": "zstd"}),
    (JsonLinesWriter, {"compression": "gzip"}),
    (CsvWriter, {}),
    (CsvWriter, {"compression": "gzip"}),
    (ArrowWriter, {"compression": "none"}),
    (ArrowWriter, {"container": "stream"}),
]
NAMES = ["-".join([writer.__name__, *options.values()]) for writer, options in FORMATS]
every_format = pytest.mark.parametrize(("writer", "options"), FORMATS, ids=NAMES)


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Any]:
    """An `encryption` with keys `footer` and `pii` in a file."""
    file = tmp_path / "keys.json"
    for key_id in ("footer", "pii"):
        add_key(file, key_id)
    return {"kms": {"type": "local", "file": str(file)}, "footer_key": "footer", "audit": str(tmp_path / "audit.jsonl")}


@pytest.fixture
def by_column(keys: dict[str, Any]) -> dict[str, Any]:
    return {**keys, "column_keys": {"pii": ["email"]}, "quarantine_key": "pii"}


@contextmanager
def opened(
    path: Path,
    encryption: dict[str, Any],
    writer: type[FilesWriter] = ParquetWriter,
    run: str = "r1",
    mode: Any = "append",
    **config: Any,
) -> Iterator[FilesWriter]:
    target = writer()
    try:
        catalog = WriteCatalog(JOB, run, {USERS: ConfiguredStream(USERS, mode)})
        target.initialize({"path": str(path), "encryption": encryption, **config}, catalog)
        yield target
    finally:
        target.close()


def rows(count: int = 3, start: int = 0) -> pa.RecordBatch:
    numbers = range(start, start + count)
    return pa.record_batch(
        {"id": list(numbers), "email": [f"{MARK}-{i}@example.org" for i in numbers], "age": [i % 90 for i in numbers]}
    )


def send(target: FilesWriter, data: pa.RecordBatch, stream: StreamId = USERS) -> None:
    target.write_batch(Batch(stream, data, data.num_rows, data.nbytes))


def load(path: Path, encryption: dict[str, Any], writer: type[FilesWriter] = ParquetWriter, **config: Any) -> list[str]:
    """Three rows and a rejected one; the table's files."""
    with opened(path, encryption, writer, **config) as target:
        send(target, rows())
        reject = {"line": [7], "column": ["age"], "reason": ["no number"], "record": [f'{{"age": "{MARK}"}}'.encode()]}
        target.write_rejects(Rejects(USERS, pa.record_batch(reject), 1))
        target.commit(b"state", final=True)
    return read(path, encryption).files("users")


def read(path: Path, keys: dict[str, Any]) -> Dataset:
    return dativo.dataset(path, keys=keys)


def audit(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]


def leaks(folder: Path, mark: str = MARK) -> list[str]:
    """Files below a folder, and files that were deleted while this process has them open, with the mark in them."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            if " (deleted)" in os.readlink(descriptor):
                found.append(descriptor)
    leaking = []
    for path in found:
        with suppress(OSError):
            if mark.encode("latin-1") in path.read_bytes():
                leaking.append(str(path))
    return leaking


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
def test_rows_and_rejected_rows_are_read_with_keys_and_are_nowhere_in_plaintext(
    tmp_path: Path, keys: dict[str, Any], writer: type[FilesWriter], options: dict[str, Any]
) -> None:
    out = tmp_path / "out"
    load(out, keys, writer, **options)
    data = read(out, keys["kms"])
    assert data.to_arrow("users").to_pylist() == rows().to_pylist()
    assert data.to_arrow("users", ["age"]).to_pydict() == {"age": [0, 1, 2]}
    assert data.quarantine("users").to_arrow()["record"].to_pylist() == [f'{{"age": "{MARK}"}}'.encode()]
    assert leaks(tmp_path) == []
    with pytest.raises(ConfigError, match="is encrypted"):
        dativo.dataset(out).to_arrow("users")


@every_format
def test_another_key_of_the_same_name_is_refused(
    tmp_path: Path, keys: dict[str, Any], writer: type[FilesWriter], options: dict[str, Any]
) -> None:
    load(tmp_path / "out", keys, writer, **options)
    add_key(tmp_path / "other.json", "footer")
    with pytest.raises(TargetError, match="does not open this"):
        read(tmp_path / "out", {"type": "local", "file": str(tmp_path / "other.json")}).to_arrow("users")


@every_format
def test_a_changed_byte_is_found(
    tmp_path: Path, keys: dict[str, Any], writer: type[FilesWriter], options: dict[str, Any]
) -> None:
    (file,) = load(tmp_path / "out", keys, writer, **options)
    content = Path(file).read_bytes()
    harmless = []
    places = sorted({*range(0, len(content), max(1, len(content) // 60)), len(content) - 1})
    for place in places:
        changed = bytearray(content)
        changed[place] ^= 0x10
        Path(file).write_bytes(changed)
        try:
            assert read(tmp_path / "out", keys).to_arrow("users").to_pylist() == rows().to_pylist(), f"byte {place}"
            harmless.append(place)
        except DativoError:
            continue
    if writer is ParquetWriter:
        # Nothing is read from the first four bytes, nor from names that Parquet keeps beside the wrapped key.
        material = range(content.index(b'{"keyMaterialType"') - 8, content.index(b'"doubleWrapping":false}') + 28)
        harmless = [place for place in harmless if place >= 4 and place not in material]
    assert harmless == []


@every_format
def test_a_file_in_the_place_of_another_is_found(
    tmp_path: Path, keys: dict[str, Any], writer: type[FilesWriter], options: dict[str, Any]
) -> None:
    (first,) = load(tmp_path / "out", keys, writer, **options)
    files = load(tmp_path / "out", keys, writer, run="r2", **options)
    second = next(file for file in files if file != first)
    Path(second).write_bytes(Path(first).read_bytes())
    with pytest.raises(TargetError, match="another file"):
        read(tmp_path / "out", keys).to_arrow("users")


@every_format
def test_a_plain_file_in_the_place_of_an_encrypted_one_is_refused(
    tmp_path: Path, keys: dict[str, Any], writer: type[FilesWriter], options: dict[str, Any]
) -> None:
    (encrypted,) = load(tmp_path / "out", keys, writer, **options)
    target = writer()
    target.initialize({"path": str(tmp_path / "plain"), **options}, WriteCatalog(JOB, "r1"))
    send(target, rows())
    target.commit(None, final=True)
    target.close()
    (plain,) = dativo.dataset(tmp_path / "plain").files("users")
    Path(encrypted).write_bytes(Path(plain).read_bytes())
    with pytest.raises(TargetError):
        read(tmp_path / "out", keys).to_arrow("users")


def test_files_from_before_encryption_are_read_beside_the_others(tmp_path: Path, keys: dict[str, Any]) -> None:
    target = ParquetWriter()
    target.initialize({"path": str(tmp_path / "out")}, WriteCatalog(JOB, "r0"))
    send(target, rows(2, 100))
    target.commit(None, final=True)
    target.close()
    load(tmp_path / "out", keys)
    assert read(tmp_path / "out", keys).to_arrow("users")["id"].to_pylist() == [100, 101, 0, 1, 2]


def test_a_column_with_its_own_key_needs_it_and_others_do_not(tmp_path: Path, by_column: dict[str, Any]) -> None:
    load(tmp_path / "out", by_column)
    document = json.loads((tmp_path / "keys.json").read_text())
    del document["keys"]["pii"]
    analyst = tmp_path / "analyst.json"
    analyst.touch(0o600)
    analyst.write_text(json.dumps(document))
    data = read(tmp_path / "out", {"type": "local", "file": str(analyst)})
    assert data.to_arrow("users", ["age", "id"]).num_rows == 3
    with pytest.raises(ConfigError, match="no key `pii`"):
        data.to_arrow("users", ["email"])
    with pytest.raises(ConfigError, match="no key `pii`"):
        data.quarantine("users").to_arrow()
    assert read(tmp_path / "out", by_column).to_arrow("users").num_rows == 3


def test_the_audit_names_key_version_job_table_file_and_columns(tmp_path: Path, by_column: dict[str, Any]) -> None:
    (file,) = load(tmp_path / "out", by_column)
    read(tmp_path / "out", by_column).to_arrow("users", ["age"])
    path = str(Path(file).relative_to(tmp_path / "out"))
    found = [(line["operation"], line["key"], line["table"], line["columns"]) for line in audit(tmp_path)]
    assert sorted(found[:3]) == [
        ("wrap", "footer", "users", ["id", "age"]),
        ("wrap", "pii", "users", ["email"]),
        ("wrap", "pii", "users__quarantine", audit_columns(audit(tmp_path))),
    ]
    assert found[3:] == [("unwrap", "footer", "users", ["age"])]
    assert {line["file"] for line in audit(tmp_path) if line["table"] == "users"} == {path}
    assert {(line["tenant"], line["job"], line["run"]) for line in audit(tmp_path)[:3]} == {("acme", "shop", "r1")}
    assert MARK not in (tmp_path / "audit.jsonl").read_text()


def audit_columns(lines: list[dict[str, Any]]) -> list[str]:
    """The quarantine's columns, whichever they are: the raw record is one of them."""
    (columns,) = [line["columns"] for line in lines if line["table"] == "users__quarantine"]
    assert "record" in columns
    return list(columns)


@pytest.mark.parametrize("writer", [ParquetWriter, JsonLinesWriter])
def test_a_quarantine_that_is_written_anew_keeps_its_key(tmp_path: Path, keys: dict[str, Any], writer: type[FilesWriter]) -> None:
    encryption = {**keys, "quarantine_key": "pii"}
    with opened(tmp_path / "out", encryption, writer) as target:
        reject = {"line": [1, 2], "column": ["age"] * 2, "reason": ["no number"] * 2, "record": [MARK.encode()] * 2}
        target.write_rejects(Rejects(USERS, pa.record_batch(reject), 2))
        target.commit(b"1", final=True)
    with opened(tmp_path / "out", encryption, writer, run="r2") as target:
        (rejected,) = target.read_rejects(USERS)
        target.remove_rejects(USERS, [pa.record_batch(rejected).column("id")[0].as_py()])
        target.commit(b"2", final=True)
    assert read(tmp_path / "out", encryption).quarantine("users").num_rows == 1
    assert {(line["run"], line["key"]) for line in audit(tmp_path) if line["operation"] == "wrap"} == {
        ("r1", "pii"),
        ("r2", "pii"),
    }
    assert leaks(tmp_path) == []


def test_a_key_that_is_not_there_ends_the_run_before_it_begins(tmp_path: Path, keys: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="no key `absent`"), opened(tmp_path / "out", {**keys, "footer_key": "absent"}):
        pass
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["users.emial"], "table `users` has no column `emial`"),
        (["emial"], "no table has a column `emial`"),
        (["email", "users.emial?", "emial?", "orders.email"], None),
    ],
)
def test_a_misspelt_column_is_told(tmp_path: Path, keys: dict[str, Any], columns: list[str], message: str | None) -> None:
    encryption = {**keys, "column_keys": {"pii": columns}, "quarantine_key": "pii"}
    if message is None:
        load(tmp_path / "out", encryption)
        return
    with pytest.raises(ConfigError, match=message):
        load(tmp_path / "out", encryption)
    assert read(tmp_path / "out", keys).tables == []


def test_a_column_of_a_table_that_is_silent_today_is_not_missing(tmp_path: Path, by_column: dict[str, Any]) -> None:
    load(tmp_path / "out", by_column)
    with opened(tmp_path / "out", by_column, run="r2") as target:
        send(target, pa.record_batch({"n": [1]}), StreamId("numbers"))
        target.commit(b"2", final=True)
    assert read(tmp_path / "out", by_column).tables == ["users", "numbers"]


def test_a_table_has_its_own_key_before_the_common_one(tmp_path: Path, keys: dict[str, Any]) -> None:
    add_key(tmp_path / "keys.json", "special")
    encryption = {**keys, "column_keys": {"pii": ["email"], "special": ["users.email"]}, "quarantine_key": "pii"}
    with opened(tmp_path / "out", encryption) as target:
        send(target, rows())
        send(target, rows(), StreamId("people"))
        target.commit(b"", final=True)
    assert {(line["table"], line["key"]) for line in audit(tmp_path) if line["columns"] == ["email"]} == {
        ("users", "special"),
        ("people", "pii"),
    }


@pytest.mark.parametrize("option", [{"column_keys": {"pii": ["email"]}, "quarantine_key": "pii"}, {"plaintext_footer": True}])
def test_what_only_parquet_can_is_refused_elsewhere(tmp_path: Path, keys: dict[str, Any], option: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="encrypted whole"), opened(tmp_path / "out", {**keys, **option}, JsonLinesWriter):
        pass


@pytest.mark.parametrize("value", ["yes", {"footer_key": "footer"}, {"kms": {"type": "none"}, "footer_key": "f"}])
def test_a_wrong_option_is_told(tmp_path: Path, value: Any) -> None:
    with pytest.raises(ConfigError, match=r"encryption|kms"), opened(tmp_path / "out", value):
        pass


def test_nested_columns_are_encrypted_with_their_parents_key(tmp_path: Path, keys: dict[str, Any]) -> None:
    encryption = {**keys, "column_keys": {"pii": ["who", "tags"]}, "quarantine_key": "pii"}
    data = pa.record_batch({"id": [1], "who": [{"name": MARK, "at": [1, 2]}], "tags": [[MARK]]})
    with opened(tmp_path / "out", encryption) as target:
        send(target, data)
        target.commit(b"", final=True)
    assert read(tmp_path / "out", encryption).to_arrow("users").to_pylist() == data.to_pylist()
    assert leaks(tmp_path) == []


def test_a_widened_column_is_looked_at_with_keys(tmp_path: Path, by_column: dict[str, Any]) -> None:
    load(tmp_path / "out", by_column)
    with opened(tmp_path / "out", by_column, run="r2") as target:
        send(target, pa.record_batch({"id": [1.5], "email": [MARK], "age": ["old"]}))
        target.commit(b"2", final=True)
    table = read(tmp_path / "out", by_column).to_arrow("users")
    assert table["id"].to_pylist() == [0.0, 1.0, 2.0, 1.5]
    assert table["age"].to_pylist() == ["0", "1", "2", "old"]


def test_an_overwrite_swaps_encrypted_files(tmp_path: Path, by_column: dict[str, Any]) -> None:
    load(tmp_path / "out", by_column)
    load(tmp_path / "out", by_column, run="r2", mode="overwrite")
    assert read(tmp_path / "out", by_column).to_arrow("users").num_rows == 3


def test_after_rotation_new_files_have_the_new_version_and_old_ones_are_read(tmp_path: Path, keys: dict[str, Any]) -> None:
    load(tmp_path / "out", keys)
    add_key(tmp_path / "keys.json", "footer")
    load(tmp_path / "out", keys, run="r2")
    assert read(tmp_path / "out", keys).to_arrow("users").num_rows == 6
    versions = {(line["run"], line["version"]) for line in audit(tmp_path) if line["operation"] == "wrap"}
    assert versions == {("r1", "1"), ("r2", "2")}


@pytest.mark.parametrize("by_columns", [True, False])
def test_a_plaintext_footer_shows_names_and_counts_and_no_values(
    tmp_path: Path, keys: dict[str, Any], by_column: dict[str, Any], by_columns: bool
) -> None:
    encryption = {**(by_column if by_columns else keys), "plaintext_footer": True}
    number = 7_164_923_518_264
    with opened(tmp_path / "out", encryption) as target:
        send(target, pa.record_batch({"id": [number] * 3, "email": [MARK] * 3, "age": [1, 2, 3]}))
        target.commit(b"", final=True)
    (file,) = read(tmp_path / "out", keys).files("users")
    with pq.ParquetFile(file) as parquet:
        assert parquet.schema_arrow.names == ["id", "email", "age"]
        assert parquet.metadata.num_rows == 3
        for column in ("id", "email"):
            with pytest.raises(OSError, match="decrypt"):
                parquet.read([column])
    # Nor in statistics: pyarrow itself cannot be asked for those without the key, it ends the process.
    assert leaks(tmp_path, number.to_bytes(8, "little").decode("latin-1")) == []
    assert leaks(tmp_path) == []
    assert read(tmp_path / "out", encryption).to_arrow("users")["id"].to_pylist() == [number] * 3


def test_pyarrow_alone_reads_a_file_with_the_same_keys(tmp_path: Path, by_column: dict[str, Any]) -> None:
    (file,) = load(tmp_path / "out", by_column)
    with open_keyring(by_column) as ring:
        assert pq.read_table(file, decryption_properties=decryption_properties(ring)).to_pylist() == rows().to_pylist()
    with pytest.raises(OSError, match="no decryption found"):
        pq.read_table(file)


def test_duckdb_reads_a_file_with_the_key_of_its_footer(tmp_path: Path, keys: dict[str, Any]) -> None:
    import base64

    (file,) = load(tmp_path / "out", keys)
    with open_keyring(keys) as ring:
        key = base64.b64encode(footer_key(file, ring)).decode()
    with duckdb.connect() as connection:
        connection.execute(f"PRAGMA add_parquet_key('footer', '{key}')")
        query = f"SELECT * FROM read_parquet('{file}', encryption_config = {{footer_key: 'footer'}})"
        assert connection.execute(query).fetchall() == [tuple(row.values()) for row in rows().to_pylist()]
        with pytest.raises(duckdb.Error, match="encrypted"):
            connection.execute(f"SELECT * FROM '{file}'")


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


@pytest.mark.xdist_group("keys")
def test_a_kms_that_goes_away_in_the_middle_fails_the_run_for_now_and_the_next_one_ends_it(tmp_path: Path) -> None:
    with openbao() as vault:
        encryption = {"kms": vault.config, "footer_key": "footer", "cache": 0, "audit": str(tmp_path / "audit.jsonl")}
        out = tmp_path / "out"
        with opened(out, encryption, file_size_bytes=1) as target:
            send(target, rows(10))
            target.commit(b"10")
            send(target, rows(10, 10))
            vault.client().sys.seal()
            with pytest.raises(TargetError, match="sealed") as raised:
                target.commit(b"20")
            assert raised.value.retryable
        vault.client().sys.submit_unseal_key(vault.unseal_key())
        with opened(out, encryption, run="r2") as target:
            state = target._log.state if target._log else None
            assert state == b"10"
            send(target, rows(10, 10))
            target.commit(b"20", final=True)
        assert read(out, encryption).to_arrow("users").to_pylist() == rows(20).to_pylist()
        failed = [line for line in audit(tmp_path) if line["outcome"] == "failed"]
        assert [(line["operation"], line["run"]) for line in failed] == [("wrap", "r1")]
        assert leaks(tmp_path) == []


def test_threads_that_encode_share_the_keys(tmp_path: Path, by_column: dict[str, Any]) -> None:
    streams = [StreamId(f"t{i}") for i in range(8)]
    with opened(tmp_path / "out", by_column) as target:
        for stream in streams:
            send(target, rows(2000), stream)
        target.commit(b"", final=True)
        assert threading.active_count() > 1
    assert all(read(tmp_path / "out", by_column).to_arrow(stream).num_rows == 2000 for stream in streams)
    asked = [line["key"] for line in audit(tmp_path) if line["operation"] == "wrap" and line["answered"] == "kms"]
    assert sorted(asked) == ["footer", "pii"]


class EncryptedCase(WriterCase):
    """The conformance kit over encrypted files."""

    modes = frozenset({"append", "overwrite"})

    def __init__(self, writer: type[FilesWriter], encryption: dict[str, Any]) -> None:
        self.powers = frozenset({Counting, Inspecting, Quarantining, Replaying})
        self.writer = writer
        self.encryption = encryption

    def make(self, path: Path) -> tuple[FilesWriter, dict[str, Any]]:
        return self.writer(), {"path": str(path / "out"), "encryption": self.encryption}

    def read_table(self, config: Any, table: str) -> pa.Table | None:
        data = read(Path(config["path"]), self.encryption)
        if table in data.tables:
            return data.to_arrow(table)
        return data.quarantine(table.removesuffix("__quarantine")).to_arrow() if table.endswith("__quarantine") else None


KIT = [(check, ParquetWriter) for check in CHECKS] + [
    (check, ArrowWriter) for check in CHECKS if str(check).startswith(("every_type", "rejected", "overwrite", "a_column_widens"))
]


@pytest.mark.parametrize(("check", "writer"), KIT, ids=lambda value: getattr(value, "__name__", str(value)))
def test_conformance(check: Check, writer: type[FilesWriter], tmp_path: Path, keys: dict[str, Any]) -> None:
    column_keys = {"column_keys": {"pii": ["id?", "name?", "value?"]}, "quarantine_key": "pii"}
    run_check(check, EncryptedCase(writer, {**keys, **(column_keys if writer is ParquetWriter else {})}), tmp_path)
