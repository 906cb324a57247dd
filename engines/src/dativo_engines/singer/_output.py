"""JSON documents in the middle of whatever else a tap prints."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

_OBJECT = re.compile(r"^[ \t]*\{", re.MULTILINE)
MESSAGE_TYPES = frozenset({"RECORD", "SCHEMA", "STATE", "ACTIVATE_VERSION", "BATCH"})


def find_document(text: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any] | None:
    """The first JSON object that is wanted; lines before and after it may be anything.

    It is looked for at the beginning of lines, then anywhere: some taps print a log line without its newline first.
    """
    for starts in (_OBJECT.finditer(text), re.finditer(r"\{", text)):
        end = 0
        for match in starts:
            start = match.end() - 1
            if start < end:
                continue
            try:
                found, end = json.JSONDecoder(strict=False).raw_decode(text, start)
            except (ValueError, RecursionError):
                continue
            if isinstance(found, dict) and wanted(found):
                return found
    return None


class Lines:
    """Cuts chunks into lines."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        first, *rest = chunk.split(b"\n")
        self._parts.append(first)
        for part in rest:
            yield b"".join(self._parts)
            self._parts = [part]

    def end(self) -> bytes:
        """What came after the last newline."""
        return b"".join(self._parts)


def message_type(line: bytes) -> str | None:
    """The type of a Singer message in capitals, or None for a line that is none."""
    if not line.lstrip().startswith(b"{"):
        return None
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    kind = message.get("type") if isinstance(message, dict) else None
    return kind.upper() if isinstance(kind, str) and kind.upper() in MESSAGE_TYPES else None
