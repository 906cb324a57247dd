"""Configured catalogs: what is read, and how."""

from __future__ import annotations

import json
from typing import Any

import pytest
from dativo_engines import ReadCatalog, Selection
from dativo_engines.airbyte._selection import configured_catalog
from dativo_protocols import Catalog, CatalogStream, ConfigError, StreamId

METHODS = {"full_refresh": "FULL_TABLE", "incremental": "INCREMENTAL"}
BOTH = ["full_refresh", "incremental"]


def stream(name: str = "users", **raw: Any) -> CatalogStream:
    properties = {"id": {"type": "integer"}, "name": {"type": "string"}, "at": {"type": "string"}, "meta": {"type": "object"}}
    entry = {
        "name": name,
        "json_schema": {"type": "object", "properties": properties, "required": ["id", "name"]},
        "supported_sync_modes": BOTH,
        "x-own": 1,
        **raw,
    }
    return CatalogStream(
        StreamId(name, raw.get("namespace")),
        entry["json_schema"],
        replication_methods=tuple(METHODS[mode] for mode in entry["supported_sync_modes"]),
        raw=entry,
    )


def configured(*streams: CatalogStream, sync_id: int = 7, **selection: Any) -> list[dict[str, Any]]:
    """The entries of the configured catalog; all streams are selected alike."""
    chosen = {one.id: Selection(**selection) for one in streams}
    made = configured_catalog(ReadCatalog(Catalog(streams), chosen), sync_id=sync_id)
    entries: list[dict[str, Any]] = json.loads(made.data)["streams"]
    return entries


def test_a_full_refresh_is_a_new_generation() -> None:
    (entry,) = configured(stream(source_defined_primary_key=[["id"]]), replication_method="FULL_TABLE")
    raw = entry.pop("stream")
    assert entry == {
        "sync_mode": "full_refresh",
        "destination_sync_mode": "overwrite",
        "cursor_field": [],
        "primary_key": [["id"]],
        "generation_id": 7,
        "minimum_generation_id": 7,
        "sync_id": 7,
    }
    assert raw == stream(source_defined_primary_key=[["id"]]).raw


def test_an_incremental_stream_has_a_cursor_and_appends() -> None:
    (entry,) = configured(stream(), replication_method="INCREMENTAL", replication_key="at")
    assert (entry["sync_mode"], entry["destination_sync_mode"], entry["cursor_field"]) == ("incremental", "append", ["at"])
    assert (entry["generation_id"], entry["minimum_generation_id"]) == (0, 0)


@pytest.mark.parametrize(
    ("raw", "mode"),
    [
        ({"default_cursor_field": ["at"]}, "incremental"),
        ({"source_defined_cursor": True}, "incremental"),
        ({}, "full_refresh"),
        ({"default_cursor_field": ["at"], "supported_sync_modes": ["full_refresh"]}, "full_refresh"),
    ],
)
def test_without_a_mode_a_stream_is_read_incrementally_where_that_works(raw: dict[str, Any], mode: str) -> None:
    assert configured(stream(**raw))[0]["sync_mode"] == mode


@pytest.mark.parametrize(("key", "path"), [("at", ["at"]), ("meta.at", ["meta", "at"])])
def test_a_cursor_may_lie_within_an_object(key: str, path: list[str]) -> None:
    assert configured(stream(), replication_method="INCREMENTAL", replication_key=key)[0]["cursor_field"] == path


def test_fields_are_selected_by_leaving_the_others_out_of_the_schema() -> None:
    known = stream(default_cursor_field=["at"], source_defined_primary_key=[["id"]])
    made = configured_catalog(ReadCatalog(Catalog((known,)), {known.id: Selection(fields=("name",))}))
    schema = json.loads(made.data)["streams"][0]["stream"]["json_schema"]
    assert list(schema["properties"]) == ["id", "name", "at"]
    assert schema["required"] == ["id", "name"]
    assert made.fields == {known.id: ("name", "id", "at")}


def test_only_selected_streams_are_in_it_and_namespaces_tell_them_apart() -> None:
    one, two, other = stream(namespace="a"), stream(namespace="b"), stream("other")
    made = configured_catalog(ReadCatalog(Catalog((one, two, other)), {two.id: Selection()}))
    assert made.streams == (StreamId("users", "b"),)
    assert [entry["stream"]["namespace"] for entry in json.loads(made.data)["streams"]] == ["b"]


@pytest.mark.parametrize(
    ("raw", "selection", "message"),
    [
        ({}, {"replication_method": "INCREMENTAL"}, "no cursor of its own"),
        ({"supported_sync_modes": ["full_refresh"]}, {"replication_method": "INCREMENTAL"}, "cannot be read incrementally"),
        ({"supported_sync_modes": ["incremental"]}, {"replication_method": "FULL_TABLE"}, "can only be read incrementally"),
        ({}, {"replication_method": "INCREMENTAL", "replication_key": "att"}, "has no field `att`"),
        (
            {"source_defined_cursor": True, "default_cursor_field": ["at"]},
            {"replication_method": "INCREMENTAL", "replication_key": "id"},
            "its cursor is `at`",
        ),
        ({}, {"fields": ("nam",)}, "has no field `nam`"),
    ],
)
def test_what_a_stream_cannot_do_is_refused_with_a_hint(raw: dict[str, Any], selection: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        configured(stream(**raw), **selection)
    assert caught.value.hint
    assert caught.value.facts["stream"] == "users"


def test_an_unknown_stream_is_refused() -> None:
    with pytest.raises(ConfigError, match="no stream `user`") as caught:
        configured_catalog(ReadCatalog(Catalog((stream(),)), {StreamId("user"): Selection()}))
    assert "did you mean `users`" in (caught.value.hint or "")
