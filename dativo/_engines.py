"""What runs and sources ask of engines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dativo_engines import Connector, Engine, EngineOptions, load_engine
from dativo_protocols import Catalog
from dativo_protocols.errors import ConnectorError

__all__ = ["decoder_budget", "discover_or_none", "new_engine"]

LEAST_DECODER_BYTES = 32 << 20
DECODER_SHARE = 16
TEXT_ENGINES = ("singer", "airbyte")
"""Whose connectors send text: a larger share makes larger pieces of it, which are decoded faster."""
PARALLEL_SHARE = 4
"""Parts wait for their turn in memory: small ones would spend their time on being begun."""


def decoder_budget(memory: int, engine: str, parallel: int = 1) -> int:
    """The share of the whole process's memory that what comes from a connector of this engine gets, in bytes."""
    if parallel > 1:
        return max(LEAST_DECODER_BYTES, memory // PARALLEL_SHARE)
    share = max(LEAST_DECODER_BYTES, memory // DECODER_SHARE)
    return share if engine in TEXT_ENGINES else share // 2


def discover_or_none(engine: Engine, config: Mapping[str, Any], log: Callable[[str, str], None] | None) -> Catalog | None:
    """What the connector offers, or None when it has no discovery: it is then run without a catalog.

    Raises:
        ConnectorError: It failed.
    """
    try:
        return engine.discover(config)
    except ConnectorError as error:
        if error.facts.get("unsupported") != "discover":
            raise
        if log is not None:
            log("info", f"{error.message}: it is run without a catalog")
        return None


def new_engine(name: str, connector: Connector, options: EngineOptions) -> Engine:
    """The engine of that name for one connector.

    Raises:
        ConfigError: There is no such engine.
    """
    return load_engine(name)(connector, options)
