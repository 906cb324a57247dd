"""The target against a REST catalog of a real server, which keeps the tables in its own S3 buckets."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import polars
import pyarrow as pa
import pytest
from dativo_protocols import StreamId
from dativo_protocols.errors import TargetError
from dativo_sdk import Counting, Inspecting, JobKey, Quarantining, Replaying, Versioning, WriteCatalog
from dativo_sdk.conformance import CHECKS, Check, WriterCase, batch, run_check
from pyiceberg.catalog import load_catalog
from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError

from dativo.targets.iceberg import IcebergWriter
from tests.servers.seaweedfs import S3Server


@pytest.fixture(scope="session")
def catalog(s3: S3Server) -> dict[str, str]:
    warehouse = f"lake{secrets.token_hex(4)}"
    s3.table_bucket(warehouse)
    return s3.catalog(warehouse)


@pytest.fixture(autouse=True)
def _planner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLARS_ICEBERG_PLANNER", "pyiceberg")


class RestCase(WriterCase):
    """A namespace for each directory, and the records of commits in it."""

    powers = frozenset({Counting, Inspecting, Quarantining, Replaying, Versioning})
    skips: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("hostile_stream_names_have_their_own_tables", "rejected_rows_of_a_stream_without_a_table"),
        "the server takes names of small letters, digits and `_` that begin with a letter or digit",
    )

    def __init__(self, catalog: Mapping[str, str]) -> None:
        self.catalog = catalog

    def make(self, path: Path) -> tuple[IcebergWriter, dict[str, Any]]:
        namespace = path / "namespace"
        if not namespace.exists():
            namespace.write_text(f"n{secrets.token_hex(6)}")
        config = {"path": str(path / "records"), "namespace": namespace.read_text(), "catalog": dict(self.catalog)}
        return IcebergWriter(), config

    def read_table(self, config: Mapping[str, Any], table: str) -> pa.Table | None:
        """With polars' own reader, as in `test_iceberg_conformance.py`."""
        try:
            found = load_catalog("reader", **self.catalog).load_table(f"{config['namespace']}.{table}")
        except (NoSuchTableError, NoSuchNamespaceError):
            return None
        options = {f"aws_{name}": self.catalog[f"s3.{name.replace('_', '-')}"] for name in ("access_key_id", "secret_access_key")}
        options |= {"aws_endpoint_url": self.catalog["s3.endpoint"], "aws_region": "us-east-1", "aws_allow_http": "true"}
        return polars.scan_iceberg(found, storage_options=options).collect().to_arrow()


# What the models check costs a hundred commits each, and is checked with the embedded catalog.
@pytest.mark.parametrize("check", [check for check in CHECKS if check.subject != "model"], ids=str)
def test_conformance(check: Check, tmp_path: Path, catalog: dict[str, str]) -> None:
    run_check(check, RestCase(catalog), tmp_path)


def opened(config: dict[str, Any]) -> IcebergWriter:
    writer = IcebergWriter()
    writer.initialize(config, WriteCatalog(JobKey("acme", "shop"), "run"))
    return writer


def test_requests_can_be_signed_as_amazon_wants_it(tmp_path: Path, catalog: dict[str, str]) -> None:
    """As for S3 Tables and Glue's REST catalog."""
    signing = {
        "rest.sigv4-enabled": "true",
        "rest.signing-name": "s3tables",
        "rest.signing-region": catalog["s3.region"],
        "client.access-key-id": catalog["s3.access-key-id"],
        "client.secret-access-key": catalog["s3.secret-access-key"],
    }
    signed = {key: value for key, value in catalog.items() if key not in ("credential", "oauth2-server-uri")} | signing
    case = RestCase(signed)
    _, config = case.make(tmp_path)
    writer = opened(config)
    try:
        writer.write_batch(batch({"id": [1, 2]}))
        writer.commit(b"1", final=True)
    finally:
        writer.close()
    table = case.read_table(config, "orders")
    assert table is not None
    assert sorted(table["id"].to_pylist()) == [1, 2]


def test_a_wrong_secret_is_told_and_not_shown(tmp_path: Path, catalog: dict[str, str]) -> None:
    _, config = RestCase({**catalog, "credential": "tester:not-the-secret"}).make(tmp_path)
    with pytest.raises(TargetError) as caught:
        opened(config).write_batch(batch({"id": [1]}))
    assert (caught.value.exit_code, caught.value.hint) == (20, "check the credentials in `catalog`")
    assert "not-the-secret" not in f"{caught.value!r} {caught.value} {caught.value.facts}"


def test_a_name_that_the_catalog_does_not_take_is_told(tmp_path: Path, catalog: dict[str, str]) -> None:
    _, config = RestCase(catalog).make(tmp_path)
    with pytest.raises(TargetError, match="must start with a letter or digit") as caught:
        opened(config).write_batch(batch({"id": [1]}, StreamId("_orders")))
    assert "names" in (caught.value.hint or "")
