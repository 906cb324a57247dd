"""What installed packages offer, by their entry points."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint, EntryPoints

_ONE = Lock()
OURS = "dativo."
"""How the name of each group begins."""


def entry_points(group: str, name: str | None = None) -> EntryPoints:
    """As `importlib.metadata.entry_points`, of a group whose name begins with `dativo.`.

    That one reads all that each installed package says, at each call. This looks once for packages that have such a group, and
    again where one was installed or taken away meanwhile.
    """
    # Two threads that begin at once, as engine and target do, would both look.
    with _ONE:
        found: EntryPoints = _points(tuple((place, _changed(place)) for place in sys.path)).select(group=group)
    return found if name is None else found.select(name=name)


def package_of(point: EntryPoint) -> str | None:
    """The name of its package, with `-` between words."""
    return None if point.dist is None else _normalized(getattr(point.dist, "folder_name", None) or point.dist.name)


@lru_cache(maxsize=1)
def _points(places: tuple[tuple[str, int], ...]) -> Any:
    from importlib import metadata

    seen: set[str] = set()
    points: list[EntryPoint] = []
    for name, found in _packages([place for place, _ in places]):
        # Of a package that is there twice, the first counts, as for imports.
        if name not in seen and found is not None:
            points += (point for point in found.entry_points if point.group.startswith(OURS))
        seen.add(name)
    return metadata.EntryPoints(points)


def _packages(places: list[str]) -> Iterator[tuple[str, Distribution | None]]:
    """Their names, and what they say where they may have a group of ours."""
    from importlib import metadata
    from importlib.machinery import PathFinder
    from pathlib import Path

    class Folder(metadata.PathDistribution):
        """Its metadata are not read for its name."""

        folder_name = ""

    for place in places:
        if place.endswith(".egg") or not os.path.isdir(place or "."):
            for found in metadata.distributions(path=[place]):
                yield _normalized(found.name), found
            continue
        for entry in os.listdir(place or "."):
            stem, end = os.path.splitext(entry)
            if end not in (".dist-info", ".egg-info"):
                continue
            name, path = _normalized(stem.partition("-")[0]), os.path.join(place, entry)
            folder = Folder(Path(path)) if _has_ours(path) else None
            if folder is not None:
                folder.folder_name = name
            yield name, folder
    for finder in sys.meta_path:
        find = getattr(finder, "find_distributions", None)
        if find is not None and finder is not PathFinder:
            for found in find(metadata.DistributionFinder.Context()):
                yield _normalized(found.name), found


def _has_ours(folder: str) -> bool:
    try:
        with open(os.path.join(folder, "entry_points.txt"), "rb") as file:
            return OURS.encode() in file.read()
    except OSError:
        return False


def _normalized(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _changed(place: str) -> int:
    try:
        return os.stat(place or ".").st_mtime_ns
    except OSError:
        return 0
