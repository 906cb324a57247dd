"""A writer in another process, as its host sees it: a `Writer` whose methods are requests over two pipes.

Whoever uses it starts the process and ends it: `python -m dativo_sdk.program TARGET write --config FILE`, or any other program
that speaks the protocol of `dativo_sdk._writer_wire`.

```python
writer = remote_writer(capabilities["powers"], capabilities["write_modes"], capabilities["refuses"])(stdin, stdout)
```
"""

from __future__ import annotations

import io
import select
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from dativo_protocols import (
    ArrowArrayExportable,
    ArrowSchemaExportable,
    Batch,
    ContractError,
    Rejects,
    StreamId,
    TargetError,
    decode_arrow_schema,
    write_arrow_frame,
)

from dativo_sdk import _writer_wire as wire
from dativo_sdk._api_version import API_VERSION
from dativo_sdk._writer import ConfiguredStream, Inspection, JobKey, Receipt, TableInfo, WriteCatalog

__all__ = ["RemoteWriter", "remote_writer"]


class RemoteWriter:
    """A writer behind two pipes, which stay the caller's: `close` says CLOSE and does not close them.

    What the process says is wrong is raised as the error that it was there; a process that ends without saying so is a
    `TargetError` whose fact `ended` is true: its exit and stderr tell more, and its host knows them. After an error only `close`
    may follow.

    Args:
        stdin: Descriptor of the process's stdin.
        stdout: Of its stdout.
    """

    write_modes: frozenset[str] = frozenset(("append", "overwrite"))
    refuses: frozenset[str] = frozenset()

    def __init__(self, stdin: int, stdout: int) -> None:
        self._stdin = stdin
        self._replies = io.BufferedReader(io.FileIO(stdout, "rb", closefd=False), 1 << 20)
        self._stdout = stdout
        self._catalog: WriteCatalog | None = None
        self._said: dict[StreamId, ConfiguredStream] = {}
        self._is_open = True

    def initialize(self, config: Mapping[str, Any], catalog: WriteCatalog) -> bytes | None:
        """The process has its configuration from a file: it must be this one."""
        self._catalog = catalog
        job = {"tenant": catalog.job.tenant, "name": catalog.job.job}
        reply = self._ask("INITIALIZED", "INITIALIZE", job=job, run_id=catalog.run_id, api_version=API_VERSION)
        self._announce()
        return wire.unpacked(reply.get("state"))

    def get_schema(self, stream: StreamId) -> ArrowSchemaExportable | None:
        """One request."""
        text = self._ask("SCHEMA", "SCHEMA?", stream=wire.stream_json(stream)).get("arrow_schema")
        return None if text is None else decode_arrow_schema(text)

    def write_batch(self, batch: Batch) -> None:
        """Without an answer; an error of a batch before comes with the next call."""
        self._announce()
        self._frame(batch.stream, batch.data, rejects=False)

    def commit(self, state: bytes | None, *, final: bool = False) -> Receipt:
        """One request."""
        self._announce()
        reply = self._ask("RECEIPT", "COMMIT", state=wire.packed(state), final=final)
        receipt: Receipt = self._understood(reply, wire.receipt)
        return receipt

    def close(self) -> None:
        """Asks the process to close the writer and to end; whether it does so is its host's to see."""
        if self._is_open:
            self._is_open = False
            with suppress(OSError):
                self._write(wire.line("CLOSE"))

    def _announce(self) -> None:
        """Streams that are new, or are to be written in another way, since the last time."""
        for stream in () if self._catalog is None else self._catalog.streams.values():
            if self._said.get(stream.id) != stream:
                self._send(wire.line("STREAM", stream=wire.configured_json(stream)))
                self._said[stream.id] = stream

    def _frame(self, stream: StreamId, data: ArrowArrayExportable, *, rejects: bool) -> None:
        if select.select((self._stdout,), (), (), 0)[0]:
            raise self._unasked()
        try:
            write_arrow_frame(self._stdin, stream, data, kind="rejects" if rejects else "batch")
        except OSError:
            raise self._unasked() from None

    def _ask(self, expected: str, kind: str, **said: Any) -> dict[str, Any]:
        self._send(wire.line(kind, **said))
        return self._reply(expected)

    def _reply(self, *expected: str) -> dict[str, Any]:
        text = self._replies.readline(wire.MAX_LINE_BYTES)
        if not text.endswith(b"\n"):
            raise _ended()
        try:
            reply = wire.parse(text)
        except ValueError as error:
            raise _broken(f"an answer that is none: {error}") from None
        if reply["type"] == "ERROR":
            raise wire.error_of(reply)
        if reply["type"] not in expected:
            raise _broken(f"`{reply['type']}` in the place of `{expected[0]}`")
        return reply

    def _send(self, data: bytes) -> None:
        try:
            self._write(data)
        except OSError:
            raise self._unasked() from None

    def _write(self, data: bytes) -> None:
        # In one piece, as data is written.
        with io.FileIO(self._stdin, "wb", closefd=False) as pipe:
            left = memoryview(data)
            while left:
                left = left[pipe.write(left) :]

    def _unasked(self) -> Exception:
        """The error that the process said of itself, or that it ended."""
        try:
            self._reply("ERROR")
        except Exception as error:
            return error
        return _ended()

    def _understood(self, reply: Mapping[str, Any], make: Any) -> Any:
        try:
            return make(reply)
        except (KeyError, TypeError, ValueError) as error:
            raise _broken(f"a `{reply['type']}` that is none: {type(error).__name__}: {error}") from None


