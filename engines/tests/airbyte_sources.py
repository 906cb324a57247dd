"""Airbyte sources of a few lines, written as real programs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dativo_engines import Connector, EngineOptions, ReadCatalog, Selection
from dativo_engines.airbyte import AirbyteEngine
from dativo_protocols import Catalog, CatalogStream, Message, StreamId

from .readings import read_with

SCHEMA = {"type": "object", "properties": {"id": {"type": "integer"}, "name": {"type": ["null", "string"]}}}


def log(level: str, text: str) -> dict[str, Any]:
    return {"type": "LOG", "log": {"level": level, "message": text}}


def status(stream: str, value: str) -> dict[str, Any]:
    described = {"stream_descriptor": {"name": stream}, "status": value}
    return {"type": "TRACE", "trace": {"type": "STREAM_STATUS", "emitted_at": 1.5, "stream_status": described}}


def error(message: str, kind: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "type": "TRACE",
        "trace": {"type": "ERROR", "emitted_at": 1.5, "error": {"message": message, "failure_type": kind, **more}},
    }


def record(stream: str, number: int) -> dict[str, Any]:
    return {"type": "RECORD", "record": {"stream": stream, "data": {"id": number}, "emitted_at": 1}}


def state(stream: str, data: object, count: float | None = None) -> dict[str, Any]:
    said: dict[str, Any] = {"type": "STREAM", "stream": {"stream_descriptor": {"name": stream}, "stream_state": data}}
    return {"type": "STATE", "state": said if count is None else {**said, "sourceStats": {"recordCount": count}}}


def control(**config: Any) -> dict[str, Any]:
    said = {"type": "CONNECTOR_CONFIG", "emitted_at": 1.0, "connectorConfig": {"config": config}}
    return {"type": "CONTROL", "control": said}


def engine(program: str, tmp_path: Path, **options: Any) -> AirbyteEngine:
    options.setdefault("tmp_dir", tmp_path / "private")
    return AirbyteEngine(Connector(f"airbyte:{program}", program), EngineOptions(tmp_path / "cache", **options))


def catalog(*names: str, fields: tuple[str, ...] | None = None) -> ReadCatalog:
    streams = tuple(
        CatalogStream(StreamId(name), SCHEMA, raw={"name": name, "json_schema": SCHEMA, "supported_sync_modes": ["full_refresh"]})
        for name in names
    )
    return ReadCatalog(Catalog(streams), {stream.id: Selection(fields=fields) for stream in streams})


def read(
    program: str,
    tmp_path: Path,
    *,
    streams: ReadCatalog | None = None,
    state: bytes | None = None,
    config: Mapping[str, Any] | None = None,
    **options: Any,
) -> tuple[list[Message], Any]:
    """See `read_with`."""
    return read_with(engine(program, tmp_path, **options), config, streams or catalog("t"), state)
