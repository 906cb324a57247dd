"""Safe, unique names for columns and tables: one rule for every target, described in `docs/names.md`."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from typing import Literal, TypeAlias

from dativo_protocols import StreamId

__all__ = [
    "CHANGES",
    "DELETED_AT",
    "EXTRA",
    "EXTRACTED_AT",
    "LOADED_AT",
    "OWN_COLUMNS",
    "RUN_ID",
    "VALID_FROM",
    "VALID_TO",
    "VERSION",
    "adopt",
    "assign",
    "quarantine_name",
    "safe_name",
    "table_name",
    "table_names",
]

Kind: TypeAlias = Literal["column", "stream"]

EXTRA = "_dativo_extra"
"""The column with the properties that the schema does not know, as JSON text."""

CHANGES = "_dativo_changes"
"""The column with the cells that were nulled, as JSON text: a list of `{"column", "reason"}`."""

MAX_BYTES = 63
"""PostgreSQL's limit, the smallest of all targets that have one."""

LOADED_AT = "_dativo_loaded_at"
"""The column with the moment at which Dativo took the row: timestamp[us, UTC]."""

RUN_ID = "_dativo_run_id"
"""The column with the attempt that brought the row."""

EXTRACTED_AT = "_dativo_extracted_at"
"""The column with the moment at which the source read the row, as it says: timestamp[us, UTC]."""

VERSION = "_dativo_version"
"""The column with the version of the stream that the row belongs to, as Singer taps count them: int64."""

DELETED_AT = "_dativo_deleted_at"
"""The column with the moment at which the row was found to be gone at the source: timestamp[us, UTC]."""

VALID_FROM = "_dativo_valid_from"
"""`scd2`: the column with the first moment of this version of the row: timestamp[us, UTC]."""

VALID_TO = "_dativo_valid_to"
"""`scd2`: the column with the moment at which it was replaced or deleted, or null while it is the current one."""

_RESERVED = "_dativo"
OWN_COLUMNS = frozenset({EXTRA, CHANGES, LOADED_AT, RUN_ID, EXTRACTED_AT, VERSION, DELETED_AT, VALID_FROM, VALID_TO})
"""Columns that Dativo makes: they keep their names, and are no part of what a row says."""


def safe_name(name: str, kind: Kind) -> str:
    """The name by rules 1 to 3: a quoted identifier everywhere, of 1 to 63 bytes of UTF-8.

    Two names can become one: see `assign`.
    """
    text = unicodedata.normalize("NFC", name)
    if not (text.isascii() and text.isidentifier()):
        text = _joined(text)
    if not any(_is_wordly(character) for character in text):
        return f"{kind}_{_hash8(name)}"
    if unicodedata.category(text[0]) == "Nd":
        text = f"_{text}"
    return _cut(name, text) if len(text.encode()) > MAX_BYTES else text


def assign(names: Iterable[str], kind: Kind, taken: Mapping[str, str]) -> dict[str, str]:
    """Gives every name its safe name, unique under casefold (rule 4).

    The result depends on the set of names, not on their order. Dativo's own columns (`OWN_COLUMNS`) keep their names.

    Args:
        names: Original names, any text.
        kind: What they name.
        taken: Original to safe name, as the target keeps it; those names stay as they are.

    Returns:
        Original to safe name, for each of `names`, in their order.
    """
    wanted = list(dict.fromkeys(names))
    own = OWN_COLUMNS if kind == "column" else frozenset[str]()
    folded = {_fold(safe) for safe in taken.values()} | set(own)
    found = dict(taken) | {name: name for name in own}
    fresh = {name: safe_name(name, kind) for name in wanted if name not in found}
    for name in sorted(fresh, key=lambda name: (fresh[name] != name, name)):
        found[name] = _unique(name, fresh[name], folded)
    return {name: found[name] for name in wanted}


