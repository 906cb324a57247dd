"""A program as a Singer tap."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from dativo_protocols import (
    Catalog,
    CatalogStream,
    ConnectionStatus,
    DativoError,
    Estimate,
    Rejects,
    State,
    StreamId,
    encode_json_lines,
)

from dativo_sdk._airbyte_catalog import in_json
from dativo_sdk._config import config_schema
from dativo_sdk._program.airbyte import words
from dativo_sdk._program.described import Described
from dativo_sdk._program.inputs import ON_BAD_ROWS, OnBadRows
from dativo_sdk._program.output import Output
from dativo_sdk._program.singer_state import bookmarks
from dativo_sdk._program.voice import line, now_ms, records, refuse_bad_rows, timestamp
from dativo_sdk._read_catalog import ReadCatalog, Selection
from dativo_sdk._reader import Piece
from dativo_sdk._saved_state import SavedState

_TYPED_BY = {"type", "anyOf", "oneOf", "allOf", "$ref", "enum", "const"}
_ANY_TYPE = ["null", "object", "array", "string", "number", "boolean"]
_METHODS = ("FULL_TABLE", "INCREMENTAL", "LOG_BASED")


class SingerVoice:
    """Speaks as a tap: messages on stdout, logs and errors on stderr."""

    def __init__(self, output: Output) -> None:
        self.on_bad_rows: OnBadRows = "fail"
        self._output = output
        self._names: dict[StreamId, str] = {}
        # Streams that are read whole each time, which no state covers, and those with rows that no state covers yet.
        self._whole: set[StreamId] = set()
        self._open: set[StreamId] = set()
        self._waiting: SavedState | None = None

    def spec(self, plugin: type[Any]) -> None:
        """What `--about` says."""
        described = Described.of(plugin)
        schema = config_schema(plugin)
        schema["properties"] = {**schema.get("properties", {}), ON_BAD_ROWS: {"enum": ["fail", "log"], "default": "fail"}}
        about = {
            "name": described.name,
            "description": described.description,
            "version": described.version,
            "sdk_version": described.api_version,
            "capabilities": ["about", "catalog", "discover", "properties", "state"],
            "settings": schema,
        }
        self._output.line(json.dumps(about, indent=2).encode() + b"\n")

    def status(self, status: ConnectionStatus) -> None:
        """A tap has no message for it."""
        print(status.message, file=sys.stderr)

    def catalog(self, catalog: Catalog) -> None:
        """A document, not a message."""
        document = {"streams": [_entry(stream) for stream in catalog.streams]}
        self._output.line(json.dumps(document, ensure_ascii=False, indent=2).encode("utf-8", "surrogatepass") + b"\n")

    def estimate(self, estimate: Estimate) -> None:
        """A tap has no message for it."""

    def started(self, streams: Sequence[CatalogStream]) -> None:
        """SCHEMA, for each."""
        for stream in map(in_json, streams):
            name = self._names[stream.id] = singer_name(stream.id)
            if not {"INCREMENTAL", "LOG_BASED"} & {*stream.replication_methods}:
                self._whole.add(stream.id)
            said: dict[str, Any] = {"type": "SCHEMA", "stream": name, "schema": _object_schema(stream.json_schema)}
            said["key_properties"] = list(stream.primary_key)
            if stream.cursor:
                said["bookmark_properties"] = list(stream.cursor)
            self._output.line(line(said))

    def piece(self, piece: Piece) -> None:
        """RECORD lines."""
        if piece.stream not in self._whole:
            self._open.add(piece.stream)
        if isinstance(piece, Rejects):
            print(f"WARNING {refuse_bad_rows(piece, self.on_bad_rows)}", file=sys.stderr)
            return
        name = json.dumps(self._names.get(piece.stream) or singer_name(piece.stream), ensure_ascii=False)
        before = f'{{"type":"RECORD","stream":{name},"time_extracted":"{timestamp(now_ms())}","record":'
        self._output.line(records(encode_json_lines(piece.data), before.encode("utf-8", "surrogatepass"), b"}"))

    def state(self, state: State, saved: SavedState) -> None:
        """STATE, whole: a tap's state is of all streams, so it waits until none has rows that its own does not cover."""
        if state.stream is None:
            self._open.clear()
        else:
            self._open.discard(state.stream)
        self._waiting = saved
        if not self._open:
            self._say_state()

    def ended(self, error: BaseException | None) -> None:
        """The state that still waits: what no state covers is covered by the end."""
        if error is None:
            self._say_state()

    def failed(self, error: BaseException) -> None:
        """A line on stderr, below the traceback of what the plugin did not expect."""
        cause = error.__cause__ if isinstance(error, DativoError) else error
        if cause is not None:
            traceback.print_exception(cause)
        print(f"CRITICAL {error if isinstance(error, DativoError) else words(error)}", file=sys.stderr)

    def _say_state(self) -> None:
        if self._waiting is not None:
            self._output.line(b'{"type":"STATE","value":%b}\n' % bookmarks(self._waiting))
            self._waiting = None


