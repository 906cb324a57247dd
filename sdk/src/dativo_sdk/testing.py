"""For tests of plugins: batches from Python values, readers read to their end, programs run and decoded. Needs pyarrow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from dativo_protocols import Batch, Catalog, ConfigError, State, StreamId

from dativo_sdk._airbyte_catalog import configured_catalog
from dativo_sdk._config import make_config
from dativo_sdk._read_catalog import ReadCatalog, Selection
from dativo_sdk._reader import Piece
from dativo_sdk._saved_state import SavedState

__all__ = ["ProgramRun", "discover", "make_batch", "read_all", "read_pieces", "run_program", "select", "target_of"]

MAX_ROWS = 65_536


def make_batch(stream: str | StreamId, rows: Sequence[Mapping[str, Any]], schema: pa.Schema | None = None) -> Batch:
    """A batch of these rows.

    Args:
        rows: Each a mapping of columns to values; what a row leaves out is null.
        schema: Their Arrow schema; without one the values say it.
    """
    data = pa.RecordBatch.from_pylist(list(rows), schema=schema)
    return Batch(stream if isinstance(stream, StreamId) else StreamId(stream), data, data.num_rows, data.nbytes)


def discover(plugin: type[Any], config: Mapping[str, Any] | None = None) -> Catalog:
    """The streams that the reader offers."""
    reader = plugin()
    try:
        reader.initialize(make_config(plugin, config or {}), None, None)
        catalog: Catalog = reader.get_schema()
    finally:
        reader.close()
    return catalog


def select(catalog: Catalog, *names: str | StreamId, **selection: Any) -> ReadCatalog:
    """These streams, or all, with what is the same for each: `fields`, `replication_method`, `replication_key`."""
    wanted = {name if isinstance(name, StreamId) else StreamId(name) for name in names}
    missing = wanted - {stream.id for stream in catalog.streams}
    if missing:
        raise ConfigError(f"there is no stream `{min(map(str, missing))}`")
    chosen = [stream.id for stream in catalog.streams if not wanted or stream.id in wanted]
    return ReadCatalog(catalog, {stream: Selection(**selection) for stream in chosen})


def read_pieces(
    plugin: type[Any],
    config: Mapping[str, Any] | None = None,
    *,
    catalog: ReadCatalog | None = None,
    state: SavedState | None = None,
    max_rows: int = MAX_ROWS,
) -> list[tuple[Piece, State | None]]:
    """All that the reader gives, each with the state behind it."""
    reader = plugin()
    found = []
    try:
        reader.initialize(make_config(plugin, config or {}), catalog, state)
        while (piece := reader.read_batch(max_rows)) is not None:
            found.append((piece, reader.get_incremental_state()))
    finally:
        reader.close()
    return found


def read_all(
    plugin: type[Any],
    config: Mapping[str, Any] | None = None,
    *,
    catalog: ReadCatalog | None = None,
    state: SavedState | None = None,
    max_rows: int = MAX_ROWS,
) -> dict[StreamId, pa.Table]:
    """All rows of each stream that has some; rejected ones are left out."""
    pieces = read_pieces(plugin, config, catalog=catalog, state=state, max_rows=max_rows)
    return _tables((piece.stream, pa.record_batch(piece.data)) for piece, _ in pieces if isinstance(piece, Batch))


@dataclass(frozen=True)
class ProgramRun:
    """A program at its end.

    Attributes:
        code: Its exit code.
        messages: All it said on stdout, without Arrow data and RECORDs.
        tables: Rows by stream; of RECORDs with the types that their values say.
        rejects: Rejected rows by stream.
        state: All states it said, merged; None where it said none.
    """

    code: int
    messages: tuple[dict[str, Any], ...]
    tables: Mapping[StreamId, pa.Table]
    rejects: Mapping[StreamId, pa.Table]
    state: SavedState | None
    stderr: str = field(repr=False, default="")

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        """What is under the message's own key, of all messages of a type."""
        key = {"CONNECTION_STATUS": "connectionStatus"}.get(kind, kind.lower())
        return [message.get(key, message) for message in self.messages if message["type"] == kind]