def adopt(names: Iterable[str], kind: Kind, existing: Iterable[str], taken: Mapping[str, str]) -> dict[str, str]:
    """Names for a table that has columns which Dativo did not make.

    A column that no original name maps to goes to the name that is equal to it; failing that, to the first name (by code point)
    whose safe name is equal to it under casefold. Everything else is as with `assign`.

    Args:
        existing: The columns that are there now.
        taken: The kept mapping; entries whose column is gone count as well, so that the column comes back under its name.
    """
    wanted = list(dict.fromkeys(names))
    mapped = dict(taken)
    used = {_fold(safe) for safe in taken.values()}
    foreign = {column for column in existing if _fold(column) not in used}
    new = sorted(name for name in wanted if name not in mapped)
    mapped |= {name: name for name in new if name in foreign}
    similar = {_fold(column): column for column in foreign if column not in mapped}
    for name in new:
        column = None if name in mapped else similar.pop(_fold(safe_name(name, kind)), None)
        if column is not None:
            mapped[name] = column
    # A column that matched nothing still blocks its name; its key must not be a name that is asked for.
    blocked = mapped | {f"\0{column}": column for column in similar.values()}
    return assign(wanted, kind, blocked)


def table_name(stream: StreamId, taken: Mapping[StreamId, str], reserved: Collection[str] = ()) -> str:
    """The table of a stream: `name`, or `namespace__name`, made safe and unique under casefold.

    Args:
        taken: Tables of known streams; a stream in it keeps its table.
        reserved: Further tables that are in the way, such as quarantine tables.
    """
    return table_names([stream], taken, reserved)[stream]


def table_names(
    streams: Iterable[StreamId], taken: Mapping[StreamId, str], reserved: Collection[str] = ()
) -> dict[StreamId, str]:
    """`table_name` for many streams at once: the result does not depend on their order."""
    wanted = list(dict.fromkeys(streams))
    folded = {_fold(table) for table in (*taken.values(), *reserved)}
    found = dict(taken)
    fresh = {stream: _original(stream) for stream in wanted if stream not in found}
    safe = {stream: safe_name(original, "stream") for stream, original in fresh.items()}
    for stream in sorted(fresh, key=lambda stream: (safe[stream] != fresh[stream], fresh[stream], stream.namespace or "")):
        found[stream] = _unique(fresh[stream], safe[stream], folded)
    return {stream: found[stream] for stream in wanted}


def quarantine_name(table: str, taken: Collection[str]) -> str:
    """The quarantine table of a table: `<table>__quarantine`, cut to 63 bytes and unique under casefold.

    Args:
        taken: All other tables, of streams and of quarantines.
    """
    name = f"{table}__quarantine"
    text = name if len(name.encode()) <= MAX_BYTES else _cut(name, name)
    return _unique(name, text, {_fold(other) for other in taken})


def _original(stream: StreamId) -> str:
    return stream.name if stream.namespace is None else f"{stream.namespace}__{stream.name}"


def _joined(text: str) -> str:
    characters: list[str] = []
    bad = False
    for character in text:
        if character == "_" or _is_wordly(character) or unicodedata.category(character)[0] == "M":
            characters.append(character)
            bad = False
        elif not bad:
            characters.append("_")
            bad = True
    return "".join(characters)


def _is_wordly(character: str) -> bool:
    category = unicodedata.category(character)
    return category[0] == "L" or category == "Nd"


def _hash8(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def _cut(name: str, text: str) -> str:
    """At most 54 bytes of the text at a character boundary, and the hash of the original name."""
    return f"{text.encode()[: MAX_BYTES - 9].decode('utf-8', 'ignore')}_{_hash8(name)}"


def _fold(name: str) -> str:
    """What case-insensitive databases and file systems may take for the same name."""
    return unicodedata.normalize("NFC", name.casefold())


def _unique(name: str, text: str, folded: set[str]) -> str:
    """Applies rule 4, and adds the result to `folded`."""
    unique, salt = text, 0
    while _fold(unique) in folded or (_fold(unique).startswith(_RESERVED) and unique == text):
        unique = _cut(f"{name}\0{salt}" if salt else name, text)
        salt += 1
    folded.add(_fold(unique))
    return unique
