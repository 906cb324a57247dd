"""Which streams a job reads, and how: its `source.streams` against what the connector offers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from fnmatch import fnmatchcase

from dativo_engines import ReadCatalog, ReplicationMethod, Selection
from dativo_protocols import Catalog, CatalogStream, StreamId, frozen

from dativo._document import Document, close_matches
from dativo._job import StreamConfig

__all__ = ["ReadPlan", "StreamRules", "plan_read", "unread"]

METHODS: Mapping[str, ReplicationMethod] = {
    "full_refresh": "FULL_TABLE",
    "incremental": "INCREMENTAL",
    "log_based": "LOG_BASED",
}
PLACE = ("source", "streams")


class StreamRules:
    """A job's `source.streams`: exact names and patterns; of all that match a stream, the last one decides alone.

    Without any, every stream is read as the connector and the target like.
    """

    def __init__(self, streams: Mapping[str, StreamConfig] | None) -> None:
        self.streams = streams

    def find(self, stream: StreamId) -> StreamConfig | None:
        """How the stream is configured, or None when the job does not read it."""
        if self.streams is None:
            return StreamConfig()
        found = [config for name, config in self.streams.items() if matches(name, stream)]
        return found[-1] if found else None

    def names(self) -> list[str]:
        """Entries that name one stream rather than a pattern."""
        return [name for name in self.streams or () if not any(character in name for character in "*?[")]


@frozen
class ReadPlan:
    """What is asked of the engine.

    Attributes:
        catalog: What to read; None runs the connector without a catalog.
        fields, types: For `DecodeOptions`, by the name that a stream has in messages.
        bookmarks: Names under which a stream's bookmark may stand in a state, by identity.
        whole: Streams that are read from their beginning each time, as far as that is known, and whether they have a key.
    """

    catalog: ReadCatalog | None
    fields: Mapping[str, tuple[str, ...]]
    types: Mapping[str, Mapping[str, str]]
    bookmarks: Mapping[StreamId, frozenset[str]]
    whole: Mapping[StreamId, bool] = field(default_factory=dict)


def matches(name: str, stream: StreamId) -> bool:
    """Whether an entry of `source.streams` means the stream."""
    return name in (stream.name, str(stream)) or fnmatchcase(stream.name, name) or fnmatchcase(str(stream), name)


def plan_read(
    rules: StreamRules, catalog: Catalog | None, document: Document, chosen: Mapping[StreamId, Selection] | None = None
) -> ReadPlan:
    """Applies the rules to a catalog, or to none.

    Args:
        chosen: How streams are read where the rules do not say.

    Raises:
        ConfigError: An entry matches no stream, a stream has no such field; without a catalog, fields or types are given for a
            pattern.
    """
    if catalog is None:
        return _without_catalog(rules, document)
    offered = [stream.id for stream in catalog.streams]
    for name in rules.streams or ():
        if not any(matches(name, stream) for stream in offered):
            known = [str(stream) for stream in offered]
            hint = close_matches(name, known) or f"it offers: {_listed(known)}"
            raise document.error((*PLACE, name), "the connector offers no such stream", hint=hint)
    fields: dict[str, tuple[str, ...]] = {}
    types: dict[str, Mapping[str, str]] = {}
    selected: dict[StreamId, Selection] = {}
    whole: dict[StreamId, bool] = {}
    for stream in catalog.streams:
        config = rules.find(stream.id)
        if config is None:
            continue
        _check_fields(stream, config, document)
        usual = (chosen or {}).get(stream.id, Selection())
        method = METHODS[config.mode] if config.mode else usual.replication_method
        cursor = config.cursor or (usual.replication_key if method == usual.replication_method else None)
        selected[stream.id] = Selection(None if config.fields is None else tuple(config.fields), method, cursor)
        if _is_whole(stream, method, cursor):
            whole[stream.id] = bool(stream.primary_key if config.primary_key is None else config.primary_key)
        if config.types:
            types[str(stream.id)] = config.types
        if config.fields is not None:
            fields[str(stream.id)] = _needed(config, stream.primary_key, stream.cursor)
    bookmarks = {stream.id: frozenset(filter(None, (stream.id.name, _tap_id(stream)))) for stream in catalog.streams}
    return ReadPlan(ReadCatalog(catalog, selected), fields, types, bookmarks, whole)


def _is_whole(stream: CatalogStream, method: ReplicationMethod | None, cursor: str | None) -> bool:
    """A tap that is not asked chooses for itself; of an Airbyte source it is known what it does then."""
    if method is not None or "supported_sync_modes" not in stream.raw:
        return method == "FULL_TABLE"
    has_cursor = bool(cursor or stream.cursor) or stream.raw.get("source_defined_cursor") is True
    return not ("INCREMENTAL" in stream.replication_methods and has_cursor)


def _without_catalog(rules: StreamRules, document: Document) -> ReadPlan:
    names = rules.names()
    for name, config in (rules.streams or {}).items():
        if name not in names and (config.fields is not None or config.types):
            raise document.error(
                (*PLACE, name), "without discovery, `fields` and `types` need the stream's own name, not a pattern"
            )
    chosen = {name: config for name, config in (rules.streams or {}).items() if name in names}
    fields = {name: _needed(config, (), ()) for name, config in chosen.items() if config.fields is not None}
    return ReadPlan(None, fields, {name: config.types for name, config in chosen.items() if config.types}, {})


def _needed(config: StreamConfig, primary_key: Iterable[str], cursor: Iterable[str]) -> tuple[str, ...]:
    key = primary_key if config.primary_key is None else config.primary_key
    own = [config.cursor] if config.cursor else cursor
    return tuple(dict.fromkeys([*(config.fields or ()), *key, *own]))


def _check_fields(stream: CatalogStream, config: StreamConfig, document: Document) -> None:
    properties = stream.json_schema.get("properties")
    if not isinstance(properties, Mapping) or not properties:
        return
    entry = str(stream.id)
    wanted = {
        "fields": config.fields or [],
        "primary_key": config.primary_key or [],
        "cursor": [config.cursor] if config.cursor else [],
        "types": list(config.types),
    }
    for key, names in wanted.items():
        for name in names:
            if name not in properties:
                hint = close_matches(name, properties) or f"it has: {_listed(properties)}"
                raise document.error((*PLACE, entry, key), f"stream `{stream.id}` has no property `{name}`", hint=hint)


def _tap_id(stream: CatalogStream) -> str | None:
    found = stream.raw.get("tap_stream_id")
    return found if isinstance(found, str) else None


def _listed(names: Iterable[str], most: int = 20) -> str:
    listed = [f"`{name}`" for name in names]
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")


def unread(rules: StreamRules, seen: Iterable[StreamId]) -> list[str]:
    """Streams that the job names and that the connector, run without a catalog, never announced."""
    announced = list(seen)
    return [name for name in rules.names() if not any(matches(name, stream) for stream in announced)]
