"""Numbers, times, sizes and states as people read them."""

from __future__ import annotations

import time

__all__ = ["count", "duration", "local_time", "number", "per_second", "percent", "shortened", "size"]

STATE_WIDTH = 72


def count(number: int | None) -> str:
    """`1,234,567`; `-` for None."""
    return "-" if number is None else f"{number:,}"


def number(amount: int, noun: str) -> str:
    """`1 commit`, `1,234 commits`."""
    return f"{count(amount)} {noun}{'' if amount == 1 else 's'}"


def duration(seconds: float | None) -> str:
    """`0.8 s`, `12 s`, `3 min 20 s`, `2 h 05 min`; `-` for None."""
    if seconds is None:
        return "-"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def size(nbytes: float) -> str:
    """`812 B`, `1.5 kB`, `44.0 MB`, in powers of 1000."""
    if nbytes < 1000:
        return f"{int(nbytes)} B"
    for unit in ("kB", "MB", "GB"):
        nbytes /= 1000
        if nbytes < 1000:
            return f"{nbytes:.1f} {unit}"
    return f"{nbytes / 1000:.1f} TB"


def per_second(amount: float, seconds: float) -> float:
    """The amount in each second; 0 where no time has passed."""
    return amount / seconds if seconds > 0 else 0.0


def percent(share: float | None) -> str:
    """`37 %`, for 0.37; `-` for None."""
    return "-" if share is None else f"{share:.0%}".replace("%", " %")


def local_time(moment: float | None) -> str:
    """Seconds since 1970 as `2026-11-22 04:46:07` in the local zone; `-` for None."""
    return "-" if moment is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))


def shortened(state: bytes | None, width: int = STATE_WIDTH) -> str:
    """A state on one line, cut in the middle where it is long, with its whole size."""
    if state is None:
        return "none"
    text = " ".join(state.decode("utf-8", "replace").split())
    if len(text) <= width:
        return text
    head, tail = (width - 3) * 2 // 3, (width - 3) // 3
    return f"{text[:head]}...{text[-tail:]} ({len(state):,} bytes)"
