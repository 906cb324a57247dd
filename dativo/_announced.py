"""What Dativo says in a connector's place, and its decoder: the schemas of a catalog, and records from a quarantine."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from dativo_protocols import AirbyteDecoder, CatalogStream, SingerDecoder, StreamId

from dativo._job import ResolvedJob
from dativo._selection import ReadPlan

__all__ = ["open_decoder", "preamble", "record_line"]


def preamble(job: ResolvedJob, read: ReadPlan, streams: Iterable[StreamId] | None = None) -> bytes:
    """Lines that announce the selected streams, or those of them that are named, as the job's connector would.

    An Airbyte source announces nothing: its decoder knows the catalog.
    """
    if read.catalog is None or job.connector.engine != "singer":
        return b""
    wanted = read.catalog.selected.keys() if streams is None else read.catalog.selected.keys() & set(streams)
    return b"".join(_schema_line(stream) for stream in read.catalog.catalog.streams if stream.id in wanted)


def record_line(job: ResolvedJob, stream: StreamId, record: bytes) -> bytes:
    """The line in which the job's connector would say a record; the record's own bytes stand in it as they are."""
    if job.connector.engine == "singer":
        return b'{"type":"RECORD","stream":%b,"record":%b}\n' % (_text(stream.name), record)
    namespace = b"null" if stream.namespace is None else _text(stream.namespace)
    said = b'{"type":"RECORD","record":{"stream":%b,"namespace":%b,"emitted_at":0,"data":%b}}\n'
    return said % (_text(stream.name), namespace, record)


def open_decoder(job: ResolvedJob, read: ReadPlan, descriptor: int, **options: Any) -> SingerDecoder | AirbyteDecoder:
    """The decoder of the job's engine, with the job's fields and types.

    Raises:
        ConfigError: The catalog, or a type, is none.
    """
    options = {"nested": job.job.nested, "extra": job.job.extra, **options}
    if job.connector.engine == "singer":
        fields = {name: list(chosen) for name, chosen in read.fields.items()}
        types = {name: dict(chosen) for name, chosen in read.types.items()}
        return SingerDecoder(descriptor, fields=fields, types=types, **options)
    from dativo_engines.airbyte import configured_catalog

    if read.catalog is None:
        return AirbyteDecoder(descriptor, **options)
    configured = configured_catalog(read.catalog)
    by_stream: dict[str, Any] = {
        "fields": {**_by_stream(read.fields, configured.streams), **configured.fields},
        "types": {stream: dict(chosen) for stream, chosen in _by_stream(read.types, configured.streams).items()},
    }
    return AirbyteDecoder(descriptor, catalog=configured.whole, **by_stream, **options)


def _by_stream(choices: Mapping[str, Any], streams: Iterable[StreamId]) -> dict[StreamId, Any]:
    return {stream: choices[str(stream)] for stream in streams if str(stream) in choices}


def _schema_line(stream: CatalogStream) -> bytes:
    key = list(stream.primary_key)
    line = {"type": "SCHEMA", "stream": stream.id.name, "schema": stream.json_schema, "key_properties": key}
    cursor = {"bookmark_properties": list(stream.cursor)} if stream.cursor else {}
    return json.dumps({**line, **cursor}).encode("utf-8", "surrogatepass") + b"\n"


def _text(name: str) -> bytes:
    return json.dumps(name).encode()
