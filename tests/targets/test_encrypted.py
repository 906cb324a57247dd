"""What encrypted files promise in every format: nothing changed unnoticed, nothing readable without its key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet.encryption
import pytest
from dativo_protocols import Rejects
from dativo_protocols.errors import ConfigError, DativoError, TargetError
from dativo_sdk import Counting, Inspecting, Quarantining, Replaying, WriteCatalog
from dativo_sdk.conformance import CHECKS, Check, WriterCase, run_check

import dativo
from dativo.keys._local import add_key
from dativo.targets._files import FilesWriter
from dativo.targets.arrow import ArrowWriter
from dativo.targets.jsonl import JsonLinesWriter
from dativo.targets.parquet import ParquetWriter
from tests.keys.loading import JOB, MARK, USERS, audit, every_format, leaks, load, opened, read, rows, send
from tests.keys.servers import openbao


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


@pytest.mark.parametrize("option", [{"column_keys": {"pii": ["email"]}, "quarantine_key": "pii"}, {"plaintext_footer": True}])
def test_what_only_parquet_can_is_refused_elsewhere(tmp_path: Path, keys: dict[str, Any], option: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="encrypted whole"), opened(tmp_path / "out", {**keys, **option}, JsonLinesWriter):
        pass


@pytest.mark.parametrize("value", ["yes", {"footer_key": "footer"}, {"kms": {"type": "none"}, "footer_key": "f"}])
def test_a_wrong_option_is_told(tmp_path: Path, value: Any) -> None:
    with pytest.raises(ConfigError, match=r"encryption|kms"), opened(tmp_path / "out", value):
        pass


def test_after_rotation_new_files_have_the_new_version_and_old_ones_are_read(tmp_path: Path, keys: dict[str, Any]) -> None:
    load(tmp_path / "out", keys)
    add_key(tmp_path / "keys.json", "footer")
    load(tmp_path / "out", keys, run="r2")
    assert read(tmp_path / "out", keys).to_arrow("users").num_rows == 6
    versions = {(line["run"], line["version"]) for line in audit(tmp_path) if line["operation"] == "wrap"}
    assert versions == {("r1", "1"), ("r2", "2")}


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


def test_a_pyarrow_that_is_too_old_is_told(tmp_path: Path, keys: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyarrow.parquet.encryption, "EncryptionConfiguration", object)
    with pytest.raises(ConfigError, match="pyarrow 21"):
        load(tmp_path / "out", keys)


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
