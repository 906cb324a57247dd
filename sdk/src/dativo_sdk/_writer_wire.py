"""What a host and a writer in another process say to each other: requests on the writer's stdin, replies on its stdout.

Each message is a line of JSON; BATCH and REJECTS have Arrow data behind their line, as in the Arrow protocol of readers.

| request | reply |
|---|---|
| `INITIALIZE` job, run_id, api_version | `INITIALIZED` state, write_modes, powers |
| `STREAM` stream | none: how it is to be written from now on |
| `BATCH`, `REJECTS` | none |
| `SCHEMA?` stream | `SCHEMA` arrow_schema, or null |
| `COMMIT` state, final | `RECEIPT` written, quarantined, changes, commit_id |
| `ROWS?` stream | `ROWS` rows, or null |
| `NAMES?` stream | `NAMES` names |
| `ACTIVATE_VERSION` stream, version | `DONE` |
| `INSPECT?` job, streams | `INSPECTION` state, tables |
| `REJECTED?` | `REJECTED` rejected |
| `READ_REJECTS` stream | `REJECTS` any number of times, then `DONE` |
| `REMOVE_REJECTS` stream, ids | `DONE` |
| `CLOSE` | none: the process ends with 0 |

An `ERROR` may come at any time, also without a request: then the writer has failed, answers nothing more and waits for `CLOSE`.
When its stdin ends without one, the host is gone: it closes without a commit. Bytes are in base64.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast

from dativo_protocols import DativoError, StreamId, TargetError, errors

from dativo_sdk._writer import ConfiguredStream, Receipt, SchemaChange

MAX_LINE_BYTES = 256 << 20


def line(kind: str, **said: Any) -> bytes:
    """One message."""
    return json.dumps({"type": kind, **said}, ensure_ascii=False, default=str).encode("utf-8", "surrogatepass") + b"\n"


def parse(data: bytes) -> dict[str, Any]:
    """A message.

    Raises:
        ValueError: It is none.
    """
    said = json.loads(data)
    if not isinstance(said, dict) or not isinstance(said.get("type"), str):
        raise ValueError("it is no object with a `type`")
    return said


def stream_json(stream: StreamId) -> dict[str, Any]:
    """A stream's identity."""
    return {"name": stream.name, "namespace": stream.namespace}


def stream_id(said: Mapping[str, Any]) -> StreamId:
    """The stream of it."""
    return StreamId(str(said["name"]), said.get("namespace"))


def configured_json(stream: ConfiguredStream) -> dict[str, Any]:
    """How a stream is to be written."""
    return {**asdict(stream), "id": stream_json(stream.id)}


def configured_stream(said: Mapping[str, Any]) -> ConfiguredStream:
    """The stream of it; what a newer host says besides is not understood here."""
    own = {key: said[key] for key in ("write_mode", "cursor", "deletes", "delete_mark") if key in said}
    return ConfiguredStream(stream_id(said["id"]), primary_key=tuple(said.get("primary_key", ())), **own)


def packed(data: bytes | None) -> str | None:
    """Bytes as text."""
    return None if data is None else b64encode(data).decode()


def unpacked(text: str | None) -> bytes | None:
    """The bytes of it."""
    return None if text is None else b64decode(text)


def counts_json(counts: Mapping[StreamId, int]) -> list[dict[str, Any]]:
    """Rows by stream."""
    return [{**stream_json(stream), "rows": rows} for stream, rows in counts.items()]


def counts(said: list[Mapping[str, Any]]) -> dict[StreamId, int]:
    """The counts of it."""
    return {stream_id(each): int(each["rows"]) for each in said}


def receipt_json(receipt: Receipt) -> dict[str, Any]:
    """What a commit made durable."""
    return {
        "written": counts_json(receipt.written),
        "quarantined": counts_json(receipt.quarantined),
        "changes": [{**asdict(change), "stream": stream_json(change.stream)} for change in receipt.changes],
        "commit_id": receipt.commit_id,
    }


def receipt(said: Mapping[str, Any]) -> Receipt:
    """The receipt of it."""
    changes = tuple(
        SchemaChange(stream_id(each["stream"]), each["kind"], each["column"], each["before"], each["after"])
        for each in said.get("changes", ())
    )
    return Receipt(counts(said["written"]), counts(said["quarantined"]), changes, str(said.get("commit_id", "")))


def error_json(error: Exception) -> dict[str, Any]:
    """An error of the tree with all that it says; of any other its name and its text."""
    if not isinstance(error, DativoError):
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return {"error": "TargetError", "message": text, "hint": None, "retryable": False, "again": False, "facts": {}}
    known = type(error) if type(error).__name__ in errors.__all__ else TargetError
    return {
        "error": known.__name__,
        "message": error.message,
        "hint": error.hint,
        "retryable": error.retryable,
        "again": error.again,
        "facts": error.facts,
    }


def error_of(said: Mapping[str, Any]) -> DativoError:
    """The error of it."""
    kind = said.get("error")
    known = cast(type[DativoError], getattr(errors, str(kind))) if kind in errors.__all__ else TargetError
    hint, facts, retryable = said.get("hint"), said.get("facts"), bool(said.get("retryable", False))
    return known(
        str(said.get("message", "the writer failed")),
        hint=hint if isinstance(hint, str) else None,
        retryable=retryable,
        again=bool(said.get("again", retryable)),
        facts=facts if isinstance(facts, dict) else {},
    )
