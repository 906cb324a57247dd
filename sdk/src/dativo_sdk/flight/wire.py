"""What clients and servers say to each other, beside the rows.

Actions take and give JSON; what they give is the lines that a program would say (`spec`, `check`, `discover`), or an object:
`health`; `open`, which begins a reading and gives its `session`; `close`. DoGet with a session as its ticket gives the rows up to
where the schema, or the stream, changes. With each batch goes JSON as metadata: `stream`, `namespace`, `kind`, and `state` where
there is one behind it. A last batch without rows has `more`: whether another DoGet is to follow. An error is an object `error`.

A writer is begun with `write`, which gives its `session`. `request` has a `line` of `dativo_sdk._writer_wire`, and gives its
answer. DoPut stages batches: its descriptor is JSON with `session`, `type` (`BATCH` or `REJECTS`), `stream` and `namespace`; what
goes wrong is the answer to the next request.
"""

from __future__ import annotations

import json
from typing import Any

from dativo_protocols import ConfigError, ConnectorError, ContractError, DativoError, State, StreamId

KINDS: dict[str, type[DativoError]] = {"config": ConfigError, "connector": ConnectorError, "contract": ContractError}


def error_to_json(error: BaseException) -> dict[str, Any]:
    """An error, to be raised on the other side."""
    if not isinstance(error, DativoError):
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return {"kind": "connector", "message": text, "again": True}
    kind = next((name for name, known in KINDS.items() if isinstance(error, known)), "connector")
    return {"kind": kind, "message": error.message, "hint": error.hint, "retryable": error.retryable, "again": error.again}


def error_from_json(said: dict[str, Any]) -> DativoError:
    """The error that the other side raised; what is missing in it has its default."""
    kind = KINDS.get(str(said.get("kind")), ConnectorError)
    hint = said.get("hint")
    return kind(
        str(said.get("message", "the server failed")),
        hint=hint if isinstance(hint, str) else None,
        retryable=said.get("retryable") is True,
        again=said.get("again") is True,
    )


def state_to_json(state: State) -> dict[str, Any]:
    """A state; its bytes stay as they are."""
    stream = state.stream
    named = {} if stream is None else {"stream": stream.name, "namespace": stream.namespace}
    return {**named, "data": state.data.decode()}


def state_from_json(said: dict[str, Any]) -> State:
    """The state again."""
    stream = StreamId(said["stream"], said.get("namespace")) if "stream" in said else None
    return State(str(said["data"]).encode(), stream)


def dumped(said: object) -> bytes:
    """As JSON."""
    return json.dumps(said, ensure_ascii=False).encode()
