"""Engines run connectors: one module each, the same few names."""

from dativo_engines._engine import (
    Connector,
    DecodeOptions,
    Engine,
    EngineOptions,
    ReadCatalog,
    Reading,
    ReplicationMethod,
    Selection,
)

__all__ = [
    "Connector",
    "DecodeOptions",
    "Engine",
    "EngineOptions",
    "ReadCatalog",
    "Reading",
    "ReplicationMethod",
    "Selection",
]
