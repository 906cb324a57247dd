"""How long `dativo --version` and `dativo --help` take, in milliseconds: `python tests/cli/start_time.py [RUNS]`."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    program = Path(sys.executable).with_name("dativo")
    for argument in ("--version", "--help"):
        took = []
        for _ in range(runs):
            began = time.perf_counter()
            subprocess.run([program, argument], check=True, stdout=subprocess.DEVNULL)
            took.append(1000 * (time.perf_counter() - began))
        print(f"{argument:<10} median {statistics.median(took):4.0f}  least {min(took):4.0f}  most {max(took):4.0f}")


if __name__ == "__main__":
    main()
