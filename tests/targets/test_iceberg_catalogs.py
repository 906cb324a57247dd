"""Catalogs other than the embedded one: REST, with its tables on disk and in a bucket, and SQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dativo_protocols.errors import ConfigError, TargetError
from dativo_sdk import ConfiguredStream, JobKey, WriteCatalog
from dativo_sdk.conformance import ORDERS, batch

from dativo.targets.iceberg import IcebergWriter
from tests.servers.iceberg_rest import TOKEN, RestServer, iceberg_rest

JOB = JobKey("acme", "shop")


@pytest.fixture
def rest(tmp_path: Path) -> Iterator[RestServer]:
    (tmp_path / "served").mkdir()
    with iceberg_rest(tmp_path / "served") as server:
        yield server


def load(config: dict[str, Any], values: dict[str, Any], mode: str = "merge", run: str = "run", job: JobKey = JOB) -> Any:
    writer = IcebergWriter()
    streams = {ORDERS: ConfiguredStream(ORDERS, mode, ("id",))}  # type: ignore[arg-type]
    try:
        state = writer.initialize(config, WriteCatalog(job, run, streams))
        writer.write_batch(batch(values))
        writer.commit(b"1", final=True)
        return state
    finally:
        writer.close()


def config_of(rest: RestServer, path: Path | str, **catalog: str) -> dict[str, Any]:
    return {"path": str(path), "namespace": "shop", "catalog": {"type": "rest", "uri": rest.uri, "token": TOKEN, **catalog}}


def rows_of(rest: RestServer) -> list[tuple[Any, ...]]:
    found = rest.catalog.load_table("shop.orders").scan().to_arrow().to_pylist()
    return sorted((row["id"], row["v"]) for row in found)


def test_a_rest_catalog_says_where_tables_are_and_gets_their_commits(rest: RestServer, tmp_path: Path) -> None:
    config = config_of(rest, tmp_path / "records")
    assert load(config, {"id": [1, 2], "v": ["a", "b"]}) is None
    assert load(config, {"id": [2, 3], "v": ["c", "d"]}) == b"1"
    assert load(config, {"id": [9], "v": ["z"]}, "overwrite") == b"1"
    table = rest.catalog.load_table("shop.orders")
    assert rows_of(rest) == [(9, "z")]
    assert table.location() == f"file://{tmp_path}/served/shop/orders"
    assert [snapshot.summary["dativo.mode"] for snapshot in table.snapshots()] == ["merge", "merge", "overwrite"]  # type: ignore[index]


def test_an_answer_that_gets_lost_is_no_row_lost_or_doubled(rest: RestServer, tmp_path: Path) -> None:
    config = config_of(rest, tmp_path / "records")
    load(config, {"id": [1], "v": ["a"]}, "append")
    rest.lose_answers = 1
    with pytest.raises(TargetError) as caught:
        load(config, {"id": [2], "v": ["b"]}, "append")
    assert caught.value.retryable
    assert load(config, {"id": [3], "v": ["c"]}, "append") == b"1"
    assert rows_of(rest) == [(1, "a"), (2, "b"), (3, "c")]


def test_a_table_that_somebody_else_creates_meanwhile_is_merged_into(rest: RestServer, tmp_path: Path) -> None:
    first, config = IcebergWriter(), config_of(rest, tmp_path / "records")
    first.initialize(config, WriteCatalog(JobKey("acme", "first"), "run", {ORDERS: ConfiguredStream(ORDERS)}))
    first.write_batch(batch({"id": [1], "v": ["a"]}))
    load(config, {"id": [2], "v": ["b"]}, "append")
    first.commit(b"1", final=True)
    first.close()
    assert rows_of(rest) == [(1, "a"), (2, "b")]


def test_a_token_is_in_no_error(rest: RestServer, tmp_path: Path) -> None:
    config = config_of(rest, tmp_path / "records", token="another-" + TOKEN)
    with pytest.raises(TargetError) as caught:
        load(config, {"id": [1]})
    assert "credentials in `catalog`" in str(caught.value)
    assert TOKEN not in f"{caught.value!r} {caught.value} {caught.value.facts}"


def test_a_server_that_does_not_answer_is_worth_another_try(tmp_path: Path) -> None:
    config = {"path": str(tmp_path), "catalog": {"type": "rest", "uri": "http://user:secret@127.0.0.1:9/x"}}
    with pytest.raises((TargetError, ConfigError)) as caught:
        load(config, {"id": [1]})
    assert caught.value.retryable
    assert "secret" not in str(caught.value)
    assert caught.value.message == "cannot open the catalog in `http://127.0.0.1:9/x`: Connection refused"
    assert caught.value.hint == "is the catalog at work, and can it be reached?"


@pytest.mark.parametrize("catalog", [{"type": "no-such"}, {"type": "rest"}, {"type": "sql", "warehouse": "x"}])
def test_a_catalog_that_cannot_be_is_an_error_of_the_configuration(catalog: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="catalog"):
        load({"path": str(tmp_path), "catalog": catalog}, {"id": [1]})


def test_an_sql_catalog_by_its_properties(tmp_path: Path) -> None:
    from pyiceberg.catalog import load_catalog

    properties = {"type": "sql", "uri": f"sqlite:///{tmp_path}/mine.db", "warehouse": f"file://{tmp_path}/data", "name": "mine"}
    config = {"path": str(tmp_path / "records"), "namespace": "a", "catalog": properties}
    load(config, {"id": [1], "v": ["a"]})
    load(config, {"id": [1], "v": ["b"]})
    catalog = load_catalog(**properties)
    assert catalog.load_table("a.orders").scan().to_arrow().to_pylist() == [{"id": 1, "v": "b"}]
    catalog.close()


def test_tables_and_records_in_a_bucket(bucket: dict[str, Any], tmp_path: Path) -> None:
    options = bucket["storage_options"]
    (tmp_path / "served").mkdir()
    properties = {
        "warehouse": bucket["path"],
        "s3.endpoint": options["endpoint"],
        "s3.access-key-id": options["access_key_id"],
        "s3.secret-access-key": options["secret_access_key"],
        "s3.region": "us-east-1",
    }
    with iceberg_rest(tmp_path / "served", **properties) as server:
        config = {**config_of(server, f"{bucket['path']}/records"), "storage_options": options}
        load(config, {"id": [1, 2], "v": ["a", "b"]})
        assert load(config, {"id": [2, 3], "v": ["c", "d"]}) == b"1"
        assert rows_of(server) == [(1, "a"), (2, "c"), (3, "d")]
        assert server.catalog.load_table("shop.orders").location().startswith("s3://")
