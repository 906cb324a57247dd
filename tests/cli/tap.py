"""A small Singer tap, for tests: its config says which streams it has, how fast it is, and how it ends."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time

SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "name": {"type": ["null", "string"]},
        "born": {"type": ["null", "string"], "format": "date"},
        "tags": {"type": ["null", "array"], "items": {"type": "string"}},
    },
}


def load(path: str | None) -> dict:
    if path is None:
        return {}
    with open(path) as file:
        return json.load(file)


def say(message: object) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("config", "catalog", "state"):
        parser.add_argument(f"--{name}")
    for name in ("discover", "about"):
        parser.add_argument(f"--{name}", action="store_true")
    parser.add_argument("--format")
    arguments = parser.parse_args()
    config = load(arguments.config)
    streams = config.get("streams", {"people": 3, "pets": 2})
    if arguments.about:
        settings = {
            "type": "object",
            "required": ["token"],
            "properties": {
                "streams": {"type": ["object", "null"], "description": "Rows by stream"},
                "token": {"type": "string", "secret": True},
                "pause": {"type": "number", "default": 0},
            },
        }
        print(json.dumps({"name": "tap-small", "settings": settings}))
        return
    if config.get("token") == "wrong":
        sys.exit("ValueError: the token is wrong")
    if arguments.discover and not config.get("mute"):
        say({"streams": [described(stream) for stream in streams]})
        return
    read(config, streams, arguments)


def described(stream: str) -> dict[str, object]:
    root = {"table-key-properties": ["id"], "valid-replication-keys": ["id"], "forced-replication-method": "INCREMENTAL"}
    return {
        "tap_stream_id": stream,
        "stream": stream,
        "schema": SCHEMA,
        "key_properties": ["id"],
        "metadata": [{"breadcrumb": [], "metadata": {"inclusion": "available", **root}}],
    }


def read(config: dict, streams: dict[str, int], arguments: argparse.Namespace) -> None:
    wanted = list(streams)
    if arguments.catalog:
        entries = load(arguments.catalog)["streams"]
        wanted = [entry["tap_stream_id"] for entry in entries if is_selected(entry)]
    state = load(arguments.state)
    bookmarks = dict(state.get("bookmarks", {}))
    if config.get("stubborn"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if config.get("pid_file"):
        with open(config["pid_file"], "w") as file:
            file.write(str(os.getpid()))
    for stream in wanted:
        say({"type": "SCHEMA", "stream": stream, "schema": SCHEMA, "key_properties": ["id"]})
        for i in range(bookmarks.get(stream, 0), streams[stream]):
            say({"type": "RECORD", "stream": stream, "record": row(i, config)})
            time.sleep(config.get("pause", 0))
        bookmarks[stream] = streams[stream]
        say({"type": "STATE", "value": {"bookmarks": bookmarks}})
    if config.get("killed"):
        os.kill(os.getpid(), signal.SIGKILL)
    if config.get("fails"):
        print("INFO working", file=sys.stderr)
        sys.exit("RuntimeError: the disk is on fire")


def is_selected(entry: dict) -> bool:
    return any(part["breadcrumb"] == [] and part["metadata"].get("selected") for part in entry["metadata"])


def row(i: int, config: dict) -> dict[str, object]:
    name = None if i % 3 == 1 else f"n{i}"
    born = "someday" if i == config.get("bad_row") else f"2020-01-{i % 28 + 1:02}"
    return {"id": i, "name": name, "born": born, "tags": ["a", "b"] if i == 0 else None, **config.get("more", {})}


if __name__ == "__main__":
    main()
