"""A Singer tap that says what its script says, line by line.

Lines that begin with `#` are done instead: `#sleep SECONDS`, `#exit CODE`, `#kill` (SIGKILL to itself), `#wait PATH` (until the
file is there), `#touch PATH`, `#fail N` (ends with exit code 75, "temporary", until it has done so N times). Configuration,
catalog and state that it was given are kept beside the script.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path


def main() -> None:
    arguments = dict(zip(sys.argv[1:], [*sys.argv[2:], ""], strict=True))
    config = json.loads(Path(arguments["--config"]).read_text())
    if "--discover" in arguments:
        if config["catalog"] is None:
            sys.exit("error: unrecognized arguments: --discover")
        print(json.dumps(config["catalog"]))
        return
    play(Path(config["script"]), arguments)


def play(script: Path, arguments: dict[str, str]) -> None:
    for name in ("state", "config", "catalog"):
        kept = script.with_suffix(f".{name}")
        kept.unlink(missing_ok=True)
        if f"--{name}" in arguments:
            kept.write_bytes(Path(arguments[f"--{name}"]).read_bytes())
    for line in script.read_text().splitlines():
        verb, _, rest = line.partition(" ")
        if verb == "#sleep":
            time.sleep(float(rest))
        elif verb == "#exit":
            sys.stderr.write("ValueError: the tap gave up\n")
            sys.exit(int(rest))
        elif verb == "#fail":
            failures = script.with_suffix(".failures")
            done = len(failures.read_text()) if failures.exists() else 0
            if done < int(rest):
                failures.write_text("x" * (done + 1))
                sys.stderr.write(f"TimeoutError: the service is away, {done + 1}\n")
                sys.exit(75)
        elif verb == "#kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif verb == "#touch":
            Path(rest).touch()
        elif verb == "#wait":
            while not Path(rest).exists():
                time.sleep(0.02)
        else:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
