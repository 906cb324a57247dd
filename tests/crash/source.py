#!/usr/bin/env python3
"""An Airbyte source for crash tests: three streams interleaved, each taken up right after its own state.

Runs in a container with the standard library only. A row is the same in every run, and now and then one is bad.
"""

import argparse
import json
import sys
import time
import zlib
from pathlib import Path

STREAMS = ["red", "green", "blue"]
SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "amount": {"type": ["null", "number"], "multipleOf": 0.01},
        "text": {"type": ["null", "string"]},
        "at": {"type": ["null", "string"], "format": "date-time"},
    },
}
BAD = 997
"""One row of so many does not fit its schema."""


def say(**message):
    sys.stdout.write(json.dumps(message) + "\n")


def stream_of(n):
    """Row `n` belongs to it: single rows and runs of rows take turns."""
    return n % 3 if n & 512 else n // 64 % 3


def record(n):
    h = zlib.crc32(n.to_bytes(8, "little"))
    amount = '"much"' if h % BAD == 0 else f"{h % 10**9 / 100:.2f}"
    return (
        f'{{"type":"RECORD","record":{{"stream":"{STREAMS[stream_of(n)]}","emitted_at":1,"data":{{"id":{n},"amount":{amount},'
        f'"text":"row {n} {h:08x} {"x" * (h % 40)}","at":"20{h % 90 + 10}-0{h % 9 + 1}-1{h % 10}T{h % 24:02}:00:00Z"}}}}}}\n'
    )


def read(config, states):
    """A state of each stream after every `state_every` rows, in turns."""
    done = dict.fromkeys(STREAMS, 0)
    for state in states or ():
        done[state["stream"]["stream_descriptor"]["name"]] = state["stream"]["stream_state"]["at"]
    for name in STREAMS:
        status(name, "STARTED")
    rows, step = config["rows"], config["state_every"]
    counts = dict.fromkeys(STREAMS, 0)
    for start in range(min(done.values()), rows, step):
        last = min(start + step, rows)
        for n in range(start + 1, last + 1):
            name = STREAMS[stream_of(n)]
            if n > done[name]:
                sys.stdout.write(record(n))
                counts[name] += 1
        # Not all at the same place: what one stream has behind it another still has to read again.
        for name in STREAMS if last == rows else [STREAMS[start // step % 3]]:
            if last > done[name]:
                stream = {"stream_descriptor": {"name": name}, "stream_state": {"at": last}}
                say(type="STATE", state={"type": "STREAM", "stream": stream, "sourceStats": {"recordCount": counts[name]}})
                counts[name] = 0
        sys.stdout.flush()
        time.sleep(config.get("pause_ms", 0) / 1000)
    for name in STREAMS:
        status(name, "COMPLETE")


def status(name, value):
    said = {"stream_descriptor": {"name": name}, "status": value}
    say(type="TRACE", trace={"type": "STREAM_STATUS", "emitted_at": 1.0, "stream_status": said})


def catalog():
    facts = {"supported_sync_modes": ["full_refresh", "incremental"], "source_defined_cursor": True}
    return {
        "streams": [{"name": name, "json_schema": SCHEMA, "source_defined_primary_key": [["id"]], **facts} for name in STREAMS]
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=["spec", "check", "discover", "read"])
    for name in ("config", "catalog", "state"):
        parser.add_argument(f"--{name}", type=lambda path: json.loads(Path(path).read_text()))
    arguments = parser.parse_args()
    if arguments.command == "spec":
        say(type="SPEC", spec={"connectionSpecification": {"type": "object", "properties": {}}})
    elif arguments.command == "check":
        say(type="CONNECTION_STATUS", connectionStatus={"status": "SUCCEEDED"})
    elif arguments.command == "discover":
        say(type="CATALOG", catalog=catalog())
    else:
        read(arguments.config, arguments.state)


if __name__ == "__main__":
    main()
