"""A source that reads a log of changes of two tables, as CDC sources do; every state covers both.

Its configuration: the `kind` of its states (`GLOBAL` or `LEGACY`), how many `rows` its log has, a state `every` so many, where to
`note` the state that it is given, and whether to `end` `after` a row, by `kill` (SIGKILL) or `terminate` (INCOMPLETE, SIGTERM).
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

TABLES = ("users", "orders")
SCHEMA = {"type": "object", "properties": {"id": {"type": "integer"}, "lsn": {"type": "integer"}}}
# Numbers that a parser which goes through floats would change.
PRECISE = "1.10"


def say(kind: str, **what: Any) -> None:
    print(json.dumps({"type": kind.upper(), **what}), flush=True)


def status(table: str, value: str) -> None:
    described = {"stream_descriptor": {"name": table, "namespace": "shop"}, "status": value}
    say("trace", trace={"type": "STREAM_STATUS", "emitted_at": 1.5, "stream_status": described})


def emit_state(kind: str, lsn: int, per_table: dict[str, int], count: int) -> None:
    """The state is written by hand: its numbers are to stay as they are."""
    entries = [
        f'{{"stream_descriptor":{{"name":"{table}","namespace":"shop"}},"stream_state":{{"rows":{rows},"v":{PRECISE}}}}}'
        for table, rows in per_table.items()
    ]
    stats = f'"sourceStats":{{"recordCount":{count}.0}}'
    shared = f'{{"lsn":{lsn},"v":{PRECISE}}}'
    if kind == "GLOBAL":
        state = f'{{"type":"GLOBAL","global":{{"shared_state":{shared},"stream_states":[{",".join(entries)}]}},{stats}}}'
    elif kind == "LEGACY":
        state = f'{{"type":"LEGACY","data":{shared}}}'
    else:
        raise SystemExit(f"no such kind of state: {kind}")
    print(f'{{"type":"STATE","state":{state}}}', flush=True)


def position(state: Any) -> tuple[int, dict[str, int]]:
    """From where to go on, and how many rows of each table there were, as the state says."""
    if not state:
        return 0, dict.fromkeys(TABLES, 0)
    if isinstance(state, dict):
        return state["lsn"], dict.fromkeys(TABLES, 0)
    (entry,) = state
    rows = {one["stream_descriptor"]["name"]: one["stream_state"]["rows"] for one in entry["global"]["stream_states"]}
    return entry["global"]["shared_state"]["lsn"], rows


def end(how: str) -> NoReturn:
    if how == "terminate":
        for table in TABLES:
            status(table, "INCOMPLETE")
        os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGKILL)
    raise SystemExit


def read(config: dict[str, Any], state: Any) -> None:
    start, per_table = position(state)
    for table in TABLES:
        status(table, "STARTED")
    since = 0
    for lsn in range(start + 1, config["rows"] + 1):
        table = TABLES[lsn % 2]
        per_table[table] += 1
        since += 1
        data = {"id": per_table[table], "lsn": lsn}
        say("record", record={"stream": table, "namespace": "shop", "data": data, "emitted_at": 1})
        if lsn % config["every"] == 0:
            emit_state(config["kind"], lsn, per_table, since)
            since = 0
        if lsn == config.get("after"):
            end(config["end"])
    emit_state(config["kind"], config["rows"], per_table, since)
    for table in TABLES:
        status(table, "COMPLETE")


def main() -> None:
    command, files = sys.argv[1], dict(zip(sys.argv[2::2], sys.argv[3::2], strict=True))
    texts = {name: Path(path).read_text() for name, path in files.items()}
    if command == "check":
        say("connection_status", connectionStatus={"status": "SUCCEEDED"})
    elif command == "discover":
        modes = ["full_refresh", "incremental"]
        more = {"supported_sync_modes": modes, "source_defined_cursor": True, "source_defined_primary_key": [["id"]]}
        streams = [{"name": table, "namespace": "shop", "json_schema": SCHEMA, **more} for table in TABLES]
        say("catalog", catalog={"streams": streams})
    elif command == "read":
        config = json.loads(texts["--config"])
        with open(config["note"], "a") as file:
            file.write(texts.get("--state", "-") + "\n")
        read(config, json.loads(texts.get("--state", "null")))


if __name__ == "__main__":
    main()
