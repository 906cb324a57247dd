"""A tap's catalog, read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from dativo_protocols import Catalog, CatalogStream, ConnectorError, StreamId

METHODS = ("FULL_TABLE", "INCREMENTAL", "LOG_BASED")


def root_metadata(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of the stream itself: the entry with an empty breadcrumb."""
    for item in _metadata(entry):
        if not item.get("breadcrumb"):
            found = item.get("metadata")
            return found if isinstance(found, dict) else {}
    return {}


def _metadata(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    items = entry.get("metadata")
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def parse_catalog(document: dict[str, Any]) -> Catalog:
    """The catalog as Dativo sees it; every entry keeps what the tap wrote in `raw`.

    Raises:
        ConnectorError: An entry has no name.
    """
    entries = [entry for entry in document["streams"] if isinstance(entry, dict)]
    for entry in entries:
        if not any(isinstance(entry.get(key), str) and entry[key] for key in ("stream", "tap_stream_id")):
            raise ConnectorError("the catalog has a stream without `stream` and `tap_stream_id`")
    guesses = [_message_name(entry) for entry in entries]
    count = Counter(guesses)
    return Catalog(
        tuple(
            _stream(entry, name if count[name] == 1 else str(entry.get("tap_stream_id") or name))
            for entry, name in zip(entries, guesses, strict=True)
        ),
        document,
    )


def _stream(entry: dict[str, Any], name: str) -> CatalogStream:
    root = root_metadata(entry)
    schema = entry.get("schema")
    return CatalogStream(
        id=StreamId(name),
        json_schema=schema if isinstance(schema, dict) else {},
        primary_key=primary_key(entry),
        cursor=tuple(_texts(entry.get("replication_key") or root.get("replication-key"))),
        replication_methods=_methods(entry, root),
        raw=entry,
    )


def primary_key(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """Key properties, wherever this tap writes them."""
    root = root_metadata(entry)
    for found in (entry.get("key_properties"), root.get("table-key-properties"), root.get("view-key-properties")):
        if names := tuple(_texts(found)):
            return names
    return ()


def _texts(value: object) -> Iterable[str]:
    if isinstance(value, str) and value:
        return [value]
    return [text for text in value if isinstance(text, str)] if isinstance(value, (list, tuple)) else []


def _methods(entry: Mapping[str, Any], root: Mapping[str, Any]) -> tuple[str, ...]:
    forced = root.get("forced-replication-method")
    if isinstance(forced, dict):
        forced = forced.get("replication-method")
    if forced in METHODS:
        return (str(forced),)
    found = {root.get("replication-method"), entry.get("replication_method")}
    if _texts(root.get("valid-replication-keys")):
        found |= {"FULL_TABLE", "INCREMENTAL"}
    return tuple(method for method in METHODS if method in found)


def own_method(stream: CatalogStream) -> str | None:
    """How the tap replicates the stream unless it is told otherwise."""
    root = root_metadata(stream.raw)
    for found in (stream.raw.get("replication_method"), root.get("replication-method"), root.get("forced-replication-method")):
        if found in METHODS:
            return str(found)
    return None


def _message_name(entry: Mapping[str, Any]) -> str:
    """The name that messages of this stream will carry, as far as the catalog tells.

    The specification says `stream`. Taps of databases qualify it by the schema instead, since it is not unique: their
    `tap_stream_id` then ends in the same two names.
    """
    stream = entry.get("stream") or entry.get("tap_stream_id")
    identity = str(entry.get("tap_stream_id") or stream)
    schema = root_metadata(entry).get("schema-name")
    if schema and stream != identity and identity.endswith(f"{schema}-{stream}"):
        return f"{schema}-{stream}"
    return str(stream)


def message_names(stream: CatalogStream) -> list[str]:
    """Every name that messages of this stream may carry, likeliest first."""
    entry, root = stream.raw, root_metadata(stream.raw)
    name, identity = entry.get("stream"), entry.get("tap_stream_id")
    schema, database = root.get("schema-name"), root.get("database-name")
    names = [stream.id.name, name, identity, entry.get("stream_alias"), entry.get("table_name")]
    if name:
        names += [f"{part}-{name}" for part in (schema, database) if part]
        names += [f"{database}-{schema}-{name}"] if schema and database else []
    return list(dict.fromkeys(text for text in names if isinstance(text, str) and text))
