"""The members of JSON objects and arrays, each as it is written there: numbers keep every digit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from json.decoder import JSONDecodeError

_SPACE = " \t\r\n"


def members(text: str) -> Iterator[tuple[str, str]]:
    """Names and values of an object; of an array its elements, without names.

    Raises:
        ValueError: It is neither.
    """
    decoder = json.JSONDecoder()
    try:
        at = _skip(text, 0)
        opening = text[at]
        if opening not in "{[":
            raise JSONDecodeError("an object or an array is expected", text, at)
        at = _skip(text, at + 1)
        if text[at] in "}]":
            _end(text, at, opening)
            return
        while True:
            name = ""
            if opening == "{":
                name, at = decoder.raw_decode(text, at)
                at = _skip(text, at)
                if text[at] != ":" or not isinstance(name, str):
                    raise JSONDecodeError("a name and a `:` are expected", text, at)
                at = _skip(text, at + 1)
            start = at
            _, at = decoder.raw_decode(text, start)
            yield name, text[start:at]
            at = _skip(text, at)
            if text[at] != ",":
                _end(text, at, opening)
                return
            at = _skip(text, at + 1)
    except IndexError:
        raise JSONDecodeError("the text ends too early", text, len(text)) from None


def _end(text: str, at: int, opening: str) -> None:
    if text[at] != ("}" if opening == "{" else "]") or text[at + 1 :].strip(_SPACE):
        raise JSONDecodeError("the end is expected", text, at)


def _skip(text: str, at: int) -> int:
    while text[at] in _SPACE:
        at += 1
    return at
