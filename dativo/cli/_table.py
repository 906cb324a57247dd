"""Tables of text: drawn and fitted on a terminal, aligned columns elsewhere."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from dativo.cli import _terminal

__all__ = ["Column", "show_pairs", "show_table"]


class Column(NamedTuple):
    """A column's title; numbers stand to the right."""

    title: str
    right: bool = False


def show_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], *, title: str | None = None) -> None:
    """Writes a table to stdout."""
    if _terminal.is_terminal():
        _draw(columns, rows, title)
        return
    if title:
        _terminal.write(_terminal.printable(title) + "\n")
    lines = [[column.title for column in columns], *([_one_line(cell) for cell in row] for row in rows)]
    widths = [max(_width(line[i]) for line in lines) for i in range(len(columns))]
    for line in lines:
        cells = (_padded(cell, width, column.right) for cell, width, column in zip(line, widths, columns, strict=True))
        _terminal.write("  ".join(cells).rstrip() + "\n")


def show_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """Writes labels and what they stand for to stdout, one a line."""
    width = max(len(label) for label, _ in pairs)
    for label, text in pairs:
        _terminal.write(f"{label:<{width}}  {_terminal.printable(text)}\n")


def _draw(columns: Sequence[Column], rows: Sequence[Sequence[str]], title: str | None) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column.title, justify="right" if column.right else "left", overflow="fold", no_wrap=column.right)
    for row in rows:
        table.add_row(*(_one_line(cell) for cell in row))
    _terminal.console().print(table)


def _one_line(text: str) -> str:
    return _terminal.printable(text).replace("\n", "\\n").replace("\t", "\\t")


def _width(text: str) -> int:
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _padded(text: str, width: int, right: bool) -> str:
    space = " " * (width - _width(text))
    return space + text if right else text + space