def singer_name(stream: StreamId) -> str:
    """Singer has no namespaces."""
    return stream.name if stream.namespace is None else f"{stream.namespace}-{stream.name}"


def selected_streams(catalog: Catalog, entries: Sequence[Mapping[str, Any]]) -> ReadCatalog:
    """What a tap's catalog selects of the streams there are: by its metadata, or by the older flags in its schemas."""
    known = {singer_name(stream.id): stream for stream in catalog.streams}
    selected: dict[StreamId, Selection] = {}
    for entry in entries:
        nodes = _nodes(entry)
        root = nodes.get((), {})
        stream = known.get(str(entry.get("tap_stream_id") or entry.get("stream")))
        if stream is not None and _is_selected(root, entry, entry.get("schema"), otherwise=False):
            method = root.get("replication-method") or entry.get("replication_method")
            key = root.get("replication-key") or entry.get("replication_key")
            selected[stream.id] = Selection(
                _fields(entry, nodes), method if method in _METHODS else None, key if isinstance(key, str) else None
            )
    return ReadCatalog(catalog, selected)


def _entry(stream: CatalogStream) -> dict[str, Any]:
    stream = in_json(stream)
    name = singer_name(stream.id)
    schema = _object_schema(stream.json_schema)
    root: dict[str, Any] = {"inclusion": "available", "table-key-properties": list(stream.primary_key)}
    method = next((method for method in ("INCREMENTAL", "LOG_BASED", "FULL_TABLE") if method in stream.replication_methods), None)
    if stream.cursor:
        root["valid-replication-keys"] = list(stream.cursor)
    entry: dict[str, Any] = {"tap_stream_id": name, "stream": name, "schema": schema, "key_properties": list(stream.primary_key)}
    if method is not None:
        root["replication-method"] = entry["replication_method"] = method
        if method == "INCREMENTAL" and stream.cursor:
            root["replication-key"] = entry["replication_key"] = stream.cursor[0]
    automatic = {*stream.primary_key, *stream.cursor}
    fields = [
        {"breadcrumb": ["properties", field], "metadata": {"inclusion": "automatic" if field in automatic else "available"}}
        for field in schema["properties"]
    ]
    entry["metadata"] = [{"breadcrumb": [], "metadata": root}, *fields]
    return entry


def _object_schema(schema: dict[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for name, described in (schema.get("properties") or {}).items():
        untyped = isinstance(described, dict) and not _TYPED_BY & described.keys()
        # Some targets drop a property without types, or rows that have it.
        properties[name] = {**described, "type": _ANY_TYPE} if untyped else described
    return {"type": "object", **schema, "properties": properties}


def _nodes(entry: Mapping[str, Any]) -> dict[tuple[str, ...], dict[str, Any]]:
    listed = entry.get("metadata")
    items = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    return {tuple(item.get("breadcrumb") or ()): item["metadata"] for item in items if isinstance(item.get("metadata"), dict)}


def _fields(entry: Mapping[str, Any], nodes: Mapping[tuple[str, ...], dict[str, Any]]) -> tuple[str, ...] | None:
    schema = entry.get("schema")
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict) or not properties:
        return None
    chosen = []
    for name, described in properties.items():
        node = nodes.get(("properties", name), {})
        inclusion = node.get("inclusion")
        if inclusion == "automatic" or (inclusion != "unsupported" and _is_selected(node, {}, described, otherwise=True)):
            chosen.append(name)
    return None if len(chosen) == len(properties) else tuple(chosen)


def _is_selected(node: Mapping[str, Any], entry: Mapping[str, Any], schema: Any, *, otherwise: bool) -> bool:
    older = schema.get("selected") if isinstance(schema, dict) else None
    for said in (node.get("selected"), entry.get("selected"), older, node.get("selected-by-default")):
        if isinstance(said, bool):
            return said
    return otherwise
