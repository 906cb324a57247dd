"""Two jobs may write to one dataset at the same time: what a commit did to a table, and when a name was taken in between."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping

import pyarrow as pa
from dativo_protocols import StreamId
from dativo_protocols.errors import TargetError
from dativo_sdk import SchemaChange

from dativo._evolution import same_type, type_text
from dativo.targets._commit_record import Picture


def schema_changes(stream: StreamId, before: pa.Schema | None, after: pa.Schema | None) -> Iterator[SchemaChange]:
    """What a commit changed of a table's columns; `before` is the table as it is found at the commit."""
    if after is None:
        return
    if before is None:
        yield SchemaChange(stream, "table", None, None, None)
        return
    for column in after:
        if column.name not in before.names:
            yield SchemaChange(stream, "column", column.name, None, type_text(column))
        elif not same_type(before.field(column.name), column):
            yield SchemaChange(stream, "type", column.name, type_text(before.field(column.name)), type_text(column))


def refuse_clash(picture: Picture, stream: StreamId, table: str, quarantine: str | None, columns: Mapping[str, str]) -> None:
    """Names are chosen when a stream comes, and settled when it is committed.

    Raises:
        TargetError: Another job has given one of them away since; the next run sees that and chooses others.
    """
    others = {
        _fold(name)
        for known, other in picture.tables.items()
        if known != stream
        for name in (other.table, other.quarantine)
        if name is not None
    }
    mine = {_fold(name) for name in (table, quarantine) if name is not None}
    found = picture.tables.get(stream)
    settled = found.columns if found is not None else {}
    together = {**settled, **columns}
    if (
        mine & others
        or (found is not None and found.table != table)
        or (found is not None and None not in (found.quarantine, quarantine) and found.quarantine != quarantine)
        or any(together[name] != safe for name, safe in settled.items())
        or len({_fold(safe) for safe in together.values()}) != len(together)
    ):
        raise TargetError(
            f"another job has just given a name that stream `{stream}` needs",
            hint="run again: the names are settled now",
            retryable=True,
            facts={"stream": str(stream)},
        )


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name.casefold())
