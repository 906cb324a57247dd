"""What to read, as a configured catalog."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from dativo_protocols import CatalogStream, ConfigError, StreamId, frozen

from dativo_engines._choices import suggestion
from dativo_engines._engine import ReadCatalog, Selection

SyncMode = Literal["full_refresh", "incremental"]


@frozen
class ConfiguredCatalog:
    """A catalog file for `--catalog`.

    Attributes:
        data: The file.
        whole: The same with the whole schema of each stream, for the decoder: sources may send what was not selected.
        streams: The streams in it.
        fields: By stream, the properties that are read, where not all are.
    """

    data: bytes
    whole: bytes
    streams: tuple[StreamId, ...]
    fields: Mapping[StreamId, tuple[str, ...]]


def configured_catalog(read: ReadCatalog, *, sync_id: int = 0) -> ConfiguredCatalog:
    """The selected streams with their sync mode, cursor, key and generation; unknown keys of a stream stay as they are.

    Fields are selected by leaving the others out of the stream's schema, as Airbyte's platform does. A full refresh is a new
    generation that replaces all before it.

    Raises:
        ConfigError: A selected stream or field does not exist, or a stream cannot be read in the way that is asked for.
    """
    by_id = {stream.id: stream for stream in read.catalog.streams}
    for wanted in read.selected:
        if wanted not in by_id:
            raise ConfigError(f"no stream `{wanted}`", hint=suggestion(str(wanted), map(str, by_id), "streams"))
    entries, whole, fields = [], [], dict[StreamId, tuple[str, ...]]()
    for stream in read.catalog.streams:
        selection = read.selected.get(stream.id)
        if selection is not None:
            entry = _entry(stream, selection, sync_id)
            whole.append(entry)
            if selection.fields is not None:
                fields[stream.id] = _needed(stream, selection)
                entry = {**entry, "stream": {**entry["stream"], "json_schema": _pruned(stream, selection)}}
            entries.append(entry)
    streams = tuple(stream.id for stream in read.catalog.streams if stream.id in read.selected)
    return ConfiguredCatalog(_file(entries), _file(whole), streams, fields)


def _file(entries: list[dict[str, Any]]) -> bytes:
    return json.dumps({"streams": entries}, ensure_ascii=False).encode()


def sync_mode(stream: CatalogStream, selection: Selection) -> SyncMode:
    """How the stream is read: as asked for, else incrementally where source and cursor allow it.

    Raises:
        ConfigError: It cannot be read as asked for.
    """
    can = stream.replication_methods
    if selection.replication_method is None:
        return "incremental" if "INCREMENTAL" in can and (_cursor(stream, selection) or _fixed(stream)) else "full_refresh"
    if selection.replication_method == "FULL_TABLE":
        if can and "FULL_TABLE" not in can:
            raise _refused(stream, "it can only be read incrementally", "set its mode to `incremental`")
        return "full_refresh"
    if "INCREMENTAL" not in can:
        raise _refused(stream, "it cannot be read incrementally", "set its mode to `full_refresh`")
    if not _cursor(stream, selection) and not _fixed(stream):
        names = ", ".join(f"`{name}`" for name in list(_properties(stream))[:20])
        raise _refused(stream, "it has no cursor of its own", f"name one of its fields as its cursor: {names}")
    return "incremental"


def _entry(stream: CatalogStream, selection: Selection, sync_id: int) -> dict[str, Any]:
    mode = sync_mode(stream, selection)
    described = {"supported_sync_modes": ["full_refresh"], **stream.raw, "name": stream.id.name}
    described["json_schema"] = stream.json_schema
    generation = sync_id if mode == "full_refresh" else 0
    return {
        "stream": described,
        "sync_mode": mode,
        "destination_sync_mode": "overwrite" if mode == "full_refresh" else "append",
        "cursor_field": _cursor(stream, selection),
        "primary_key": _primary_key(stream),
        "generation_id": generation,
        "minimum_generation_id": generation,
        "sync_id": sync_id,
    }


def _cursor(stream: CatalogStream, selection: Selection) -> list[str]:
    """Path of the cursor."""
    own = [part for part in stream.raw.get("default_cursor_field") or [] if isinstance(part, str)]
    named = selection.replication_key
    if named is None:
        return own
    if _fixed(stream) and own and named != ".".join(own):
        raise _refused(stream, f"its cursor is `{'.'.join(own)}`, which the source does not let anybody change", "leave it out")
    properties = _properties(stream)
    path = [named] if named in properties or "." not in named else named.split(".")
    if properties and path[0] not in properties:
        raise _no_field(stream, named)
    return path


def _fixed(stream: CatalogStream) -> bool:
    return stream.raw.get("source_defined_cursor") is True


def _primary_key(stream: CatalogStream) -> list[list[str]]:
    """Paths of the key; older sources write names where paths are due."""
    found = stream.raw.get("source_defined_primary_key") or []
    return [[part] if isinstance(part, str) else list(part) for part in found]


def _properties(stream: CatalogStream) -> Mapping[str, Any]:
    found = stream.json_schema.get("properties")
    return found if isinstance(found, dict) else {}


def _needed(stream: CatalogStream, selection: Selection) -> tuple[str, ...]:
    """The fields that are asked for, and those without which they are worth nothing: key and cursor."""
    paths = [*_primary_key(stream), _cursor(stream, selection)]
    return tuple(dict.fromkeys([*(selection.fields or ()), *(path[0] for path in paths if path)]))


def _pruned(stream: CatalogStream, selection: Selection) -> dict[str, Any]:
    schema, properties = dict(stream.json_schema), _properties(stream)
    if not properties:
        return schema
    for field in selection.fields or ():
        if field not in properties:
            raise _no_field(stream, field)
    kept = _needed(stream, selection)
    schema["properties"] = {name: described for name, described in properties.items() if name in kept}
    if isinstance(schema.get("required"), list):
        schema["required"] = [name for name in schema["required"] if name in kept]
    return schema


def _no_field(stream: CatalogStream, field: str) -> ConfigError:
    return ConfigError(
        f"stream `{stream.id}` has no field `{field}`",
        hint=suggestion(field, _properties(stream), "fields"),
        facts={"stream": str(stream.id), "field": field},
    )


def _refused(stream: CatalogStream, why: str, hint: str) -> ConfigError:
    return ConfigError(f"stream `{stream.id}`: {why}", hint=hint, facts={"stream": str(stream.id)})
