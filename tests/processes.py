"""Processes of this machine, by what stands in their command line."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def running(text: str) -> list[str]:
    """Command lines of the processes, other than this one, that have the text in theirs."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (folder / "cmdline").read_bytes().decode(errors="replace")
            if text in command and int(folder.name) != os.getpid():
                found.append(command)
    return found
