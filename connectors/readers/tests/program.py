"""A reader's program, driven as a host drives it, with the methods of `dativo_sdk.Reader`."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
from dativo_protocols import Batch, Catalog, CatalogStream, ConfigError, ConnectorError, Estimate, Rejects, State, StreamId
from dativo_sdk import Partition, ReadCatalog, SavedState

PROGRAMS = Path(sys.executable).parent
"""Those of the wheel."""
_KINDS: dict[str, tuple[type[ConfigError | ConnectorError], bool]] = {
    "config_error": (ConfigError, False),
    "transient_error": (ConnectorError, True),
    "system_error": (ConnectorError, False),
}


class ProgramReader:
    program: str

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="dativo-reader-")
        self._process: subprocess.Popen[bytes] | None = None
        self._ahead: dict[str, Any] | None = None

    def initialize(self, config: Mapping[str, Any], catalog: ReadCatalog | None, state: SavedState | None) -> None:
        self._catalog, self._state = catalog, state
        self._config = self._file("config.json", {name: value for name, value in config.items() if value is not None})

    def get_schema(self) -> Catalog:
        self._start("discover")
        catalog = self._answer()["catalog"]
        return Catalog(tuple(_stream(entry) for entry in catalog["streams"]), catalog)

    def read_batch(self, max_rows: int) -> Batch | Rejects | None:
        if self._process is None:
            self._start("read", *self._what(), "--max-rows", str(max_rows))
        while (message := self._message()) is not None:
            if message["type"] in ("BATCH", "REJECTS"):
                stream, data = StreamId(message["stream"], message.get("namespace")), message["data"]
                if message["type"] == "REJECTS":
                    return Rejects(stream, data, message["rows"])
                return Batch(stream, data, message["rows"], data.nbytes)
        return None

    def get_incremental_state(self) -> State | None:
        message = self._ahead = self._message()
        if message is None or message["type"] != "STATE":
            return None
        self._ahead = None
        return _state(message["state"])

    def partitions(self, count: int, target_bytes: int) -> Sequence[Partition]:
        self._start("partitions", *self._what(), "--count", str(count), "--target-bytes", str(target_bytes))
        parts = self._answer()["partitions"]
        return [Partition(base64.b64decode(part["token"]), part["state"] and _state(part["state"])) for part in parts]

    def estimates(self) -> Sequence[Estimate]:
        self._start("read", *self._what())
        found = []
        while (message := self._message(traces=True)) is not None and message["type"] == "TRACE":
            if (said := message["trace"].get("estimate")) is not None:
                found.append(Estimate(StreamId(said["name"], said.get("namespace")), said.get("row_estimate"), None, "STREAM"))
        return found

    def close(self) -> None:
        self._end()
        self._folder.cleanup()

    def _file(self, name: str, content: Any) -> str:
        path = Path(self._folder.name) / name
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return str(path)

    def _what(self) -> list[str]:
        """Arguments that say what to read."""
        assert self._catalog is not None
        streams = [
            _configured(stream, self._catalog.selected[stream.id])
            for stream in self._catalog.catalog.streams
            if stream.id in self._catalog.selected
        ]
        arguments = ["--catalog", self._file("catalog.json", {"streams": streams})]
        if self._state is not None:
            arguments += ["--state", self._file("state.json", self._state.to_json())]
        if self._catalog.partition is not None:
            arguments += ["--partition", self._file("partition", self._catalog.partition)]
        return arguments

    def _start(self, *arguments: str) -> None:
        self._end()
        command = [str(PROGRAMS / self.program), *arguments, "--config", self._config, "--format", "arrow"]
        with (Path(self._folder.name) / "stderr").open("wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)

    def _end(self) -> None:
        if (process := self._process) is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        if process.args[1] == "read":  # type: ignore[index]
            process.terminate()
        process.stdout.close()
        process.wait(30)
        self._process = None

    def _answer(self) -> dict[str, Any]:
        message = self._message()
        assert message is not None
        return message

    def _message(self, traces: bool = False) -> dict[str, Any] | None:
        """The next one that is neither a log line nor (unless they are wanted) a trace; a frame with its `data`."""
        if (ahead := self._ahead) is not None:
            self._ahead = None
            return ahead
        assert self._process is not None
        output = self._process.stdout
        assert output is not None
        while line := output.readline():
            message: dict[str, Any] = json.loads(line)
            if message["type"] in ("BATCH", "REJECTS"):
                message["data"] = _frame(output, message)
            if message["type"] == "TRACE" and (error := message["trace"].get("error")) is not None:
                kind, retryable = _KINDS[error["failure_type"]]
                said, _, hint = error["message"].partition("\nhint: ")
                raise kind(said, hint=hint or None, retryable=retryable)
            if message["type"] != "LOG" and (traces or message["type"] != "TRACE"):
                return message
        assert self._process.wait(30) == 0, (Path(self._folder.name) / "stderr").read_text()
        return None


def _frame(output: IO[bytes], message: dict[str, Any]) -> pa.RecordBatch:
    with pa.ipc.open_stream(output.read(message["bytes"])) as reader:
        (batch,) = reader
    return batch


def _stream(entry: dict[str, Any]) -> CatalogStream:
    key = tuple(".".join(path) for path in entry["source_defined_primary_key"])
    cursor = tuple(entry["default_cursor_field"])
    return CatalogStream(StreamId(entry["name"], entry.get("namespace")), entry["json_schema"], key, cursor, raw=entry)


def _configured(stream: CatalogStream, how: Any) -> dict[str, Any]:
    described = dict(stream.raw)
    if how.fields is not None:
        kept = {*how.fields, *stream.primary_key, *filter(None, [how.replication_key])}
        properties = {name: schema for name, schema in stream.json_schema["properties"].items() if name in kept}
        described["json_schema"] = {**stream.json_schema, "properties": properties}
    mode = "incremental" if how.replication_method == "INCREMENTAL" else "full_refresh"
    entry = {"stream": described, "sync_mode": mode, "destination_sync_mode": "append"}
    return {**entry, "cursor_field": [how.replication_key]} if how.replication_key else entry


def _state(said: dict[str, Any]) -> State:
    stream = said["stream"]["stream_descriptor"]
    data = json.dumps(said["stream"]["stream_state"], ensure_ascii=False).encode()
    return State(data, StreamId(stream["name"], stream.get("namespace")))
