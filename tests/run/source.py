"""An Airbyte source that says what its script says, line by line; see `tap.py`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tap import play


def main() -> None:
    command, *rest = sys.argv[1:]
    arguments = dict(zip(rest[::2], rest[1::2], strict=True))
    if command == "spec":
        schema = {"type": "object", "required": ["script"], "properties": {"script": {"type": "string"}}}
        print(json.dumps({"type": "SPEC", "spec": {"connectionSpecification": schema}}))
        return
    config = json.loads(Path(arguments["--config"]).read_text())
    if command == "check":
        print(json.dumps({"type": "CONNECTION_STATUS", "connectionStatus": {"status": "SUCCEEDED"}}))
    elif command == "discover":
        print(json.dumps({"type": "CATALOG", "catalog": {"streams": config["streams"]}}))
    else:
        play(Path(config["script"]), arguments)


main()
