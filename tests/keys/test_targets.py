"""Each KMS under a target: rows written with it are read with it."""

from __future__ import annotations

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
from tests.keys.servers import Aws, Token, Vault

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
