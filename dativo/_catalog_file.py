"""Catalogs that take the place of a discovery: a file as Singer taps or Airbyte sources write it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from dativo_engines import ReplicationMethod, Selection
from dativo_protocols import Catalog, StreamId, frozen
from dativo_protocols.errors import ConfigError, ConnectorError

__all__ = ["CatalogFile", "read_catalog"]

METHODS: Mapping[str, ReplicationMethod] = {"full_refresh": "FULL_TABLE", "incremental": "INCREMENTAL"}


@frozen
class CatalogFile:
    """A catalog that was read.

    Attributes:
        chosen: How a configured catalog says that its streams are read; a job beats it.
    """

    catalog: Catalog
    chosen: Mapping[StreamId, Selection] = field(default_factory=dict)


def read_catalog(path: Path, engine: str) -> CatalogFile:
    """A catalog of a Singer tap; an `AirbyteCatalog`, or a configured one.

    Args:
        engine: By which it is read.

    Raises:
        ConfigError: There is no such file, it is no catalog, or one of another engine.
    """
    facts = {"file": str(path)}
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"cannot read catalog `{path}`: {error.strerror}", facts=facts) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"catalog `{path}` is not JSON: {error}", facts=facts) from None
    # As a line of a source's output: whoever saved that has it around the catalog.
    if isinstance(found, dict) and isinstance(found.get("catalog"), dict):
        found = found["catalog"]
    if not isinstance(found, dict) or not isinstance(found.get("streams"), list):
        raise ConfigError(f"catalog `{path}` has no list `streams`", facts=facts)
    entries = [entry for entry in found["streams"] if isinstance(entry, dict)]
    airbyte = any(isinstance(entry.get("stream"), dict) or "json_schema" in entry for entry in entries)
    if entries and airbyte != (engine != "singer"):
        form, other = ("an Airbyte source", "singer") if airbyte else ("a Singer tap", engine)
        raise ConfigError(f"catalog `{path}` is that of {form}, but the connector is run by engine `{other}`", facts=facts)
    try:
        return _airbyte(entries) if airbyte else _singer(found)
    except ConnectorError as error:
        raise ConfigError(f"catalog `{path}`: {error.message}", hint=error.hint, facts=facts) from None


def _singer(document: dict[str, Any]) -> CatalogFile:
    from dativo_engines.singer import parse_catalog

    return CatalogFile(parse_catalog(document))


def _airbyte(entries: list[dict[str, Any]]) -> CatalogFile:
    catalog = _parsed([_described(entry) for entry in entries])
    chosen: dict[StreamId, Selection] = {}
    for entry in entries:
        if _is_configured(entry):
            chosen[StreamId(entry["stream"].get("name"), entry["stream"].get("namespace"))] = _selection(entry)
    return CatalogFile(catalog, chosen)


def _is_configured(entry: Mapping[str, Any]) -> bool:
    return isinstance(entry.get("stream"), dict)


def _described(entry: dict[str, Any]) -> dict[str, Any]:
    """The stream's description, with the key that a configured catalog gives it."""
    if not _is_configured(entry):
        return entry
    key = {"source_defined_primary_key": entry["primary_key"]} if entry.get("primary_key") else {}
    return {**entry["stream"], **key}


def _selection(entry: Mapping[str, Any]) -> Selection:
    cursor = [part for part in entry.get("cursor_field") or () if isinstance(part, str)]
    method = METHODS.get(str(entry.get("sync_mode")))
    return Selection(None, method, ".".join(cursor) if cursor and method == "INCREMENTAL" else None)


def _parsed(streams: list[dict[str, Any]]) -> Catalog:
    """As if a source had said it: there is one reader of catalogs."""
    from dativo_protocols import AirbyteDecoder

    line = json.dumps({"type": "CATALOG", "catalog": {"streams": streams}}).encode() + b"\n"
    with TemporaryFile() as file:
        file.write(line)
        file.seek(0)
        decoder = AirbyteDecoder(file.fileno())
        found = [message for message in decoder if isinstance(message, Catalog)]
        decoder.close()
    if not found:
        raise ConnectorError("it is no catalog of an Airbyte source")
    return found[-1]
