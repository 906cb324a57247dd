"""Writers that are killed with SIGKILL in a child: around system calls that change the disk, or at a fault point."""

from __future__ import annotations

import itertools
import os
import signal
import traceback
from collections.abc import Callable, Sequence
from typing import Any


def kill_at(calls: Sequence[str], instant: int) -> None:
    """This process ends by SIGKILL around the call of that number: even ones before it, odd ones after it.

    Args:
        calls: Functions of `os` that count.
    """
    numbers = itertools.count(0, 2)

    def wrapped(call: Callable[..., Any]) -> Callable[..., Any]:
        def around(*args: Any, **options: Any) -> Any:
            number = next(numbers)
            if number == instant:
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                return call(*args, **options)
            finally:
                if number + 1 == instant:
                    os.kill(os.getpid(), signal.SIGKILL)

        return around

    for name in calls:
        setattr(os, name, wrapped(getattr(os, name)))


def kill_at_point(point: str) -> None:
    """This process ends by SIGKILL at a fault point: `target.step`, or `target.step#3` for the third time."""
    from dativo import _faults

    _faults._wanted, _, count = point.partition("#")
    _faults._left = int(count or 1)


def forked(work: Callable[[], None]) -> int:
    """The exit status of a child that does the work."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    try:
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
