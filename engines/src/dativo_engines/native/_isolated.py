"""A reader in processes of its own that is read in parts: one process knows the parts, and stays until all were read."""

from __future__ import annotations

import json
import os
import re
from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Any, cast

from dativo_protocols import Catalog, ConnectorError, Message, State, StreamId, split_states
from dativo_sdk import Partition, ReadCatalog, SavedState

from dativo_engines._engine import Connector, EngineOptions, Reading
from dativo_engines._redaction import Redactor, secrets_in
from dativo_engines._runtime import InputRuntime, Runtime, TakingInput
from dativo_engines._session import Session, config_file
from dativo_engines._watch import Watch
from dativo_engines.airbyte import configured_catalog
from dativo_engines.airbyte._runtime import runtime_for
from dativo_engines.native._part_process import PartProcess
from dativo_engines.native._reading import NativeReading
from dativo_engines.program import ProgramEngine


class RemoteParts:
    """A reader in another process, asked only for its parts.

    Args:
        program: The reader as a program.
        config: As the user wrote it.
        state: As a run committed it.

    Attributes:
        on_stdin: Whether the program said, with its parts, that it takes tokens of parts on its stdin.
    """

    def __init__(self, program: Connector, options: EngineOptions, config: Mapping[str, Any], state: bytes | None) -> None:
        self._program = program
        self._options = options
        self._config = config
        self._state = state
        self._catalog: ReadCatalog | None = None
        self._stack = ExitStack()
        self.on_stdin = False

    def initialize(self, config: Any, catalog: ReadCatalog | None, state: SavedState | None) -> None:
        """Starts nothing yet."""
        self._catalog = catalog

    def get_schema(self) -> Catalog:
        """Nothing: it is known what is read."""
        return Catalog(())

    def partitions(self, count: int, target_bytes: int) -> list[Partition]:
        """As the reader says; its process stays until `close`.

        Raises:
            ConnectorError: It failed, or does not know the command.
        """
        if self._catalog is None:
            return []
        session: Session[Runtime] = Session(self._program, self._options, runtime_for, self._config)
        self._stack.callback(session.close)
        files = {"config.json": config_file(self._config), "catalog.json": configured_catalog(self._catalog).data}
        if self._state is not None:
            files["state.json"] = self._state
        arguments = ["partitions", "--count", str(count), "--target-bytes", str(target_bytes)]
        for name in files:
            arguments += [f"--{name.removesuffix('.json')}", name]
        process = cast(InputRuntime, session.runtime).start(arguments, files, takes_input=True)
        self._stack.callback(self._leave, process)
        trouble: str | None = None
        watch = Watch(process, self._options.stall_timeout_seconds)
        self._stack.callback(watch.close)
        for line in _lines(process.stdout, watch):
            if line.get("type") == "PARTITIONS":
                self.on_stdin = line.get("on_stdin") is True
                return [_partition(entry) for entry in line["partitions"]]
            if line.get("type") == "LOG":
                session.log(str(line["log"]["level"]).lower(), str(line["log"]["message"]))
            elif line.get("type") == "TRACE" and line["trace"].get("type") == "ERROR":
                error = line["trace"]["error"]
                trouble, kind = session.redactor(str(error.get("message"))), error.get("failure_type")
                if kind == "config_error":
                    raise ConnectorError(f"`{session.name}` failed: {trouble}", again=False)
        if watch.stalled:
            raise session.stalled(self._options.stall_timeout_seconds, process)
        ended = session.end_of(process)
        if trouble is not None:
            raise ConnectorError(f"`{session.name}` failed: {trouble}", again=True)
        hint = "leave `parallel` out where it does not know the command `partitions`"
        if ended.code == 0:
            raise ConnectorError(f"`{session.name}` gave no answer to `partitions`", hint=hint)
        failure = session.failure(ended, process.stderr_tail, command="partitions")
        failure.hint = failure.hint or hint
        raise failure

    def read_batch(self, max_rows: int) -> None:
        """Nothing: others read."""

    def get_incremental_state(self) -> None:
        """None of its own."""

    def close(self) -> None:
        """Ends the process."""
        self._stack.close()

    def _leave(self, process: TakingInput) -> None:
        """Lets it close what it holds: a signal in the midst of that would cut it short."""
        process.close_input()
        process.wait(self._options.stop_timeout_seconds)


class IsolatedParts:
    """Reads the parts in processes; see `Reading`. What has no parts is read whole, by one process.

    Args:
        program: The reader as a program.
    """

    def __init__(
        self,
        program: Connector,
        options: EngineOptions,
        config: Mapping[str, Any],
        catalog: ReadCatalog,
        state: bytes | None,
    ) -> None:
        self._program = program
        self._options = options
        self._config = config
        self._catalog = catalog
        self._state = state
        self._reading: Reading | None = None

    def __enter__(self) -> IsolatedParts:
        parts = RemoteParts(self._program, self._options, self._config, self._state)
        parts.initialize(None, self._catalog, None)
        options = self._options
        share = options.decode.memory_budget_bytes * 3 // 4 // (2 * options.parallel)
        known = _Known(parts, parts.partitions(options.parallel, share))
        if known.found:
            self._reading = NativeReading(
                self._program.reader or self._program.reference,
                lambda: known,
                options,
                config=None,
                catalog=self._catalog,
                state=self._state,
                redactor=Redactor([*options.secrets, *secrets_in(self._config)]),
                part=PartProcess(self._program, options, self._config, self._catalog, self._state, on_stdin=parts.on_stdin),
            )
        else:
            parts.close()
            self._reading = ProgramEngine(self._program, replace(options, parallel=1)).read(
                self._config, self._catalog, self._state
            )
        self._reading.__enter__()
        return self

    def __iter__(self) -> Iterator[Message]:
        return iter(self._open())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._open().__exit__(kind, error, traceback)

    @property
    def rows_in(self) -> Mapping[StreamId, int]:
        """Rows received per stream, rejected ones too."""
        return self._open().rows_in

    @property
    def bytes_in(self) -> int:
        """Bytes received."""
        return self._open().bytes_in

    def _open(self) -> Reading:
        if self._reading is None:
            raise RuntimeError("a reading is used inside its `with` block")
        return self._reading


class _Known(RemoteParts):
    """Parts that were asked for before."""

    def __init__(self, parts: RemoteParts, found: list[Partition]) -> None:
        self._parts = parts
        self.found = found

    def initialize(self, config: Any, catalog: ReadCatalog | None, state: SavedState | None) -> None:
        """Was done."""

    def partitions(self, count: int, target_bytes: int) -> list[Partition]:
        return self.found

    def close(self) -> None:
        self._parts.close()


def _lines(fd: int, watch: Watch) -> Iterator[dict[str, Any]]:
    """What a program says, line by line; what is no message is left out. Numbers with fractions keep their text."""
    rest = b""
    while True:
        with watch:
            data = os.read(fd, 1 << 16)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            try:
                found = json.loads(line, parse_float=lambda text: f"\0{text}\0")
            except ValueError:
                continue
            if isinstance(found, dict):
                yield found


def _partition(entry: Mapping[str, Any]) -> Partition:
    token = b64decode(entry["token"])
    if entry.get("state") is None:
        return Partition(token)
    text = re.sub(r'"\\u0000([^"\\]*)\\u0000"', r"\1", json.dumps([entry["state"]], ensure_ascii=True))
    streams, shared = split_states(text.encode())
    for stream, data in streams.items():
        return Partition(token, State(data, stream))
    return Partition(token, None if shared is None else State(shared))
