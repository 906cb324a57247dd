"""Run by PyAirbyte's Python: a request a line of stdin, its answer a line of stdout."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

# stdout is for the answers; PyAirbyte shows its progress on it.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

import airbyte  # noqa: E402


def answer(request: dict[str, Any]) -> Any:
    program = Path(request["program"])
    source = airbyte.get_source(program.name, config=request["config"], local_executable=program)
    match request["action"]:
        case "spec":
            return source.config_spec
        case "check":
            source.check()
            return None
        case "streams":
            return source.get_available_streams()
        case "read":
            source.select_streams(request["streams"])
            for stream, cursor in request.get("cursors", {}).items():
                source.set_cursor_key(stream, cursor)
            # Nobody else can open the file before it is closed here.
            with airbyte.caches.DuckDBCache(db_path=request["cache"]) as cache:
                return source.read(cache=cache).processed_records
    raise ValueError(request["action"])


for line in sys.stdin:
    try:
        said = {"answer": answer(json.loads(line))}
    except Exception as error:
        said = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(said), file=answers, flush=True)
