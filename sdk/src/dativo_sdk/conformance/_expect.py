"""Assertions that say what was found, without a test framework."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dativo_protocols import DativoError

__all__ = ["refused", "same"]

_SHOWN = 1_000


def same(found: Any, expected: Any, what: str = "") -> None:
    """Raises `AssertionError` unless both are equal, with both, and what they are."""
    if found != expected:
        raise AssertionError(f"{f'{what}: ' if what else ''}expected {_shown(expected)}, found {_shown(found)}")


@contextmanager
def refused(*errors: type[DativoError]) -> Iterator[dict[str, object]]:
    """The block must raise one of these errors; gives a mapping that holds the error's facts after it."""
    facts: dict[str, object] = {}
    try:
        yield facts
    except errors as error:
        facts.update(error.facts)
    else:
        raise AssertionError(f"expected {' or '.join(f'`{each.__name__}`' for each in errors)}, and nothing was refused")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"
