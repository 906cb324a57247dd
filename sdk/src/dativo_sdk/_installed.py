"""What installed packages offer, by their entry points."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any

from dativo_protocols import frozen

if TYPE_CHECKING:
    from importlib.metadata import Distribution

_ONE = Lock()
OURS = "dativo."
"""How the name of each group begins."""
FILE = "entry_points.txt"


@frozen
class EntryPoint:
    """As `importlib.metadata.EntryPoint`, whose module takes a fifth of the time in which a reader in Python starts.

    Attributes:
        package: The name of the package that it is of, with `-` between words.
        found: Where its metadata are, or themselves.
    """

    name: str
    value: str
    group: str
    package: str
    found: str | Distribution

    @property
    def module(self) -> str:
        return self.value.partition(":")[0].partition("[")[0].strip()

    @property
    def dist(self) -> Distribution:
        if not isinstance(self.found, str):
            return self.found
        from importlib.metadata import PathDistribution
        from pathlib import Path

        return PathDistribution(Path(self.found))

    def load(self) -> Any:
        """What it names, imported."""
        from importlib import import_module

        loaded: Any = import_module(self.module)
        for attribute in filter(None, self.value.partition("[")[0].partition(":")[2].strip().split(".")):
            loaded = getattr(loaded, attribute)
        return loaded


def entry_points(group: str, name: str | None = None) -> list[EntryPoint]:
    """Those of a group whose name begins with `dativo.`; with a name, those of this name.

    `importlib.metadata.entry_points` reads all that each installed package says, at each call. This looks once for packages that
    have such a group, and again where one was installed or taken away meanwhile.
    """
    # Two threads that begin at once, as engine and target do, would both look.
    with _ONE:
        points = _points(tuple((place, _changed(place)) for place in sys.path if isinstance(place, str)))
    return [point for point in points if point.group == group and name in (None, point.name)]


@lru_cache(maxsize=1)
def _points(places: tuple[tuple[str, int], ...]) -> list[EntryPoint]:
    seen: set[str] = set()
    points: list[EntryPoint] = []
    for package, text, found in _packages([place for place, _ in places]):
        # Of a package that is there twice, the first counts, as for imports.
        if package not in seen and OURS in text:
            points += (EntryPoint(*said, package, found) for said in _said(text))
        seen.add(package)
    return points


def _said(text: str) -> Iterator[tuple[str, str, str]]:
    """Name, value and group of those in our groups, of the text of a file."""
    group = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            group = line[1:-1].strip()
        elif group.startswith(OURS) and line and not line.startswith("#"):
            name, _, value = line.partition("=")
            yield name.strip(), value.strip(), group


def _packages(places: list[str]) -> Iterator[tuple[str, str, str | Distribution]]:
    """Each package's name, the text of its entry points, and what it is found by."""
    for place in places:
        if os.path.isfile(place) or place.endswith(".egg"):
            from importlib.metadata import distributions

            yield from _described(distributions(path=[place]))
            continue
        for entry in _entries(place):
            stem, end = os.path.splitext(entry)
            if end in (".dist-info", ".egg-info"):
                path = os.path.join(place, entry)
                yield _normalized(stem.partition("-")[0]), _text(os.path.join(path, FILE)), path
    for finder in sys.meta_path:
        # That of paths has just been asked, in a quicker way.
        find = getattr(finder, "find_distributions", None)
        if find is not None and getattr(finder, "__name__", "") != "PathFinder":
            from importlib.metadata import DistributionFinder

            yield from _described(find(DistributionFinder.Context()))


def _described(distributions: Iterable[Distribution]) -> Iterator[tuple[str, str, Distribution]]:
    for found in distributions:
        yield _normalized(found.name), found.read_text(FILE) or "", found


def _entries(folder: str) -> list[str]:
    try:
        return os.listdir(folder or ".")
    except OSError:
        return []


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError):
        return ""


def _normalized(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _changed(place: str) -> int:
    try:
        return os.stat(place or ".").st_mtime_ns
    except OSError:
        return 0
