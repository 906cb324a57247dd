"""Connectors that print what they are told to, and what is read of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from dativo_engines import Engine, ReadCatalog
from dativo_protocols import Batch, ConnectorError, Message


def says(*lines: object, then: str = "") -> str:
    """A connector that prints these lines whatever it is told to do, then does something."""
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    return f"import json, os, signal, sys, time\nsys.stdout.write({text!r}); sys.stdout.flush()\n{then}\n"


def read_with(
    engine: Engine, config: Mapping[str, Any] | None, catalog: ReadCatalog | None, state: bytes | None
) -> tuple[list[Message], Any]:
    """The messages up to the end, or to the error, which is raised with them in `seen`."""
    seen: list[Message] = []
    with engine.read(config or {}, catalog, state) as reading:
        try:
            seen.extend(reading)
        except ConnectorError as error:
            error.facts["seen"] = seen
            raise
    return seen, reading


def rows(messages: list[Message]) -> list[dict[str, Any]]:
    return [row for message in messages if isinstance(message, Batch) for row in pa.record_batch(message.data).to_pylist()]