def run_program(
    program: str | Sequence[str],
    command: str = "read",
    *arguments: str,
    config: Mapping[str, Any] | None = None,
    catalog: ReadCatalog | None = None,
    state: SavedState | None = None,
    arrow: bool = True,
    timeout_seconds: float = 60.0,
) -> ProgramRun:
    """Runs a program and decodes what it says.

    Args:
        program: A `TARGET` of `python -m dativo_sdk.program`, or a whole command.
        arguments: Further ones.
        arrow: Whether it is asked for Arrow data.

    Raises:
        subprocess.TimeoutExpired: It did not end in time, and was killed.
    """
    start = [sys.executable, "-m", "dativo_sdk.program", program] if isinstance(program, str) else list(program)
    with tempfile.TemporaryDirectory(prefix="dativo-") as folder:
        files = {"config": json.dumps(dict(config or {})).encode() if command != "spec" else None}
        files["catalog"] = None if catalog is None else configured_catalog(catalog)
        files["state"] = None if state is None else state.to_json()
        files["partition"] = None if catalog is None else catalog.partition
        options = list(arguments)
        for name, data in files.items():
            if data is not None:
                Path(folder, name).write_bytes(data)
                options += [f"--{name}", str(Path(folder, name))]
        # Modules that this process finds, the program finds too.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        environment["DATIVO_FORMAT"] = "arrow" if arrow else "json"
        ended = subprocess.run(
            [*start, command, *options],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env=environment,
            timeout=timeout_seconds,
            check=False,
        )
    return _decoded(ended.returncode, ended.stdout, ended.stderr.decode(errors="replace"))


def target_of(plugin: type[Any]) -> str | None:
    """What `python -m dativo_sdk.program` is told to run the class; None where it is none of a module's own."""
    module = sys.modules.get(plugin.__module__)
    if module is None or getattr(module, plugin.__qualname__, None) is not plugin:
        return None
    file = getattr(module, "__file__", None)
    if file is None:
        return None
    if file.endswith(".py") and (plugin.__module__ == "__main__" or _is_found_elsewhere(plugin.__module__, file)):
        return f"{file}:{plugin.__qualname__}"
    return f"{plugin.__module__}:{plugin.__qualname__}"


def _is_found_elsewhere(module: str, file: str) -> bool:
    """Whether another process would not find the file under that name: test frameworks give modules names of their own."""
    parts = module.split(".")
    for folder in sys.path:
        place = Path(folder, *parts)
        if place.with_suffix(".py") == Path(file) or place / "__init__.py" == Path(file):
            return False
    return True


def _decoded(code: int, output: bytes, stderr: str) -> ProgramRun:
    messages: list[dict[str, Any]] = []
    batches: list[tuple[StreamId, pa.RecordBatch]] = []
    rejects: list[tuple[StreamId, pa.RecordBatch]] = []
    records: dict[StreamId, list[dict[str, Any]]] = {}
    states: list[bytes] = []
    at = 0
    while at < len(output):
        end = output.find(b"\n", at)
        text, at = output[at : end if end >= 0 else len(output)], (end + 1 if end >= 0 else len(output))
        message = json.loads(text)
        if message["type"] in ("BATCH", "REJECTS"):
            size = message["bytes"]
            found = batches if message["type"] == "BATCH" else rejects
            stream = StreamId(message["stream"], message.get("namespace"))
            found.extend((stream, batch) for batch in pa.ipc.open_stream(output[at : at + size]))
            at += size
        elif message["type"] == "RECORD":
            record = message["record"]
            records.setdefault(StreamId(record["stream"], record.get("namespace")), []).append(record["data"])
        else:
            if message["type"] == "STATE":
                states.append(text.partition(b'"state":')[2][:-1])
            messages.append(message)
    tables = {**_tables(batches), **{stream: pa.Table.from_pylist(rows) for stream, rows in records.items()}}
    return ProgramRun(code, tuple(messages), tables, _tables(rejects), _merged(states), stderr)


def _merged(states: Sequence[bytes]) -> SavedState | None:
    if not states:
        return None
    merged = SavedState()
    for each in states:
        said = SavedState.parse(b"[%b]" % each)
        merged = SavedState({**merged.streams, **said.streams}, said.shared if said.shared is not None else merged.shared)
    return merged


def _tables(batches: Iterable[tuple[StreamId, pa.RecordBatch]]) -> dict[StreamId, pa.Table]:
    found: dict[StreamId, list[pa.Table]] = {}
    for stream, batch in batches:
        found.setdefault(stream, []).append(pa.Table.from_batches([batch]))
    return {stream: pa.concat_tables(tables, promote_options="permissive") for stream, tables in found.items()}
