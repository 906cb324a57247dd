"""Tables of text: aligned columns, fitted to the width of a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Literal, NamedTuple

from dativo.cli import _terminal

__all__ = ["Column", "show_pairs", "show_table"]

FOLDED = 16


class Column(NamedTuple):
    """A column.

    Attributes:
        title: Its heading.
        right: Its texts stand to the right, as numbers do.
        folds: Its texts may take several lines where a terminal is narrow; all others are to be copied whole.
    """

    title: str
    right: bool = False
    folds: bool = False


def show_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Writes a table to stdout. A terminal too narrow for it gets the same lines, and breaks them itself."""
    cells = [[_one_line(cell) for cell in row] for row in rows]
    widths = [max(_width(column.title), *(_width(row[i]) for row in cells), 0) for i, column in enumerate(columns)]
    if _terminal.is_terminal() and _draw(columns, cells, widths):
        return
    for line in ([column.title for column in columns], *cells):
        padded = (_padded(cell, width, column.right) for cell, width, column in zip(line, widths, columns, strict=True))
        _terminal.write("  ".join(padded).rstrip() + "\n")


def show_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """Writes labels and what they stand for to stdout, one a line."""
    width = max(len(label) for label, _ in pairs)
    for label, text in pairs:
        _terminal.write(f"{label:<{width}}  {_terminal.printable(text)}\n")


def _draw(columns: Sequence[Column], rows: Sequence[Sequence[str]], widths: Sequence[int]) -> bool:
    """Draws it where it fits; says whether it did."""
    from rich.table import Table
    from rich.text import Text

    console = _terminal.console()
    least = sum(min(width, FOLDED) if column.folds else width for column, width in zip(columns, widths, strict=True))
    if least + 2 * (len(columns) - 1) > console.width:
        return False
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        justify: Literal["right", "left"] = "right" if column.right else "left"
        table.add_column(column.title, justify=justify, overflow="fold", no_wrap=not column.folds)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
    return True


def _one_line(text: str) -> str:
    return _terminal.printable(text).replace("\n", "\\n").replace("\t", "\\t")


def _width(text: str) -> int:
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _padded(text: str, width: int, right: bool) -> str:
    space = " " * (width - _width(text))
    return space + text if right else text + space
