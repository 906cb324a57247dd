"""A program as an Airbyte source; with Arrow data in the place of RECORD lines where the host wants it."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from typing import Any

from dativo_protocols import (
    Catalog,
    CatalogStream,
    ConfigError,
    ConnectionStatus,
    DativoError,
    Estimate,
    Rejects,
    State,
    StreamId,
    encode_json_lines,
)

from dativo_sdk._airbyte_catalog import descriptor, stream_entry
from dativo_sdk._capabilities import capabilities
from dativo_sdk._config import config_schema
from dativo_sdk._program.described import Described
from dativo_sdk._program.inputs import ON_BAD_ROWS, OnBadRows
from dativo_sdk._program.output import Output
from dativo_sdk._program.voice import line, now_ms, records, refuse_bad_rows
from dativo_sdk._reader import Partition, Piece
from dativo_sdk._saved_state import SavedState, state_message


class AirbyteVoice:
    """Speaks Airbyte's protocol.

    Args:
        arrow: BATCH and REJECTS messages; else RECORD lines, and what becomes of bad rows is said by `on_bad_rows`.
    """

    def __init__(self, output: Output, *, arrow: bool = False) -> None:
        self.on_bad_rows: OnBadRows = "fail"
        self._output = output
        self._arrow = arrow
        self._statuses: dict[StreamId, str] = {}
        self._counts: dict[StreamId, int] = {}

    def spec(self, plugin: type[Any]) -> None:
        """SPEC, with what Dativo wants to know under `dativo`."""
        described = Described.of(plugin)
        schema = config_schema(plugin)
        if not self._arrow:
            schema["properties"] = {**schema.get("properties", {}), ON_BAD_ROWS: {"enum": ["fail", "log"], "default": "fail"}}
        can = capabilities(plugin)
        said = {
            "connectionSpecification": schema,
            "supportsIncremental": "incremental" in can.modes,
            "dativo": {
                "api_version": described.api_version,
                "name": described.name,
                "version": described.version,
                "capabilities": can.to_json(),
            },
        }
        self._output.line(line({"type": "SPEC", "spec": said}))

    def status(self, status: ConnectionStatus) -> None:
        """CONNECTION_STATUS."""
        said = {"status": "SUCCEEDED" if status.succeeded else "FAILED", "message": status.message}
        self._output.line(line({"type": "CONNECTION_STATUS", "connectionStatus": said}))

    def catalog(self, catalog: Catalog) -> None:
        """CATALOG, with exact Arrow schemas under `arrow_schema`."""
        self._output.line(line({"type": "CATALOG", "catalog": {"streams": [stream_entry(stream) for stream in catalog.streams]}}))

    def partitions(self, partitions: Sequence[Partition]) -> None:
        """PARTITIONS: Dativo's own message."""
        self._output.line(partitions_message(partitions))

    def estimate(self, estimate: Estimate) -> None:
        """TRACE ESTIMATE."""
        said: dict[str, Any] = {"type": estimate.kind, "row_estimate": estimate.rows, "byte_estimate": estimate.nbytes}
        said |= {} if estimate.stream is None else descriptor(estimate.stream)
        self._trace("ESTIMATE", estimate={key: value for key, value in said.items() if value is not None})

    def started(self, streams: Sequence[CatalogStream]) -> None:
        """STREAM_STATUS, for each."""
        for stream in streams:
            self._stream_status(stream.id, "STARTED")

    def piece(self, piece: Piece) -> None:
        """BATCH or REJECTS; else RECORD lines."""
        if not self._arrow and isinstance(piece, Rejects):
            self.log("WARN", refuse_bad_rows(piece, self.on_bad_rows))
            return
        if self._statuses.get(piece.stream) != "RUNNING":
            self._stream_status(piece.stream, "RUNNING")
        self._counts[piece.stream] = self._counts.get(piece.stream, 0) + piece.rows
        if self._arrow:
            self._output.frame(piece, now_ms())
        else:
            head: dict[str, Any] = {"stream": piece.stream.name}
            head |= {} if piece.stream.namespace is None else {"namespace": piece.stream.namespace}
            before = b'{"type":"RECORD","record":%b,"data":' % line({**head, "emitted_at": now_ms()})[:-2]
            self._output.line(records(encode_json_lines(piece.data), before, b"}}"))

    def state(self, state: State, saved: SavedState) -> None:
        """STATE of the stream, or GLOBAL where all share it; with the number of records since the one before."""
        if state.stream is None:
            count = sum(self._counts.values())
            self._counts.clear()
        else:
            count = self._counts.pop(state.stream, 0)
        self._output.line(b'{"type":"STATE","state":%b}\n' % state_message(state, saved, count))

    def ended(self, error: BaseException | None) -> None:
        """STREAM_STATUS, for each that had one."""
        for stream in list(self._statuses):
            self._stream_status(stream, "COMPLETE" if error is None else "INCOMPLETE")

    def failed(self, error: BaseException) -> None:
        """TRACE ERROR."""
        said: dict[str, Any] = {"failure_type": failure_type(error)}
        if isinstance(error, DativoError):
            said["message"] = str(error)
            stream = next((stream for stream in self._statuses if str(stream) == error.facts.get("stream")), None)
            if stream is not None:
                said["stream_descriptor"] = descriptor(stream)
            if error.__cause__ is not None:
                said["stack_trace"] = "".join(traceback.format_exception(error))
        else:
            said["message"] = said["internal_message"] = words(error)
            said["stack_trace"] = "".join(traceback.format_exception(error))
        self._trace("ERROR", error=said)

    def log(self, level: str, message: str) -> None:
        """LOG; levels are Airbyte's."""
        self._output.line(line({"type": "LOG", "log": {"level": level, "message": message}}))

    def _stream_status(self, stream: StreamId, status: str) -> None:
        self._statuses[stream] = status
        self._trace("STREAM_STATUS", stream_status={"stream_descriptor": descriptor(stream), "status": status})

    def _trace(self, kind: str, **said: Any) -> None:
        self._output.line(line({"type": "TRACE", "trace": {"type": kind, "emitted_at": float(now_ms()), **said}}))


def failure_type(error: BaseException) -> str:
    """Who can mend it, in Airbyte's words."""
    if isinstance(error, DativoError) and error.retryable:
        return "transient_error"
    return "config_error" if isinstance(error, ConfigError) else "system_error"


def words(error: BaseException) -> str:
    """An error that is not of the tree, in a line."""
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def partitions_message(partitions: Sequence[Partition]) -> bytes:
    """Tokens in base64, each with the state message of its state, or null; and that `read` takes tokens on stdin too."""
    from base64 import b64encode

    entries = [
        b'{"token":"%b","state":%b}'
        % (b64encode(each.token), b"null" if each.state is None else state_message(each.state, SavedState().merged(each.state)))
        for each in partitions
    ]
    return b'{"type":"PARTITIONS","on_stdin":true,"partitions":[%b]}\n' % b",".join(entries)
