"""Which columns decide what a merge makes of a row."""

from __future__ import annotations

import pyarrow as pa
from dativo_protocols import frozen
from dativo_sdk import ConfiguredStream

from dativo._names import DELETED_AT, EXTRA, OWN_COLUMNS, VALID_TO, VERSION

__all__ = ["Columns"]


@frozen
class Columns:
    """Which of a table's columns the merge looks at.

    Attributes:
        key: What identifies rows; in `append_dedup`, what has to be equal.
        content: What is compared to find rows that change nothing.
        moments: Whether the cursor says when a row became what it is.
    """

    key: tuple[str, ...]
    cursor: str | None
    mark: str | None
    version: str | None
    deleted_at: str | None
    valid_to: str | None
    content: tuple[str, ...]
    moments: bool

    @classmethod
    def of(cls, stream: ConfiguredStream, names: dict[str, str], schema: pa.Schema) -> Columns:
        """Those of a stream whose columns have these names in a table of this schema.

        Args:
            names: Original to table column names.
        """
        mode = stream.write_mode
        content = tuple(name for name in schema.names if name not in OWN_COLUMNS or name == EXTRA)
        key = tuple(names[name] for name in stream.primary_key) if mode != "append" else ()
        cursor = names.get(stream.cursor) if stream.cursor is not None and mode != "append" else None
        if cursor is not None and not _orders(schema.field(cursor)):
            cursor = None
        if mode == "append_dedup":
            key = content if not key else (*key, *(() if cursor is None else (cursor,)))
            cursor = None
        mark = names.get(stream.delete_mark) if stream.delete_mark is not None and stream.deletes != "ignore" else None
        moments = cursor is not None and (
            pa.types.is_timestamp(schema.field(cursor).type) or pa.types.is_date(schema.field(cursor).type)
        )
        present = set(schema.names)
        return cls(
            tuple(dict.fromkeys(key)),
            cursor,
            mark,
            VERSION if VERSION in present else None,
            DELETED_AT if DELETED_AT in present else None,
            VALID_TO if VALID_TO in present and mode == "scd2" else None,
            content if mode == "scd2" else (),
            moments,
        )

    @property
    def of_new_rows(self) -> list[str]:
        """What `Merge.add_new` wants to see."""
        return list(dict.fromkeys([*self.key, *_some(self.cursor, self.mark, self.version), *self.content]))

    @property
    def of_old_rows(self) -> list[str]:
        """What `Merge.add_old` wants to see."""
        seen = [*self.key, *_some(self.cursor, self.version, self.deleted_at, self.valid_to), *self.content]
        return list(dict.fromkeys(seen))


def _orders(column: pa.Field) -> bool:
    """Whether a cursor of this type has an order to go by."""
    kind = column.type
    return not (column.metadata or pa.types.is_binary(kind) or pa.types.is_nested(kind))


def _some(*names: str | None) -> list[str]:
    return [name for name in names if name is not None]
