#!/usr/bin/env python3
"""A Singer tap for the crash matrix: two streams interleaved, their rows in versions, some deleted; resumed by its state.

Config: `rows` (of both streams), `keys` (how many ids there are in each), `state_every`, `overlap` (so many rows before the state
are sent again, as sources do that only know a time), `edition` (other values), `pause_ms` (so long after each state).
"""

from __future__ import annotations

import json
import sys
import time
import zlib
from pathlib import Path
from typing import Any

STREAMS = ("orders", "users")
NULLABLE = {"type": ["null", "string"]}
SCHEMA = {
    "type": "object",
    "properties": {
        "n": {"type": "integer"},
        "id": {"type": "integer"},
        "at": {"type": "string", "format": "date-time"},
        "amount": {"type": ["null", "number"], "multipleOf": 0.01},
        "note": NULLABLE,
        "_sdc_deleted_at": {**NULLABLE, "format": "date-time"},
    },
}


def moment(second: int) -> str:
    return f"2026-01-{second // 86400 + 1:02}T{second // 3600 % 24:02}:{second // 60 % 60:02}:{second % 60:02}Z"


def record(n: int, keys: int, edition: int) -> dict[str, Any]:
    """Row `n`: a version of its id. Versions come a little out of order, and now and then a price is no number."""
    h = zlib.crc32(f"{edition}:{n}".encode())
    return {
        "n": n,
        "id": h % keys,
        "at": moment(max(n + (7 if n % 13 == 0 else 0) - (9 if n % 17 == 0 else 0), 0)),
        "amount": "much" if h % 101 == 0 else h % 100_000 / 100,
        "note": None if h % 5 == 0 else f"row {n} ü {h:08x}",
        "_sdc_deleted_at": moment(n) if h % 23 == 0 else None,
    }


def main() -> None:
    arguments = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=False))
    config = json.loads(Path(arguments["--config"]).read_text())
    state = json.loads(Path(arguments["--state"]).read_text()) if "--state" in arguments else {}
    done = min((mark["n"] for mark in state.get("bookmarks", {}).values()), default=0)
    say = sys.stdout.write
    for name in STREAMS:
        say(
            json.dumps(
                {"type": "SCHEMA", "stream": name, "schema": SCHEMA, "key_properties": ["id"], "bookmark_properties": ["at"]}
            )
        )
        say("\n")
    for n in range(max(done - config["overlap"], 0), config["rows"]):
        values = record(n, config["keys"], config["edition"])
        say(json.dumps({"type": "RECORD", "stream": STREAMS[n // 3 % 2], "record": values}) + "\n")
        if (n + 1) % config["state_every"] == 0 or n + 1 == config["rows"]:
            say(json.dumps({"type": "STATE", "value": {"bookmarks": {name: {"n": n + 1} for name in STREAMS}}}) + "\n")
            sys.stdout.flush()
            time.sleep(config["pause_ms"] / 1000)


if __name__ == "__main__":
    main()
