"""Cutting parts out of JSON text without writing the rest anew: `1.10` would become `1.1`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from dativo_protocols.errors import StateError

__all__ = ["Part", "items", "members", "parse", "remove_items", "remove_members"]

SPACE = re.compile(r"[ \t\r\n]*")

# Digits stay text: nothing is computed with them, and Python limits how long an integer may be.
DECODER = json.JSONDecoder(parse_float=str, parse_int=str, strict=False)


class Part(NamedTuple):
    """One member of an object or one item of an array, by its places in the text: all of it, its value, and its end.

    Attributes:
        key: Empty for an item.
        parsed: The value, with numbers as their text.
    """

    key: str
    start: int
    value: int
    end: int
    parsed: Any


def parse(state: bytes) -> Any:
    """The state as Python values, numbers as their text.

    Raises:
        StateError: It is not JSON.
    """
    try:
        return DECODER.decode(state.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError) as error:
        raise StateError(f"the stored state is not JSON: {error}", hint="put another one with `dativo state set`") from None


def members(text: str, start: int = 0) -> list[Part]:
    """Those of the object that begins at a place; none when there is no object."""
    return _parts(text, _skip(text, start), "{", "}")


def items(text: str, start: int = 0) -> list[Part]:
    """Those of the array that begins at a place; none when there is no array."""
    return _parts(text, _skip(text, start), "[", "]")


def remove_members(state: bytes, paths: Collection[tuple[str, ...]]) -> bytes:
    """The JSON object without the members at these paths; everything else byte by byte as it was."""
    text = state.decode("utf-8", "surrogateescape")
    for path in paths:
        text = _remove(text, _skip(text, 0), path)
    return text.encode("utf-8", "surrogateescape")


def remove_items(text: str, start: int, unwanted: Callable[[Any], bool]) -> str:
    """The text without the unwanted items of the array that begins at a place."""
    found = items(text, start)
    for place in reversed(range(len(found))):
        if unwanted(found[place].parsed):
            text = _cut(text, found, place)
    return text


def _remove(text: str, start: int, path: tuple[str, ...]) -> str:
    """A name may stand twice in one object."""
    found = members(text, start)
    for place in reversed(range(len(found))):
        if found[place].key == path[0]:
            text = _cut(text, found, place) if len(path) == 1 else _remove(text, found[place].value, path[1:])
    return text


def _cut(text: str, parts: list[Part], place: int) -> str:
    """Without one part and one comma; cut from the last to the first, since places before it stay right."""
    part = parts.pop(place)
    if place < len(parts):
        following = parts[place].start
        parts[place] = parts[place]._replace(start=part.start)
        return text[: part.start] + text[following:]
    return text[: parts[place - 1].end if place else part.start] + text[part.end :]


def _parts(text: str, start: int, opening: str, closing: str) -> list[Part]:
    if not text.startswith(opening, start):
        return []
    found: list[Part] = []
    at = _skip(text, start + 1)
    while text[at] != closing:
        begin, key = at, ""
        if opening == "{":
            key, end = DECODER.raw_decode(text, at)
            at = _skip(text, _skip(text, end) + 1)
        value, end = DECODER.raw_decode(text, at)
        found.append(Part(key, begin, at, end, value))
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return found


def _skip(text: str, at: int) -> int:
    match = SPACE.match(text, at)
    return match.end() if match else at
