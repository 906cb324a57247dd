"""The `dativo` program. Nothing but the standard library is imported before the arguments say what is needed."""

from __future__ import annotations

import sys


def main() -> int:
    """Runs the command line and returns the process exit code."""
    try:
        from dativo.cli import run
    except KeyboardInterrupt:
        return 130
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
