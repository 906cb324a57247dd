"""What Airbyte sources say about themselves, as messages. The decoder calls these with the exact bytes of their lines."""

from __future__ import annotations

import json
from typing import Any

from dativo_protocols._codec import ArrowSchema, decode_arrow_schema
from dativo_protocols._messages import Catalog, CatalogStream, Control, Spec, StreamId
from dativo_protocols.errors import ConnectorError

METHODS = {"full_refresh": "FULL_TABLE", "incremental": "INCREMENTAL"}


def spec(raw: bytes) -> Spec:
    """The specification under `spec`."""
    said = _parsed(raw, "SPEC")
    schema = said.get("connectionSpecification")
    return Spec(schema if isinstance(schema, dict) else {}, said)


def control(raw: bytes, emitted_at: float | None) -> Control:
    """The configuration under `control.connectorConfig.config`."""
    return Control(_parsed(raw, "CONTROL"), emitted_at, raw)


def catalog(raw: bytes) -> Catalog:
    """The catalog under `catalog`."""
    said = _parsed(raw, "CATALOG")
    streams = said.get("streams")
    if not isinstance(streams, list):
        raise ConnectorError("CATALOG message: `catalog.streams` is missing or is not a list")
    return Catalog(tuple(_stream(stream, place) for place, stream in enumerate(streams)), said)


def _stream(stream: Any, place: int) -> CatalogStream:
    name = stream.get("name") if isinstance(stream, dict) else None
    if not isinstance(name, str):
        raise ConnectorError(f"CATALOG message: `catalog.streams[{place}].name` is missing or is not a string")
    namespace = stream.get("namespace")
    schema = stream.get("json_schema")
    modes = stream.get("supported_sync_modes") or ()
    cursor = _path(stream.get("default_cursor_field"))
    return CatalogStream(
        id=StreamId(name, namespace if isinstance(namespace, str) else None),
        json_schema=schema if isinstance(schema, dict) else {},
        primary_key=tuple(filter(None, map(_path, stream.get("source_defined_primary_key") or ()))),
        cursor=(cursor,) if cursor else (),
        replication_methods=tuple(METHODS[mode] for mode in modes if mode in METHODS),
        raw=stream,
        data=_arrow_schema(stream.get("arrow_schema"), place),
    )


def _arrow_schema(text: Any, place: int) -> ArrowSchema | None:
    if text is None:
        return None
    where = f"CATALOG message: `catalog.streams[{place}].arrow_schema`"
    if not isinstance(text, str):
        raise ConnectorError(f"{where} is not a string")
    try:
        return decode_arrow_schema(text)
    except ValueError as error:
        raise ConnectorError(f"{where}: {str(error).removeprefix('`arrow_schema`: ')}") from None


def _path(path: Any) -> str:
    return ".".join(map(str, path)) if isinstance(path, list) else ""


def _parsed(raw: bytes, message: str) -> dict[str, Any]:
    try:
        said = json.loads(raw)
    except ValueError as error:
        raise ConnectorError(f"{message} message is not JSON: {type(error).__name__}") from None
    if not isinstance(said, dict):
        raise ConnectorError(f"{message} message: an object is expected")
    return said
