"""Rows as a table that fits the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dativo.cli import _terminal
from dativo.cli._figures import number
from dativo.cli._rows import OPTIONAL

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["show_rows"]

NARROWEST = 12
WIDEST = 60
GAP = 2


def show_rows(stream: str, table: pa.Table) -> None:
    """Writes rows to stdout: names and types above, NULLs dim, what does not fit the width named below."""
    from rich.table import Table
    from rich.text import Text

    console = _terminal.console()
    kept = [
        i for i, field in enumerate(table.schema) if field.name not in OPTIONAL or table.column(i).null_count < table.num_rows
    ]
    fields = [table.schema.field(i) for i in kept]
    cells = [[None if text is None else _one_line(text) for text in _texts(table.column(i))] for i in kept]
    heads = [(_one_line(field.name), type_name(field)) for field in fields]
    widths = _fitting([_widest(head, column) for head, column in zip(heads, cells, strict=True)], console.width)
    drawn = Table(
        box=None, title=_one_line(stream), title_justify="left", title_style="bold", pad_edge=False, padding=(0, 2, 0, 0)
    )
    for (name, kind), field, width in zip(heads, fields, widths, strict=False):
        header = Text.assemble((name, "bold"), "\n", (kind, "dim"))
        drawn.add_column(header, justify="right" if _is_number(field) else "left", no_wrap=True, overflow="ellipsis", width=width)
    for row in range(table.num_rows):
        drawn.add_row(*(Text("NULL", style="dim") if (text := cells[i][row]) is None else Text(text) for i in range(len(widths))))
    console.print(drawn)
    hidden = [name for name, _ in heads[len(widths) :]]
    if hidden:
        console.print(Text(f"{number(len(hidden), 'more column')}: {', '.join(hidden)}", style="dim"))


def type_name(field: pa.Field) -> str:
    """A column's type in short: `string`, `int64`, `timestamp`, `decimal(38, 2)`, `json`."""
    import pyarrow as pa

    metadata = field.metadata or {}
    kind = field.type
    if metadata.get(b"ARROW:extension:name") == b"arrow.json" or getattr(kind, "extension_name", "") == "arrow.json":
        return "json"
    if pa.types.is_timestamp(kind):
        return "timestamp" if kind.tz else "timestamp, no zone"
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision}, {kind.scale})"
    if pa.types.is_date32(kind):
        return "date"
    if pa.types.is_time(kind):
        return "time"
    return str(kind)


def _is_number(field: pa.Field) -> bool:
    import pyarrow as pa

    kind = field.type
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _texts(column: pa.ChunkedArray) -> list[str | None]:
    import pyarrow as pa

    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return _texts(pa.chunked_array([chunk.storage for chunk in column.chunks], kind.storage_type))
    if pa.types.is_binary(kind):
        return [None if value is None else f"0x{value.hex()}" for value in column.to_pylist()]
    if pa.types.is_nested(kind):
        return [None if value is None else str(value) for value in column.to_pylist()]
    # The cast writes what Python has no value for, like the year 10000.
    return list(column.cast(pa.string()).to_pylist())


def _one_line(text: str) -> str:
    return _terminal.printable(text).replace("\n", "\\n").replace("\t", "\\t")


def _widest(head: tuple[str, str], column: Sequence[str | None]) -> int:
    from rich.cells import cell_len

    return max(cell_len(text) for text in (*head, *("NULL" if text is None else text for text in column)))


def _fitting(natural: Sequence[int], total: int) -> list[int]:
    """Widths of the first columns, as many as fit; where space is short, the widest are cut, but not below `NARROWEST`."""
    shown: list[int] = []
    for width in natural:
        if shown and sum(min(each, NARROWEST) + GAP for each in (*shown, width)) - GAP > total:
            break
        shown.append(width)
    widest = WIDEST
    while widest > NARROWEST and sum(min(width, widest) + GAP for width in shown) - GAP > total:
        widest -= 1
    return [min(width, widest) for width in shown]