class _Quarantining(RemoteWriter):
    def write_rejects(self, rejects: Rejects) -> None:
        self._announce()
        self._frame(rejects.stream, rejects.data, rejects=True)


class _Versioning(RemoteWriter):
    def activate_version(self, stream: StreamId, version: int) -> None:
        self._announce()
        self._ask("DONE", "ACTIVATE_VERSION", stream=wire.stream_json(stream), version=version)


class _Counting(RemoteWriter):
    def count_rows(self, stream: StreamId) -> int | None:
        rows = self._ask("ROWS", "ROWS?", stream=wire.stream_json(stream)).get("rows")
        return None if rows is None else int(rows)


class _Naming(RemoteWriter):
    def column_names(self, stream: StreamId) -> Mapping[str, str]:
        reply = self._ask("NAMES", "NAMES?", stream=wire.stream_json(stream))
        names: dict[str, str] = self._understood(reply, lambda said: dict(said["names"]))
        return names


class _Inspecting(RemoteWriter):
    def inspect(self, config: Mapping[str, Any], job: JobKey, streams: Sequence[StreamId]) -> Inspection:
        asked = {"tenant": job.tenant, "name": job.job}
        reply = self._ask("INSPECTION", "INSPECT?", job=asked, streams=[wire.stream_json(each) for each in streams])
        found: Inspection = self._understood(reply, _inspection)
        return found


class _Replaying(RemoteWriter):
    def rejected(self) -> Mapping[StreamId, int]:
        found: dict[StreamId, int] = self._understood(
            self._ask("REJECTED", "REJECTED?"), lambda said: wire.counts(said["rejected"])
        )
        return found

    def read_rejects(self, stream: StreamId) -> Iterator[ArrowArrayExportable]:
        import pyarrow as pa

        self._send(wire.line("READ_REJECTS", stream=wire.stream_json(stream)))
        # All of them: another request may be made before the last one is taken.
        found: list[ArrowArrayExportable] = []
        while (reply := self._reply("REJECTS", "DONE"))["type"] == "REJECTS":
            data = self._replies.read(int(reply["bytes"]))
            if len(data) < int(reply["bytes"]):
                raise _ended()
            found.extend(pa.ipc.open_stream(pa.py_buffer(data)))
        return iter(found)

    def remove_rejects(self, stream: StreamId, ids: Sequence[str]) -> None:
        self._ask("DONE", "REMOVE_REJECTS", stream=wire.stream_json(stream), ids=list(ids))


_POWERS: dict[str, type[RemoteWriter]] = {
    "quarantine": _Quarantining,
    "versions": _Versioning,
    "count": _Counting,
    "names": _Naming,
    "inspect": _Inspecting,
    "replay": _Replaying,
}


def remote_writer(powers: Iterable[str], write_modes: Iterable[str], refuses: Iterable[str] = ()) -> type[RemoteWriter]:
    """The class of a writer with these capabilities: it has the methods of its powers, and no others.

    Args:
        powers: As in `Capabilities.powers`; those that are not known here are left out.
        write_modes, refuses: As there.
    """
    bases = tuple(_POWERS[power] for power in sorted(set(powers)) if power in _POWERS)
    return type("RemoteWriter", bases or (RemoteWriter,), {"write_modes": frozenset(write_modes), "refuses": frozenset(refuses)})


def _inspection(said: Mapping[str, Any]) -> Inspection:
    tables = {}
    for each in said["tables"]:
        schema = each.get("arrow_schema")
        data = None if schema is None else decode_arrow_schema(schema)
        tables[wire.stream_id(each["stream"])] = TableInfo(each["table"], data, dict(each.get("columns", {})), each.get("rows"))
    return Inspection(wire.unpacked(said.get("state")), tables)


def _ended() -> TargetError:
    return TargetError("the writer's process ended without an answer", facts={"ended": True})


def _broken(what: str) -> ContractError:
    return ContractError(
        f"the writer's process breaks the protocol: it sent {what}",
        hint="this is for the makers of the plugin: what it prints must not go to stdout",
    )
