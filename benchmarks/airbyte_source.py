"""Airbyte sources as contenders run them: a program that replays messages, and `airbyte-source-faker`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.generate import Shape, schema

PARALLELISM = 2
"""Processes that the faker makes rows with: one a core."""


def catalog_of(shape: Shape) -> dict[str, Any]:
    """The catalog of a stream that `benchmarks.generate` makes."""
    facts = {"supported_sync_modes": ["full_refresh", "incremental"], "source_defined_primary_key": [["id"]]}
    return {"streams": [{"name": shape, "json_schema": schema(shape), **facts}]}


def replay_source(folder: Path, messages: Path, shape: Shape) -> Path:
    """A source of four commands whose `read` is `cat`."""
    says: dict[str, dict[str, Any]] = {
        "spec": {"type": "SPEC", "spec": {"connectionSpecification": {"type": "object", "properties": {}}}},
        "check": {"type": "CONNECTION_STATUS", "connectionStatus": {"status": "SUCCEEDED"}},
        "discover": {"type": "CATALOG", "catalog": catalog_of(shape)},
    }
    cases = "".join(f"{command}) cat <<'END'\n{json.dumps(message)}\nEND\n;;\n" for command, message in says.items())
    program = folder / "source-replay"
    program.write_text(f'#!/bin/sh\ncase "$1" in\n{cases}read) exec cat {messages};;\nesac\n', "utf-8")
    program.chmod(0o755)
    return program


def faker_config(count: int) -> dict[str, Any]:
    return {"count": count, "seed": 1, "parallelism": PARALLELISM}


def faker_alone(program: Path, folder: Path, count: int) -> list[str]:
    """The command that lets the faker say everything, and throws it away. It is asked for its catalog beforehand."""
    config, catalog = folder / "config.json", folder / "catalog.json"
    config.write_text(json.dumps(faker_config(count)))
    said = subprocess.run([program, "discover", "--config", config], capture_output=True, check=True, text=True).stdout
    found = next(message["catalog"] for message in map(json.loads, said.splitlines()) if message["type"] == "CATALOG")
    modes = {"sync_mode": "full_refresh", "destination_sync_mode": "append"}
    catalog.write_text(json.dumps({"streams": [{"stream": stream, **modes} for stream in found["streams"]]}))
    return ["sh", "-c", f"exec {program} read --config {config} --catalog {catalog} > /dev/null"]
