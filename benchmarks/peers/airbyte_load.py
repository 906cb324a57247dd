"""PyAirbyte loads the messages that an Airbyte source replays into DuckDB: `airbyte_load.py MESSAGES OUT_FOLDER`."""

import json
import os
import sys
from pathlib import Path

os.environ |= {"AIRBYTE_OFFLINE_MODE": "1", "DO_NOT_TRACK": "1"}

import airbyte

messages, folder = sys.argv[1], Path(sys.argv[2])
with open(messages.replace(".airbyte", "")) as singer:
    schema = json.loads(singer.readline())
stream = {"name": schema["stream"], "json_schema": schema["schema"], "supported_sync_modes": ["full_refresh"]}
says = {
    "spec": {"type": "SPEC", "spec": {"connectionSpecification": {"type": "object", "properties": {}}}},
    "check": {"type": "CONNECTION_STATUS", "connectionStatus": {"status": "SUCCEEDED"}},
    "discover": {"type": "CATALOG", "catalog": {"streams": [stream]}},
}
cases = "".join(f"{command}) cat <<'END'\n{json.dumps(message)}\nEND\n;;\n" for command, message in says.items())
source_program = folder / "source-replay"
source_program.write_text(f'#!/bin/sh\ncase "$1" in\n{cases}read) exec cat {messages};;\nesac\n')
source_program.chmod(0o755)
source = airbyte.get_source("source-replay", config={}, local_executable=source_program, streams="*")
cache = airbyte.caches.DuckDBCache(db_path=folder / "airbyte.duckdb")
source.read(cache=cache, force_full_refresh=True)
