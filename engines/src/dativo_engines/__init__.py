"""Engines run connectors: one module each, the same few names."""

from dativo_engines._engine import (
    Connector,
    ContainerOptions,
    DecodeOptions,
    Engine,
    EngineOptions,
    ImageRuntime,
    Isolation,
    ReadCatalog,
    Reading,
    ReplicationMethod,
    Selection,
)
from dativo_engines._redaction import Redactor
from dativo_engines._registry import available_engines, load_engine
from dativo_engines._sandbox_options import LEVELS, Level, SandboxFile, SandboxOptions
from dativo_engines.references import is_reference, parse_reference

__all__ = [
    "LEVELS",
    "Connector",
    "ContainerOptions",
    "DecodeOptions",
    "Engine",
    "EngineOptions",
    "ImageRuntime",
    "Isolation",
    "Level",
    "ReadCatalog",
    "Reading",
    "Redactor",
    "ReplicationMethod",
    "SandboxFile",
    "SandboxOptions",
    "Selection",
    "available_engines",
    "is_reference",
    "load_engine",
    "parse_reference",
]
