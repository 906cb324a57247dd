"""Transcripts of what taps write (`protocols/conformance/<case>.jsonl`) and what each must give (`<case>.expected.json`).

`python -m protocols.tests.transcripts` writes down what the decoder gives now; read the difference before you commit it.
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
from dativo_protocols import Batch, BatchFiles, DativoError, Log, Message, Rejects, Schema, SingerDecoder, State, Version

CASES = Path(__file__).parent.parent / "conformance"


@contextmanager
def decoding(pieces: Iterable[bytes], **options: Any) -> Iterator[SingerDecoder]:
    """A decoder whose input is written piece by piece, by a thread, into a pipe."""
    reader, writer = os.pipe()
    decoder = SingerDecoder(reader, **options)
    os.close(reader)

    def write() -> None:
        try:
            for piece in pieces:
                view = memoryview(piece)
                while view:
                    view = view[os.write(writer, view) :]
        except BrokenPipeError:
            pass
        finally:
            os.close(writer)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield decoder
    finally:
        decoder.close()
        thread.join()


def plain(value: object) -> object:
    """A cell as JSON: exact, and readable in a file of expectations."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return f"float {value}"
    return value


def rows_of(data: Any) -> list[dict[str, Any]]:
    """The rows of a batch, cells that are null left out."""
    batch = pa.record_batch(data)
    rows: list[dict[str, Any]] = [{} for _ in range(batch.num_rows)]
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        for row, cell in zip(rows, column.to_pylist(), strict=True):
            if cell is not None:
                row[name] = plain(cell)
    return rows


def columns_of(data: Any) -> dict[str, str]:
    """Column names and types of a schema; JSON text is `json`, a column without nulls is marked."""
    schema = pa.schema(data)
    columns = {}
    for field in schema:
        metadata = field.metadata or {}
        is_json = metadata.get(b"ARROW:extension:name") == b"arrow.json" or str(field.type).startswith("extension<arrow.json")
        columns[field.name] = ("json" if is_json else str(field.type)) + ("" if field.nullable else " not null")
    return columns


class Result:
    """What a transcript gave, however it was cut into pieces and batches."""

    def __init__(self) -> None:
        self.streams: dict[str, list[dict[str, Any]]] = {}
        self.state: str | None = None
        self.logs: list[str] = []
        self.error: dict[str, Any] | None = None
        self.rows_in: dict[str, int] = {}

    def take(self, message: Message) -> None:
        if isinstance(message, State):
            self.state = message.data.decode()
            return
        if isinstance(message, Log):
            self.logs.append(f"{message.level}: {message.message}")
            return
        epochs = self.streams.setdefault(message.stream.name, [])
        if isinstance(message, Schema):
            key, cursor = list(message.primary_key), list(message.cursor)
            epochs.append({"columns": columns_of(message.data), "primary_key": key, "cursor": cursor})
            return
        if not epochs:
            epochs.append({})
        if isinstance(message, Batch):
            epochs[-1].setdefault("rows", []).extend(rows_of(message.data))
        elif isinstance(message, Rejects):
            epochs[-1].setdefault("rejects", []).extend(rows_of(message.data))
        elif isinstance(message, Version):
            epochs[-1].setdefault("rows", []).append(f"ACTIVATE_VERSION {message.version}")
        elif isinstance(message, BatchFiles):
            decoded = "decoded" if message.decoded else "not decoded"
            text = f"{len(message.files)} files, {message.format}, {message.compression}, {decoded}"
            epochs[-1].setdefault("rows", []).append(text)

    def as_json(self) -> dict[str, Any]:
        return {
            "streams": self.streams,
            "state": self.state,
            "logs": self.logs,
            "rows_in": self.rows_in,
            "error": self.error,
        }


def result_of(pieces: Iterable[bytes], **options: Any) -> dict[str, Any]:
    """Decodes a transcript to its end, or to its error."""
    result = Result()
    with decoding(pieces, **options) as decoder:
        try:
            for message in decoder:
                result.take(message)
        except DativoError as error:
            result.error = {"type": type(error).__name__, "message": error.message, "facts": error.facts}
        result.rows_in = {str(stream): count for stream, count in sorted(decoder.rows_in.items())}
    return result.as_json()


def transcript(case: str) -> bytes:
    """Its bytes, with `{dir}` filled in."""
    return (CASES / f"{case}.jsonl").read_bytes().replace(b"{dir}", str(CASES).encode())


def write_expectations() -> None:
    for path in sorted(CASES.glob("*.expected.json")):
        expected = json.loads(path.read_text())
        result = result_of([transcript(path.name.removesuffix(".expected.json"))], **expected["options"])
        whole = {"about": expected["about"], "options": expected["options"], "result": result}
        path.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    write_expectations()
