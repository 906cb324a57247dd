"""Parquet with keys for columns: who can read what, and who else reads such files."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dativo_protocols import StreamId
from dativo_protocols.errors import ConfigError

from dativo.keys import open_keyring
from dativo.keys._local import add_key
from dativo.keys.parquet import decryption_properties, footer_key
from tests.keys.loading import MARK, audit, leaks, load, opened, read, rows, send


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
