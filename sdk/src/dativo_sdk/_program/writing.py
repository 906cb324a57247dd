"""A writer at work, for a host in another process."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from typing import Any

from dativo_protocols import Batch, ConfigError, ContractError, Rejects, StreamId, encode_arrow_schema

from dativo_sdk import _writer_wire as wire
from dativo_sdk._api_version import compatible
from dativo_sdk._capabilities import capabilities
from dativo_sdk._program.frames import HostIsGone, Requests
from dativo_sdk._program.output import Output
from dativo_sdk._writer import JobKey, WriteCatalog

DONE, FAILED = 0, 1


class Writing:
    """Answers a host's requests.

    Args:
        config: For `initialize`, as the user wrote it.
    """

    def __init__(self, plugin: type[Any], config: Mapping[str, Any], output: Output) -> None:
        if not callable(getattr(plugin, "write_batch", None)):
            raise ConfigError(f"`{plugin.__name__}` is no writer: it has no `write_batch`")
        self._plugin = plugin
        self._config = config
        self._output = output
        self._writer = plugin()
        self._catalog: WriteCatalog | None = None

    def serve(self, requests: Requests) -> int:
        """Until CLOSE, or until the host is gone; the writer is closed then, without a commit.

        Returns:
            The exit code.
        """
        code = DONE
        try:
            for said, data in requests:
                if said["type"] == "CLOSE":
                    break
                if code == DONE:
                    try:
                        self._answer(said, data)
                    except Exception as error:
                        code = FAILED
                        self._failed(error)
        except HostIsGone:
            code = FAILED
        except ContractError as error:
            code = FAILED
            self._failed(error)
        finally:
            self._writer.close()
        return code

    def _failed(self, error: Exception) -> None:
        traceback.print_exception(error)
        self._output.line(wire.line("ERROR", **wire.error_json(error)))

    def _answer(self, said: dict[str, Any], data: bytes) -> None:
        kind = said["type"]
        if kind in ("BATCH", "REJECTS"):
            self._stage(kind, StreamId(said["stream"], said.get("namespace")), data)
            return
        answer = getattr(self, f"_{kind.rstrip('?').lower()}", None) if kind in REQUESTS else None
        if answer is None:
            raise ContractError(f"the host asked for `{kind}`, which this writer does not understand")
        reply = answer(said)
        if reply is not None:
            self._output.line(reply)

    def _initialize(self, said: dict[str, Any]) -> bytes:
        refused = compatible(getattr(self._plugin, "__api_version__", None), host_version=said["api_version"])
        if refused is not None:
            raise refused
        self._catalog = WriteCatalog(JobKey(said["job"]["tenant"], said["job"]["name"]), said["run_id"])
        state = self._writer.initialize(self._config, self._catalog)
        can = capabilities(self._plugin)
        return wire.line("INITIALIZED", state=wire.packed(state), write_modes=can.write_modes, powers=can.powers)

    def _stream(self, said: dict[str, Any]) -> None:
        if self._catalog is None:
            raise ContractError("the host sent `STREAM` before `INITIALIZE`")
        stream = wire.configured_stream(said["stream"])
        self._catalog.streams[stream.id] = stream

    def _stage(self, kind: str, stream: StreamId, data: bytes) -> None:
        for batch in _batches(data):
            if kind == "BATCH":
                self._writer.write_batch(Batch(stream, batch, batch.num_rows, batch.nbytes))
            else:
                self._writer.write_rejects(Rejects(stream, batch, batch.num_rows))

    def _schema(self, said: dict[str, Any]) -> bytes:
        schema = self._writer.get_schema(wire.stream_id(said["stream"]))
        return wire.line("SCHEMA", arrow_schema=None if schema is None else encode_arrow_schema(schema))

    def _commit(self, said: dict[str, Any]) -> bytes:
        receipt = self._writer.commit(wire.unpacked(said["state"]), final=bool(said["final"]))
        return wire.line("RECEIPT", **wire.receipt_json(receipt))

    def _rows(self, said: dict[str, Any]) -> bytes:
        return wire.line("ROWS", rows=self._writer.count_rows(wire.stream_id(said["stream"])))

    def _names(self, said: dict[str, Any]) -> bytes:
        return wire.line("NAMES", names=dict(self._writer.column_names(wire.stream_id(said["stream"]))))

    def _activate_version(self, said: dict[str, Any]) -> bytes:
        self._writer.activate_version(wire.stream_id(said["stream"]), int(said["version"]))
        return wire.line("DONE")

    def _inspect(self, said: dict[str, Any]) -> bytes:
        job = JobKey(said["job"]["tenant"], said["job"]["name"])
        found = self._writer.inspect(self._config, job, [wire.stream_id(each) for each in said["streams"]])
        tables = [
            {
                "stream": wire.stream_json(stream),
                "table": table.table,
                "arrow_schema": None if table.data is None else encode_arrow_schema(table.data),
                "columns": dict(table.columns),
                "rows": table.rows,
            }
            for stream, table in found.tables.items()
        ]
        return wire.line("INSPECTION", state=wire.packed(found.state), tables=tables)

    def _rejected(self, said: dict[str, Any]) -> bytes:
        return wire.line("REJECTED", rejected=wire.counts_json(self._writer.rejected()))

    def _read_rejects(self, said: dict[str, Any]) -> bytes:
        stream = wire.stream_id(said["stream"])
        for data in self._writer.read_rejects(stream):
            self._output.frame(Rejects(stream, data, 0), 0)
        return wire.line("DONE")

    def _remove_rejects(self, said: dict[str, Any]) -> bytes:
        self._writer.remove_rejects(wire.stream_id(said["stream"]), list(said["ids"]))
        return wire.line("DONE")


REQUESTS = frozenset(
    "INITIALIZE STREAM SCHEMA? COMMIT ROWS? NAMES? ACTIVATE_VERSION INSPECT? REJECTED? READ_REJECTS REMOVE_REJECTS".split()
)


def _batches(data: bytes) -> Iterator[Any]:
    """The record batches of an IPC stream, which share its memory; of one without any, a batch of no rows."""
    # Loaded with the first batch: a writer that cannot do without it in its own code loads it anyway.
    import pyarrow as pa

    with pa.ipc.open_stream(pa.py_buffer(data)) as reader:
        empty = True
        for batch in reader:
            empty = False
            yield batch
        if empty:
            yield pa.RecordBatch.from_pylist([], schema=reader.schema)
