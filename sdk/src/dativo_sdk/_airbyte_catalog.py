"""Catalogs as Airbyte writes them: what programs and shared libraries are told to read, and what they say there is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dativo_protocols import (
    Catalog,
    CatalogStream,
    ConfigError,
    StreamId,
    arrow_json_schema,
    decode_arrow_schema,
    encode_arrow_schema,
)

from dativo_sdk._read_catalog import ReadCatalog, Selection

MODES = {"FULL_TABLE": "full_refresh", "INCREMENTAL": "incremental", "LOG_BASED": "incremental"}
METHODS = {"full_refresh": "FULL_TABLE", "incremental": "INCREMENTAL"}


def descriptor(stream: StreamId) -> dict[str, str]:
    """A stream's identity."""
    return {"name": stream.name} if stream.namespace is None else {"name": stream.name, "namespace": stream.namespace}


def stream_entry(stream: CatalogStream) -> dict[str, Any]:
    """An AirbyteStream; its exact Arrow schema, where it is known, under `arrow_schema`."""
    stream = in_json(stream)
    modes = dict.fromkeys(MODES[method] for method in stream.replication_methods if method in MODES)
    entry: dict[str, Any] = {
        **stream.raw,
        **descriptor(stream.id),
        "json_schema": stream.json_schema,
        "supported_sync_modes": list(modes) or ["full_refresh"],
        "source_defined_primary_key": [path_of(stream, name) for name in stream.primary_key],
        "default_cursor_field": path_of(stream, stream.cursor[0]) if stream.cursor else [],
    }
    if "incremental" in modes and not stream.cursor:
        entry["source_defined_cursor"] = True
    if stream.data is not None:
        entry["arrow_schema"] = encode_arrow_schema(stream.data)
    return entry


def stream_of(entry: Mapping[str, Any], key: Any = None) -> CatalogStream:
    """What an AirbyteStream says.

    Args:
        key: A primary key that beats its own.

    Raises:
        ValueError: It has no name, or an Arrow schema that is none.
    """
    name, namespace, schema = entry.get("name"), entry.get("namespace"), entry.get("json_schema")
    if not isinstance(name, str):
        raise ValueError("`name` is missing or is no text")
    cursor = _joined(entry.get("default_cursor_field"))
    arrow = entry.get("arrow_schema")
    return CatalogStream(
        id=StreamId(name, namespace if isinstance(namespace, str) else None),
        json_schema=schema if isinstance(schema, dict) else {},
        primary_key=tuple(filter(None, map(_joined, key or entry.get("source_defined_primary_key") or ()))),
        cursor=(cursor,) if cursor else (),
        replication_methods=tuple(METHODS[mode] for mode in entry.get("supported_sync_modes") or () if mode in METHODS),
        raw=dict(entry),
        data=decode_arrow_schema(arrow) if isinstance(arrow, str) else None,
    )


def read_catalog_of(document: Mapping[str, Any], partition: bytes | None = None) -> ReadCatalog:
    """What a ConfiguredAirbyteCatalog says is to be read: fields are those in a stream's schema.

    Raises:
        ConfigError: It is none.
    """
    streams: list[CatalogStream] = []
    selected: dict[StreamId, Selection] = {}
    for place, entry in enumerate(document["streams"]):
        described = entry.get("stream")
        try:
            stream = stream_of(described if isinstance(described, dict) else {}, entry.get("primary_key"))
        except ValueError as error:
            raise ConfigError(f"catalog: `streams[{place}].stream`: {error}") from None
        streams.append(stream)
        selected[stream.id] = Selection(
            fields=tuple(stream.json_schema.get("properties") or ()) or None,
            replication_method="INCREMENTAL" if entry.get("sync_mode") == "incremental" else "FULL_TABLE",
            replication_key=_joined(entry.get("cursor_field")) or None,
        )
    return ReadCatalog(Catalog(tuple(streams)), selected, partition)


def configured_catalog(read: ReadCatalog) -> bytes:
    """The ConfiguredAirbyteCatalog that says what is to be read; the schema of a stream has the selected fields alone.

    Where nobody said how a stream is to be read, it is read incrementally, if it can be.
    """
    entries = []
    for stream in read.catalog.streams:
        selection = read.selected.get(stream.id)
        if selection is None:
            continue
        entry = stream_entry(as_selected(stream, selection))
        can = "INCREMENTAL" in stream.replication_methods or "LOG_BASED" in stream.replication_methods
        incremental = selection.replication_method != "FULL_TABLE" and (can or selection.replication_method is not None)
        cursor = selection.replication_key
        entries.append(
            {
                "stream": entry,
                "sync_mode": "incremental" if incremental else "full_refresh",
                "destination_sync_mode": "append",
                "cursor_field": path_of(stream, cursor) if cursor else entry["default_cursor_field"],
                "primary_key": entry["source_defined_primary_key"],
            }
        )
    return json.dumps({"streams": entries}, ensure_ascii=False).encode("utf-8", "surrogatepass")


def as_selected(stream: CatalogStream, selection: Selection) -> CatalogStream:
    """With the selected fields, its key and its cursor in its schema, and no others."""
    stream = in_json(stream)
    properties = stream.json_schema.get("properties")
    if selection.fields is None or not isinstance(properties, dict):
        return stream
    kept = {*selection.fields, *stream.primary_key, *stream.cursor, selection.replication_key}
    schema = {**stream.json_schema, "properties": {name: value for name, value in properties.items() if name in kept}}
    if isinstance(schema.get("required"), list):
        schema["required"] = [name for name in schema["required"] if name in kept]
    return replace(stream, json_schema=schema)


def in_json(stream: CatalogStream) -> CatalogStream:
    """With a JSON Schema: of one that has only an Arrow schema, what its rows are as JSON."""
    if stream.data is None or stream.json_schema.get("properties"):
        return stream
    return replace(stream, json_schema=arrow_json_schema(stream.data))


def path_of(stream: CatalogStream, name: str) -> list[str]:
    """A property's path: names within names are joined with `.`, which a property's own name may have too."""
    properties = stream.json_schema.get("properties")
    return [name] if "." not in name or (isinstance(properties, dict) and name in properties) else name.split(".")


def _joined(path: Any) -> str:
    return ".".join(map(str, path)) if isinstance(path, list) else path if isinstance(path, str) else ""
