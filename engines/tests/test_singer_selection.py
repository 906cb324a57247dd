"""Catalogs are read whatever their style, and selections are written in every style."""

from __future__ import annotations

import json
from typing import Any

import pytest
from dativo_engines import ReadCatalog, Selection
from dativo_engines.singer._catalog import message_names, parse_catalog
from dativo_engines.singer._output import find_document
from dativo_engines.singer._selection import selected_catalog
from dativo_protocols import ConfigError, StreamId

ORDERS: dict[str, Any] = {
    "tap_stream_id": "orders",
    "stream": "orders",
    "x-own": {"kept": 1},
    "key_properties": ["id"],
    "replication_key": "at",
    "schema": {
        "type": "object",
        "properties": {
            "id": {"type": "integer"},
            "at": {"type": "string", "format": "date-time"},
            "name": {"type": "string"},
            "note": {"type": "object", "properties": {"text": {"type": "string"}}},
            "blob": {"inclusion": "unsupported"},
            "auto": {"inclusion": "automatic", "type": "string"},
        },
    },
    "metadata": [
        {"breadcrumb": [], "metadata": {"selected": False, "inclusion": "available", "x": 2}},
        {"breadcrumb": ["properties", "name"], "metadata": {"inclusion": "available", "selected-by-default": False}},
        {"breadcrumb": ["properties", "note", "properties", "text"], "metadata": {"selected": False}},
        {"breadcrumb": ["properties", "blob"], "metadata": {"inclusion": "unsupported"}},
    ],
}
USERS: dict[str, Any] = {
    "stream": "users",
    "schema": {"type": "object", "properties": {"id": {"type": "integer"}}},
    "selected": True,
}


def select(selection: dict[str, Selection], *entries: dict[str, Any]) -> list[dict[str, Any]]:
    catalog = parse_catalog({"streams": list(entries), "version": 3})
    document = json.loads(selected_catalog(ReadCatalog(catalog, {StreamId(name): one for name, one in selection.items()})))
    assert document["version"] == 3
    found: list[dict[str, Any]] = document["streams"]
    return found


def metadata(entry: dict[str, Any], *breadcrumb: str) -> dict[str, Any]:
    [found] = [item["metadata"] for item in entry["metadata"] if item["breadcrumb"] == list(breadcrumb)]
    return dict(found)


def chosen(entry: dict[str, Any]) -> set[str]:
    """Selected fields; both styles must agree."""
    new = {item["breadcrumb"][1] for item in entry["metadata"] if len(item["breadcrumb"]) == 2 and item["metadata"]["selected"]}
    assert new == {name for name, schema in entry["schema"]["properties"].items() if schema["selected"]}
    return new


def test_streams_are_selected_and_deselected_in_both_styles() -> None:
    orders, users = select({"orders": Selection()}, ORDERS, USERS)
    assert (metadata(orders)["selected"], orders["selected"], orders["schema"]["selected"]) == (True, True, True)
    assert (metadata(users)["selected"], users["selected"], users["schema"]["selected"]) == (False, False, False)


def test_all_fields_but_unsupported_ones_are_selected() -> None:
    [orders] = select({"orders": Selection()}, ORDERS)
    assert chosen(orders) == {"id", "at", "name", "note", "auto"}
    assert metadata(orders, "properties", "note", "properties", "text")["selected"] is True


def test_keys_cursor_and_automatic_fields_stay_selected() -> None:
    [orders] = select({"orders": Selection(fields=("name",))}, ORDERS)
    assert chosen(orders) == {"id", "at", "name", "auto"}
    assert metadata(orders, "properties", "note", "properties", "text")["selected"] is False


def test_unknown_keys_stay() -> None:
    [orders] = select({"orders": Selection()}, ORDERS)
    assert orders["x-own"] == {"kept": 1}
    assert metadata(orders)["x"] == 2


def test_replication_is_written_in_both_styles() -> None:
    [orders] = select({"orders": Selection(replication_method="INCREMENTAL", replication_key="at")}, ORDERS)
    root = metadata(orders)
    assert (root["replication-method"], root["replication-key"]) == ("INCREMENTAL", "at")
    assert (orders["replication_method"], orders["replication_key"]) == ("INCREMENTAL", "at")


def test_a_stream_without_any_method_is_read_whole() -> None:
    [orders] = select({"orders": Selection()}, ORDERS)
    assert metadata(orders)["replication-method"] == "FULL_TABLE"
    [forced] = select({"users": Selection()}, {**USERS, "replication_method": "LOG_BASED"})
    assert (forced["replication_method"], "replication-method" in metadata(forced)) == ("LOG_BASED", False)


def test_original_catalog_is_not_changed() -> None:
    before = json.dumps(ORDERS)
    select({"orders": Selection(fields=("id",))}, ORDERS)
    assert json.dumps(ORDERS) == before


@pytest.mark.parametrize(
    ("selection", "message", "hint"),
    [
        ({"order": Selection()}, "no stream `order`", "did you mean `orders`"),
        ({"orders": Selection(fields=("nmae",))}, "stream `orders` has no field `nmae`", "did you mean `name`"),
        ({"orders": Selection(replication_key="when")}, "has no field `when`", "the fields are `id`"),
    ],
)
def test_what_does_not_exist_is_refused(selection: dict[str, Selection], message: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        select(selection, ORDERS, USERS)
    assert hint in (caught.value.hint or "")


def test_fields_of_a_schema_without_properties_are_not_checked() -> None:
    [entry] = select({"free": Selection(fields=("a",))}, {"stream": "free", "schema": {"type": "object"}})
    assert entry["selected"] is True


def test_catalog_gives_keys_cursor_and_methods() -> None:
    entry = {
        "tap_stream_id": "t",
        "stream": "t",
        "schema": {},
        "metadata": [
            {
                "breadcrumb": (),
                "metadata": {"table-key-properties": ["a", "b"], "replication-key": "c", "valid-replication-keys": ["c"]},
            }
        ],
    }
    [stream] = parse_catalog({"streams": [entry]}).streams
    assert (stream.primary_key, stream.cursor) == (("a", "b"), ("c",))
    assert stream.replication_methods == ("FULL_TABLE", "INCREMENTAL")


def test_database_tables_go_by_the_name_that_their_messages_carry() -> None:
    root = {"breadcrumb": [], "metadata": {"schema-name": "public", "database-name": "shop"}}
    entry = {"tap_stream_id": "shop-public-orders", "stream": "orders", "schema": {}, "metadata": [root]}
    [stream] = parse_catalog({"streams": [entry]}).streams
    assert stream.id == StreamId("public-orders")
    assert {"orders", "shop-public-orders"} <= set(message_names(stream))


def test_equal_names_are_told_apart_by_their_identity() -> None:
    entries = [{"tap_stream_id": f"{schema}.t", "stream": "t", "schema": {}} for schema in "ab"]
    assert [stream.id.name for stream in parse_catalog({"streams": entries}).streams] == ["a.t", "b.t"]


@pytest.mark.parametrize(
    "text",
    [
        '{"streams": []}',
        'hello {"a": 1}\n{"level": "info"}\n{\n "streams": []\n}\nbye }{',
        'log without newline {"streams": []}',
        '{broken\n{"streams": []}',
    ],
)
def test_catalog_is_found_between_noise(text: str) -> None:
    assert find_document(text, lambda found: "streams" in found) == {"streams": []}
