"""What installed packages offer, by their entry points."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints


def entry_points(group: str, name: str | None = None) -> EntryPoints:
    """As `importlib.metadata.entry_points`, which reads a file of every installed package each time: this reads them once.

    They are read again where a package was installed or taken away meanwhile.
    """
    found: EntryPoints = _points(tuple((place, _changed(place)) for place in sys.path)).select(group=group)
    return found if name is None else found.select(name=name)


@lru_cache(maxsize=1)
def _points(places: tuple[tuple[str, int], ...]) -> Any:
    from importlib import metadata

    return metadata.entry_points()


def _changed(place: str) -> int:
    try:
        return os.stat(place or ".").st_mtime_ns
    except OSError:
        return 0
