"""How a tap takes its catalog, remembered by program: `--catalog`, the older `--properties`, or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path
from typing import Any

from dativo_protocols import Catalog

from dativo_engines._cache import write_whole
from dativo_engines.singer._session import Session

CATALOG = "--catalog"
PROPERTIES = "--properties"
NEITHER = ""

_UNKNOWN = re.compile(
    r"(?:unrecognized arguments|no such option|unknown (?:option|flag|argument))[^\n]*?(--[a-z-]+)", re.IGNORECASE
)


def unknown_flag(stderr: list[str]) -> str | None:
    """The option that a command line parser complains about."""
    for line in reversed(stderr):
        if found := _UNKNOWN.search(line):
            return found[1]
    return None


def next_flag(flag: str, stderr: list[str], *, needs_catalog: bool) -> str | None:
    """Another way to start a tap that failed at once because of its catalog; None when that was not the reason.

    Args:
        flag: How it was started.
        stderr: Its last lines.
        needs_catalog: Whether the job asks for something that only a catalog can say.
    """
    if flag and unknown_flag(stderr) == flag:
        return PROPERTIES if flag == CATALOG else CATALOG
    # Taps of the Singer SDK that define keys as read-only properties break on every catalog.
    breaks = any(" in apply_catalog" in line for line in stderr[-12:])
    return NEITHER if flag and breaks and not needs_catalog else None


class FlagMemory:
    """What was found out about programs, kept in the cache; a program that changed is a new one."""

    def __init__(self, cache_dir: Path) -> None:
        self._path = cache_dir / "programs.json"

    def get(self, program: str) -> str | None:
        flag = self._load().get(self._key(program))
        return flag if flag in (CATALOG, PROPERTIES, NEITHER) else None

    def put(self, program: str, flag: str) -> None:
        """Two runs that write at once may lose one entry: it is found out again."""
        known = {**self._load(), self._key(program): flag}
        with contextlib.suppress(OSError):
            write_whole(self._path, json.dumps(known, indent=1))

    def _load(self) -> dict[str, Any]:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    @staticmethod
    def _key(program: str) -> str:
        path = os.path.realpath(program)
        found = os.stat(path)
        return f"{path}:{found.st_size}:{found.st_mtime_ns}"


def catalog_flag(session: Session, memory: FlagMemory, catalog: Catalog) -> str:
    """`--catalog`, unless the tap is known to take only `--properties`, or to break on either.

    Catalogs with `metadata` came together with `--catalog`. Only for one without is the tap asked for its `--help`, since
    that costs a start.
    """
    known = memory.get(session.program)
    if known is not None:
        return known
    if any("metadata" in stream.raw for stream in catalog.streams):
        return CATALOG
    output = session.run(["--help"], limit_bytes=16 << 20)
    text = output.stdout.decode(errors="replace") + "\n".join(output.stderr)
    flag = PROPERTIES if PROPERTIES in text else CATALOG
    memory.put(session.program, flag)
    return flag
