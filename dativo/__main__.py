"""The `dativo` program. Nothing but the standard library is imported before the arguments say what is needed."""

from __future__ import annotations

import contextlib
import gc
import os
import sys

GC_THRESHOLD = 100_000
"""Imports make objects that stay: to look through them after every 700, the default, costs a short run a tenth of a second."""


def main() -> int:
    """Runs the command line and returns the process exit code."""
    gc.set_threshold(GC_THRESHOLD, 20, 100)
    # pydantic looks through every installed package for plugins of its own; a program has none.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # Said where it is there: the default of pyarrow keeps a fifth more of memory that is free, at the same speed.
    if sys.platform == "linux":
        os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")
    try:
        from dativo.cli import run
    except KeyboardInterrupt:
        return 130
    return run(sys.argv[1:])


def program() -> None:
    """Runs the command line and ends the process, without taking the interpreter apart: that costs another tenth of a second.

    Everything that must be closed has been closed by then, and a daemon thread that still waits is ended with the process.
    """
    code = main()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    program()
