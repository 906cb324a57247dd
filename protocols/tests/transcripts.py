"""Transcripts of what connectors write (`protocols/conformance/<case>.jsonl`) and what each must give (`<case>.expected.json`).

Cases in `protocols/conformance/airbyte/` are what Airbyte sources write, those in `arrow/` (`<case>.bin`) what programs of the
Arrow protocol do, the others what Singer taps do.

`python -m protocols.tests.transcripts` writes down what the decoder gives now; read the difference before you commit it.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
from dativo_protocols import (
    AirbyteDecoder,
    Batch,
    BatchFiles,
    DativoError,
    Log,
    Message,
    Rejects,
    Schema,
    SingerDecoder,
    State,
    StreamId,
    Version,
)

CASES = Path(__file__).parent.parent / "conformance"


@contextmanager
def decoding(
    pieces: Iterable[bytes], *, make: Callable[..., SingerDecoder | AirbyteDecoder] = SingerDecoder, **options: Any
) -> Iterator[Any]:
    """A decoder whose input is written piece by piece, by a thread, into a pipe."""
    reader, writer = os.pipe()
    try:
        decoder = make(reader, **options)
    except BaseException:
        os.close(writer)
        raise
    finally:
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


def readable(value: Any) -> Any:
    """A field of a message as JSON."""
    if isinstance(value, StreamId):
        return str(value)
    if isinstance(value, tuple):
        return [readable(item) for item in value]
    if hasattr(value, "__arrow_c_schema__"):
        return columns_of(value)
    if dataclasses.is_dataclass(value):
        return {field.name: readable(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return plain(value)


class Result:
    """What a transcript gave, however it was cut into pieces and batches."""

    def __init__(self) -> None:
        self.streams: dict[str, list[dict[str, Any]]] = {}
        self.state: str | None = None
        self.logs: list[str] = []
        self.said: list[dict[str, Any]] = []
        self.error: dict[str, Any] | None = None
        self.rows_in: dict[str, int] = {}

    def take(self, message: Message) -> None:
        if isinstance(message, State):
            self.state = message.data.decode()
            return
        if isinstance(message, Log):
            self.logs.append(f"{message.level}: {message.message}")
            return
        if not isinstance(message, Schema | Batch | Rejects | Version | BatchFiles):
            fields = {field.name: getattr(message, field.name) for field in dataclasses.fields(message)}
            self.said.append({type(message).__name__: {name: readable(value) for name, value in fields.items()}})
            return
        epochs = self.streams.setdefault(str(message.stream), [])
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
            **({"said": self.said} if self.said else {}),
            "rows_in": self.rows_in,
            "error": self.error,
        }


def airbyte(fd: int, **options: Any) -> AirbyteDecoder:
    """A decoder with its options as an expectation has them: JSON instead of bytes, `[name, namespace]` instead of streams."""
    for name in {"catalog", "state"} & options.keys():
        value = options[name]
        options[name] = (value if isinstance(value, str) else json.dumps(value)).encode()
    for name in {"fields", "types"} & options.keys():
        options[name] = {StreamId(*stream): value for stream, value in options[name]}
    return AirbyteDecoder(fd, **options)


def result_of(case: str, pieces: Iterable[bytes], **options: Any) -> dict[str, Any]:
    """Decodes a transcript to its end, or to its error."""
    result = Result()
    make = airbyte if case.startswith(("airbyte/", "arrow/")) else SingerDecoder

    def fail(error: DativoError) -> None:
        result.error = {"type": type(error).__name__, "message": error.message, "facts": error.facts}

    with ExitStack() as stack:
        try:
            decoder = stack.enter_context(decoding(pieces, make=make, **options))
        except DativoError as error:
            fail(error)
            return result.as_json()
        try:
            for message in decoder:
                result.take(message)
        except DativoError as error:
            fail(error)
        result.rows_in = dict(sorted((str(stream), count) for stream, count in decoder.rows_in.items()))
    return result.as_json()


def transcript(case: str) -> bytes:
    """Its bytes, with `{dir}` filled in."""
    if case.startswith("arrow/"):
        return (CASES / f"{case}.bin").read_bytes()
    return (CASES / f"{case}.jsonl").read_bytes().replace(b"{dir}", str(CASES).encode())


def write_expectations(folder: str = "") -> None:
    for path in sorted((CASES / folder).rglob("*.expected.json")):
        expected = json.loads(path.read_text())
        case = str(path.relative_to(CASES)).removesuffix(".expected.json")
        result = result_of(case, [transcript(case)], **expected["options"])
        whole = {"about": expected["about"], "options": expected["options"], "result": result}
        path.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    write_expectations()
