#!/usr/bin/env python3
"""A Singer tap for crash tests: replays a file of messages, three streams interleaved, and resumes right after the state's rows.

`tap.py --write FILE ROWS STATE_EVERY` makes the file: the same bytes every time. A state holds the offset of what follows it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
import zlib
from typing import Any

STREAMS = ["red", "green", "blue"]
CHUNK_BYTES = 1 << 20
BAD = 997
"""One row of so many does not fit its schema."""
SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "amount": {"type": ["null", "number"], "multipleOf": 0.01},
        "text": {"type": ["null", "string"]},
        "at": {"type": ["null", "string"], "format": "date-time"},
    },
}
SCHEMAS = "".join(
    json.dumps({"type": "SCHEMA", "stream": name, "schema": SCHEMA, "key_properties": ["id"]}) + "\n" for name in STREAMS
)


def stream_of(n: int) -> int:
    """Row `n` belongs to it: single rows and runs of rows take turns."""
    return n % 3 if n & 512 else n // 64 % 3


def record_line(n: int) -> str:
    h = zlib.crc32(n.to_bytes(8, "little"))
    amount = '"much"' if h % BAD == 0 else f"{h % 10**9 / 100:.2f}"
    text = "null" if h % 11 == 0 else f'"row {n} \\u00fc {h:08x} {"x" * (h % 40)}"'
    return (
        f'{{"type":"RECORD","stream":"{STREAMS[stream_of(n)]}","record":{{"id":{n},"amount":{amount},"text":{text},'
        f'"at":"20{h % 90 + 10}-0{h % 9 + 1}-1{h % 10}T{h % 24:02}:00:00.{h % 10**6:06}Z"}}}}\n'
    )


def write(path: str, rows: int, state_every: int) -> None:
    with open(path, "w", encoding="ascii") as file:
        offset = file.write(SCHEMAS)
        for n in range(1, rows + 1):
            offset += file.write(record_line(n))
            if n % state_every == 0 or n == rows:
                # The offset stands in the line it counts, so it has a fixed width.
                offset += len(state_line(0))
                file.write(state_line(offset))


def state_line(offset: int) -> str:
    return json.dumps({"type": "STATE", "value": {"bookmarks": {name: {"offset": f"{offset:012}"} for name in STREAMS}}}) + "\n"


def replay(path: str, offset: int, die_at: int, pause_ms: float) -> None:
    """Sends the file from `offset` on. At byte `die_at` (0: never) the tap kills itself; it waits `pause_ms` after every MiB."""
    with open(path, "rb") as file:
        end = die_at or os.fstat(file.fileno()).st_size
        while offset < end:
            offset += os.sendfile(1, file.fileno(), offset, min(CHUNK_BYTES, end - offset))
            time.sleep(pause_ms / 1000)
    if die_at:
        os.kill(os.getpid(), signal.SIGKILL)


def catalog() -> dict[str, Any]:
    entry = {"schema": SCHEMA, "key_properties": ["id"], "metadata": [{"breadcrumb": [], "metadata": {"inclusion": "available"}}]}
    return {"streams": [{"tap_stream_id": name, "stream": name, **entry} for name in STREAMS]}


def main() -> None:
    if sys.argv[1:2] == ["--write"]:
        write(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", required=True)
    parser.add_argument("--state")
    parser.add_argument("--catalog")
    parser.add_argument("--discover", action="store_true")
    arguments = parser.parse_args()
    if arguments.discover:
        json.dump(catalog(), sys.stdout)
        return
    with open(arguments.config) as file:
        config = json.load(file)
    offset = 0
    if arguments.state:
        with open(arguments.state) as file:
            offset = int(json.load(file).get("bookmarks", {}).get(STREAMS[0], {}).get("offset", 0))
    if offset:
        print(SCHEMAS, end="", flush=True)
    replay(config["file"], offset, config.get("die_at", 0), config.get("pause_ms", 0))


if __name__ == "__main__":
    main()
