"""What to read, written into a tap's catalog in every style that taps understand."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

from dativo_protocols import CatalogStream, ConfigError, StreamId

from dativo_engines._choices import suggestion
from dativo_engines._engine import ReadCatalog, Selection
from dativo_engines.singer._catalog import METHODS, primary_key


def selected_catalog(read: ReadCatalog) -> bytes:
    """The catalog file for `--catalog` and `--properties`: all streams, unknown keys intact, each selected or not.

    The selection stands in the metadata (breadcrumbs `[]` and `["properties", name, …]`) and in the older `selected` flags
    of the stream, its schema and the schema's properties; the replication in the metadata and in the older keys of the
    stream. A stream for which neither the tap nor the job names a replication method is read as FULL_TABLE.

    Raises:
        ConfigError: A selected stream or field does not exist.
    """
    by_id = {stream.id: stream for stream in read.catalog.streams}
    for wanted in read.selected:
        if wanted not in by_id:
            raise ConfigError(f"no stream `{wanted}`", hint=suggestion(str(wanted), [str(known) for known in by_id], "streams"))
    document = {key: value for key, value in read.catalog.raw.items() if key != "streams"}
    document["streams"] = [_entry(stream, read.selected.get(stream.id)) for stream in read.catalog.streams]
    return json.dumps(document, ensure_ascii=False).encode()


def everything(streams: tuple[CatalogStream, ...]) -> Mapping[StreamId, Selection]:
    """All streams, all fields, replicated as the tap would."""
    return {stream.id: Selection() for stream in streams}


def _entry(stream: CatalogStream, selection: Selection | None) -> dict[str, Any]:
    own: dict[str, Any] = {"stream": stream.id.name, "tap_stream_id": stream.id.name, "schema": stream.json_schema}
    entry: dict[str, Any] = copy.deepcopy({**own, **stream.raw})
    if not isinstance(entry["schema"], dict):
        entry["schema"] = {}
    if not isinstance(entry.get("metadata"), list):
        entry["metadata"] = []
    schema: dict[str, Any] = entry["schema"]
    metadata: list[Any] = entry["metadata"]
    nodes: dict[tuple[str, ...], dict[str, Any]] = {}
    for item in metadata:
        if isinstance(item, dict):
            if not isinstance(item.get("metadata"), dict):
                item["metadata"] = {}
            nodes[tuple(item.get("breadcrumb") or ())] = item["metadata"]

    def node_at(breadcrumb: tuple[str, ...]) -> dict[str, Any]:
        if breadcrumb not in nodes:
            nodes[breadcrumb] = {}
            metadata.append({"breadcrumb": list(breadcrumb), "metadata": nodes[breadcrumb]})
        return nodes[breadcrumb]

    root = node_at(())
    root["selected"] = entry["selected"] = schema["selected"] = selection is not None
    if selection is None:
        return entry
    _replicate(entry, root, selection)
    properties = schema.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    names = dict.fromkeys([*properties, *(crumb[1] for crumb in nodes if len(crumb) == 2 and crumb[0] == "properties")])
    if names:
        _check_fields(stream, selection, list(names))
    needed = {*primary_key(entry), *_keys(entry, root)}
    for name in names:
        node = node_at(("properties", name))
        described = properties.get(name)
        inclusion = node.get("inclusion") or (described.get("inclusion") if isinstance(described, dict) else None)
        wanted = selection.fields is None or name in selection.fields or name in needed or inclusion == "automatic"
        chosen = wanted and inclusion != "unsupported"
        node["selected"] = chosen
        if isinstance(described, dict):
            described["selected"] = chosen
        for crumb, nested in nodes.items():
            if len(crumb) > 2 and crumb[:2] == ("properties", name):
                nested["selected"] = chosen and nested.get("inclusion") != "unsupported"
    return entry


def _replicate(entry: dict[str, Any], root: dict[str, Any], selection: Selection) -> None:
    method = selection.replication_method
    if method is None and not (_known(root) or entry.get("replication_method") in METHODS):
        method = "FULL_TABLE"
    if method is not None:
        root["replication-method"] = entry["replication_method"] = method
        if "forced-replication-method" in root:
            root["forced-replication-method"] = method
    if selection.replication_key is not None:
        root["replication-key"] = entry["replication_key"] = selection.replication_key


def _known(root: Mapping[str, Any]) -> bool:
    return any(root.get(key) for key in ("replication-method", "forced-replication-method"))


def _keys(entry: Mapping[str, Any], root: Mapping[str, Any]) -> list[str]:
    return [key for key in (entry.get("replication_key"), root.get("replication-key")) if isinstance(key, str)]


def _check_fields(stream: CatalogStream, selection: Selection, names: list[str]) -> None:
    wanted = [*(selection.fields or ()), *filter(None, [selection.replication_key])]
    for field in wanted:
        if field not in names:
            raise ConfigError(
                f"stream `{stream.id}` has no field `{field}`",
                hint=suggestion(field, names, "fields"),
                facts={"stream": str(stream.id), "field": field},
            )
