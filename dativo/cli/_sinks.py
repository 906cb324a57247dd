"""Where the rows of `dativo read` go: a table, a pipe, one JSON document, or a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import IO, TYPE_CHECKING, Protocol

from dativo.cli import _terminal
from dativo.cli._atomic import atomic_file
from dativo.cli._figures import number
from dativo.cli._rows import JSON_LINES, ColumnsWriter, file_format, json_lines, open_columns

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ROWS_ON_TERMINAL", "Sink", "open_sink", "rejects_file"]

ROWS_ON_TERMINAL = 20


class Sink(Protocol):
    """Takes streams one after the other: `begin`, any number of `add`, `end`.

    Attributes:
        usual_limit: Rows of a stream it wants where the user does not say; None for all.
    """

    usual_limit: int | None

    def begin(self, stream: str, schema: pa.Schema) -> None: ...
    def add(self, batch: pa.RecordBatch) -> None: ...
    def end(self) -> None: ...


def open_sink(streams: Sequence[str], output: str | None, as_json: bool) -> AbstractContextManager[Sink]:
    """The sink for these streams, to be entered.

    Raises:
        ConfigError: The file's format cannot hold them.
    """
    if output is None:
        if as_json:
            return _document()
        if _terminal.is_terminal():
            return _preview()
        return _pipe(wrapped=len(streams) > 1)
    suffix = file_format(output)
    if len(streams) > 1 and suffix not in JSON_LINES:
        from dativo_protocols.errors import ConfigError

        known = ", ".join(f"`{stream}`" for stream in streams)
        raise ConfigError(
            f"`{output}` can hold one stream only, and there are {len(streams)}: {known}",
            hint="choose one with `--stream`, or write a `.jsonl` file",
        )
    return _file(output, suffix, wrapped=len(streams) > 1, as_json=as_json)


@contextmanager
def rejects_file(path: str) -> Iterator[Callable[[str, pa.RecordBatch], None]]:
    """A file of rejected rows as JSON lines.

    Yields:
        A function that takes a stream and its batch of rejects (`line`, `column`, `reason`, `record`).
    """
    rows = 0
    with atomic_file(path) as file:

        def add(stream: str, batch: pa.RecordBatch) -> None:
            nonlocal rows
            rows += batch.num_rows
            for row in batch.to_pylist():
                record = row["record"].decode("utf-8", "backslashreplace")
                file.write(json.dumps({"stream": stream, **row, "record": record}, ensure_ascii=False).encode() + b"\n")

        yield add
    if rows:
        _terminal.note(f"warning: {number(rows, 'row')} rejected, see `{path}`")


class _Preview:
    """A table a stream, drawn when the stream has ended."""

    usual_limit: int | None = ROWS_ON_TERMINAL

    def __init__(self) -> None:
        self._streams = 0

    def begin(self, stream: str, schema: pa.Schema) -> None:
        self._stream, self._schema = stream, schema
        self._batches: list[pa.RecordBatch] = []

    def add(self, batch: pa.RecordBatch) -> None:
        self._batches.append(batch)

    def end(self) -> None:
        import pyarrow as pa

        from dativo.cli._preview import show_rows

        table = pa.Table.from_batches(self._batches, self._schema)
        if self._streams:
            _terminal.write("\n")
        show_rows(self._stream, table)
        self._streams += 1
        if table.num_rows == ROWS_ON_TERMINAL:
            _terminal.note(f"the first {ROWS_ON_TERMINAL} rows; `--limit N` shows N")


class _Lines:
    """JSON lines; each batch is written at once, so that a reader of the pipe does not wait."""

    usual_limit: int | None = None

    def __init__(self, write: Callable[[bytes], object], *, wrapped: bool) -> None:
        self._write = write
        self._wrapped = wrapped
        self.rows: dict[str, int] = {}

    def begin(self, stream: str, schema: pa.Schema) -> None:
        self._stream = stream
        self.rows[stream] = 0

    def add(self, batch: pa.RecordBatch) -> None:
        self.rows[self._stream] += batch.num_rows
        self._write(json_lines(self._stream, batch, wrapped=self._wrapped))

    def end(self) -> None:
        pass


class _Document:
    """One JSON document: streams with their columns and rows; written as it comes, never held."""

    usual_limit: int | None = None

    def __init__(self) -> None:
        self._streams = 0

    def begin(self, stream: str, schema: pa.Schema) -> None:
        from dativo.cli._preview import type_name

        columns = [{"name": field.name, "type": type_name(field)} for field in schema]
        head = json.dumps({"stream": stream, "columns": columns}, ensure_ascii=False).removesuffix("}")
        _terminal.write_bytes(("," * bool(self._streams) + f'\n{head}, "rows": [').encode())
        self._stream, self._rows = stream, 0
        self._streams += 1

    def add(self, batch: pa.RecordBatch) -> None:
        lines = json_lines(self._stream, batch, wrapped=False).removesuffix(b"\n")
        if lines:
            _terminal.write_bytes((b",\n" if self._rows else b"\n") + lines.replace(b"\n", b",\n"))
            self._rows += batch.num_rows

    def end(self) -> None:
        _terminal.write_bytes(b"]}")


class _Columns:
    """A file of one schema."""

    usual_limit: int | None = None

    def __init__(self, file: IO[bytes], suffix: str) -> None:
        self._file = file
        self._suffix = suffix
        self.rows: dict[str, int] = {}

    def begin(self, stream: str, schema: pa.Schema) -> None:
        self._stream = stream
        self.rows[stream] = 0
        self._writer: ColumnsWriter = open_columns(self._file, self._suffix, schema)

    def add(self, batch: pa.RecordBatch) -> None:
        self.rows[self._stream] += batch.num_rows
        self._writer.write_batch(batch)

    def end(self) -> None:
        self._writer.close()


@contextmanager
def _preview() -> Iterator[Sink]:
    yield _Preview()


@contextmanager
def _pipe(*, wrapped: bool) -> Iterator[Sink]:
    yield _Lines(_terminal.write_bytes, wrapped=wrapped)


@contextmanager
def _document() -> Iterator[Sink]:
    _terminal.write_bytes(b'{"streams": [')
    yield _Document()
    _terminal.write_bytes(b"\n]}\n")


@contextmanager
def _file(output: str, suffix: str, *, wrapped: bool, as_json: bool) -> Iterator[Sink]:
    with atomic_file(output) as file:
        sink = _Lines(file.write, wrapped=wrapped) if suffix in JSON_LINES else _Columns(file, suffix)
        yield sink
    if as_json:
        streams = [{"stream": stream, "rows": rows} for stream, rows in sink.rows.items()]
        _terminal.write_json({"output": output, "streams": streams})
    else:
        _terminal.note(f"{number(sum(sink.rows.values()), 'row')} written to `{output}`")
