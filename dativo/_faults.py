"""Points of a commit at which the crash tests kill this process: nothing happens at them unless the environment asks for it."""

from __future__ import annotations

import os
import signal

__all__ = ["fault_point"]

_wanted, _, _count = os.environ.get("DATIVO_FAULT_POINT", "").partition("#")
_left = int(_count or 1)


def fault_point(name: str) -> None:
    """Sends SIGKILL to this process when `DATIVO_FAULT_POINT` is the name; `name#3` means the third time that it is reached.

    Args:
        name: `target.step`, for example `postgres.merged`: what has just been done.
    """
    global _left
    if name == _wanted:
        _left -= 1
        if not _left:
            os.kill(os.getpid(), signal.SIGKILL)
