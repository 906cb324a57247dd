"""What of a committed state is handed to the connector, cut out of its exact text.

A state is never parsed and written anew: `1.10` would become `1.1`. Members are removed by their place in the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any, NamedTuple

from dativo_protocols.errors import ConfigError, StateError

__all__ = ["bookmark_names", "finished_full_refresh", "remove_members", "without_streams"]

SPACE = re.compile(r"[ \t\r\n]*")
DONE = ("initial_full_table_complete", "__ab_full_refresh_sync_complete", "__ab_no_cursor_state_message")
IDLE = ("version", "xmin")

# Digits stay text: nothing is computed with them, and Python limits how long an integer may be.
DECODER = json.JSONDecoder(parse_float=str, parse_int=str, strict=False)


class Member(NamedTuple):
    """One member of a JSON object, by its places in the text: the key, the value, and its end."""

    key: str
    start: int
    value: int
    end: int


def without_streams(state: bytes, streams: Collection[str], *, all_streams: bool) -> bytes | None:
    """The state without the bookmarks of some streams; None when nothing is left to hand over.

    Removed are `bookmarks.<stream>`, and `currently_syncing` where it names one of them; every other byte stays.

    Args:
        streams: Names under which bookmarks may stand.
        all_streams: These are all streams of the job.

    Raises:
        ConfigError: The state is not of the form `{"bookmarks": {...}}`, so that nobody can say what belongs to which stream.
        StateError: The state is not JSON.
    """
    if not streams:
        return state
    if all_streams:
        return None
    parsed = _parse(state)
    bookmarks = parsed.get("bookmarks", {}) if isinstance(parsed, dict) else None
    if not isinstance(bookmarks, dict) or not ("bookmarks" in parsed or parsed.keys() <= {"currently_syncing"}):
        raise ConfigError(
            "the connector's state does not say what belongs to which stream, so streams written with `overwrite` cannot be"
            " read from the start while others go on",
            hint="split the job: one for the streams to overwrite, one for the others",
        )
    removed: list[tuple[str, ...]] = [("bookmarks", stream) for stream in streams if stream in bookmarks]
    if parsed.get("currently_syncing") in streams:
        removed.append(("currently_syncing",))
    return remove_members(state, removed)


def bookmark_names(state: bytes) -> list[str]:
    """The names of `bookmarks`, none where the state has no such object."""
    parsed = _parse(state)
    bookmarks = parsed.get("bookmarks") if isinstance(parsed, dict) else None
    return list(bookmarks) if isinstance(bookmarks, dict) else []


def finished_full_refresh(state: bytes, streams: Collection[str]) -> list[str]:
    """Those of the streams whose bookmark says that a full refresh is finished, and nothing else.

    Handed back, such a bookmark makes some connectors send nothing.
    """
    parsed = _parse(state)
    bookmarks = parsed.get("bookmarks") if isinstance(parsed, dict) else None
    if not isinstance(bookmarks, dict):
        return []
    return [stream for stream in streams if _is_finished(bookmarks.get(stream))]


def remove_members(text: bytes, paths: Collection[tuple[str, ...]]) -> bytes:
    """The JSON object without the members at these paths; everything else byte by byte as it was."""
    found = text.decode("utf-8", "surrogateescape")
    for path in paths:
        found = _remove(found, _skip(found, 0), path)
    return found.encode("utf-8", "surrogateescape")


def _is_finished(bookmark: Any) -> bool:
    if not isinstance(bookmark, dict) or not any(bookmark.get(marker) is True for marker in DONE):
        return False
    return all(key in DONE or key in IDLE or value is None for key, value in bookmark.items())


def _parse(state: bytes) -> Any:
    try:
        return DECODER.decode(state.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError) as error:
        raise StateError(f"the stored state is not JSON: {error}", hint="put another one with `dativo state set`") from None


def _remove(text: str, start: int, path: tuple[str, ...]) -> str:
    """A name may stand twice in one object: places are found anew after each removal."""
    if not text.startswith("{", start):
        return text
    members = _members(text, start)
    for position in reversed([i for i, member in enumerate(members) if member.key == path[0]]):
        member = members[position]
        if len(path) > 1:
            text = _remove(text, member.value, path[1:])
        elif position + 1 < len(members):
            text = text[: member.start] + text[members[position + 1].start :]
        else:
            text = text[: members[position - 1].end if position else member.start] + text[member.end :]
        if len(path) == 1:
            return _remove(text, start, path)
    return text


def _members(text: str, start: int) -> list[Member]:
    members = []
    at = _skip(text, start + 1)
    while text[at] != "}":
        key, end = DECODER.raw_decode(text, at)
        value = _skip(text, _skip(text, end) + 1)
        _, end = DECODER.raw_decode(text, value)
        members.append(Member(key, at, value, end))
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return members


def _skip(text: str, at: int) -> int:
    match = SPACE.match(text, at)
    return match.end() if match else at
