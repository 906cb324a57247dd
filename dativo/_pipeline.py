"""From the connector's messages to committed rows: stage, count, commit at checkpoints, and check the counts.

Everything happens on the caller's thread; the decoder's bounded queue is on the other side of `next(messages)`, so a slow
target holds the source back.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from dativo_engines import Reading
from dativo_protocols import (
    Batch,
    BatchFiles,
    Estimate,
    Log,
    Message,
    Rejects,
    Schema,
    State,
    StreamId,
    StreamStatus,
    Version,
)
from dativo_protocols.errors import ConfigError, ConnectorError, ContractError, DativoError
from dativo_sdk import (
    ConfiguredStream,
    Counting,
    Quarantining,
    Receipt,
    Versioning,
    WriteCatalog,
    Writer,
)

from dativo._gate import Gate
from dativo._interruption import Interruption
from dativo._job import CheckpointConfig, StreamConfig
from dativo._metadata import RowMetadata
from dativo._names import EXTRA
from dativo._progress import Progress
from dativo._refusals import Refusals
from dativo._report import AttemptReport, ChangeReport, StreamReport
from dativo._selection import StreamRules
from dativo._write_rules import WriteRules

if TYPE_CHECKING:
    import pyarrow as pa

    from dativo._job import Job
    from dativo.contracts._odcs import Contract

__all__ = ["UNKNOWN", "Pipeline"]

LINES_KEPT = 5
UNKNOWN = StreamId("_unknown")
"""Where rejects go that do not say their stream; it is always in `append` mode."""


@dataclass(slots=True)
class _Stream:
    """One stream of this run; rows and rejects are those handed to the writer. A bare one has a schema without a property.

    Attributes:
        before: Rows of the table that an `overwrite` is about to replace, where the target can count them.
    """

    configured: ConfiguredStream
    report: StreamReport
    rows: int = 0
    rejects: int = 0
    bare: bool = False
    before: int | None = None
    versions: set[int] = field(default_factory=set)


class Pipeline:
    """Moves what one `Reading` says into one `Writer`.

    A commit happens when a `State` arrives and a limit of the checkpoint is reached, with that state, and at the clean end.
    At the end, before the last commit, the rows received must be the rows written plus the rows quarantined, stream by stream.

    Args:
        job: Its write modes, keys and checkpoint.
        rules: Its streams.
        writer: Initialized with `catalog`.
        catalog: Streams are added as they are announced.
        write_modes: What the writer can do.
        replaced: Streams to overwrite where the job does not say.
        report: Of this attempt; filled in as it goes on.
        committed: Called after each commit with the state that was committed, unless it is the one from before.
        log: Called with level and line.
        contract: The contract file that the job names.
        committing: Called before each commit; what it raises keeps the commit from being made.
    """

    def __init__(
        self,
        job: Job,
        rules: StreamRules,
        writer: Writer,
        catalog: WriteCatalog,
        *,
        write_modes: frozenset[str],
        report: AttemptReport,
        progress: Progress,
        interruption: Interruption,
        committed: Callable[[bytes], None],
        log: Callable[[str, str], None],
        replaced: frozenset[StreamId] = frozenset(),
        contract: Contract | None = None,
        committing: Callable[[], None] | None = None,
    ) -> None:
        self._job = job
        self._rules = rules
        self._writer = writer
        self._catalog = catalog
        self._write_rules = WriteRules(job, write_modes, replaced, versions=isinstance(writer, Versioning))
        self._report = report
        self._progress = progress
        self._interruption = interruption
        self._committed = committed
        self._committing = committing
        self._log = log
        self._gate = Gate(job.contract, contract, writer, lambda line: log("warning", line))
        self._refusals = Refusals(getattr(writer, "refuses", ()), job.on_bad_value)
        self._metadata = RowMetadata(job.target.metadata, catalog.run_id)
        self._checkpoint: CheckpointConfig = job.checkpoint
        self._streams: dict[StreamId, _Stream] = {}
        self._state: bytes | None = None
        self._statuses: dict[StreamId, StreamStatus] = {}
        self._files: list[BatchFiles] = []
        self._first_lines: list[str] = []
        self._staged_rows = 0
        self._staged_bytes = 0
        self._last_commit = time.monotonic()

    def run(self, reading: Reading) -> None:
        """Until the connector has ended well and everything is committed.

        Raises:
            ConnectorError: The connector failed; what was committed before stands.
            TargetError: The target failed.
            ContractError: The data broke what the job says about it.
            DativoError: Rows in are not rows written plus rows quarantined (exit code 1).
            KeyboardInterrupt: A signal; see `Interruption`.
        """
        messages = iter(reading)
        self._progress.phase("reading")
        try:
            while True:
                with self._interruption.allowed:
                    message = next(messages, None)
                if message is None:
                    break
                self._take(message, reading)
        finally:
            self._count_in(reading)
        if not self._streams and self._state is None and reading.bytes_in:
            self._log("warning", "the connector has ended well, but nothing that it said was a message; its first lines:")
            for line in self._first_lines:
                self._log("warning", line)
        self._check_staged()
        self._check_shrinking()
        self._gate.finish()
        self._commit(final=True)
        self._check_committed()

    @property
    def streams(self) -> list[StreamId]:
        """Those that were announced."""
        return list(self._streams)

    def _take(self, message: Message, reading: Reading) -> None:
        if isinstance(message, Batch):
            self._take_batch(message, reading)
        elif isinstance(message, State):
            self._take_state(message)
        elif isinstance(message, Schema):
            self._take_schema(message)
        elif isinstance(message, Rejects):
            self._take_rejects(message, reading)
        elif isinstance(message, BatchFiles):
            self._files.append(message)
        elif isinstance(message, Version):
            self._take_version(message)
        elif isinstance(message, Log):
            if len(self._first_lines) < LINES_KEPT:
                self._first_lines.append(message.message)
            self._log(message.level, message.message)
        elif isinstance(message, StreamStatus):
            self._take_status(message)
        elif isinstance(message, Estimate) and message.rows is not None:
            self._progress.estimate(None if message.stream is None else str(message.stream), message.rows)

    def _take_schema(self, message: Schema) -> None:
        import pyarrow as pa

        stream = self._streams.get(message.stream)
        config = self._config(message.stream)
        configured = self._write_rules.configure(message, config, self._gate.primary_key(message.stream))
        if stream is None:
            self._add(configured)
        elif stream.configured != configured:
            raise ContractError(
                f"stream `{message.stream}` changed its key in the middle of the run: "
                f"{_key(stream.configured)}, then {_key(configured)}",
                hint=f"say which one it is: `source.streams.{message.stream}.primary_key`",
                facts={"stream": str(message.stream)},
            )
        schema = self._gate.announce(message.stream, config, pa.schema(message.data))
        self._streams[message.stream].bare = not len(schema)
        empty = pa.RecordBatch.from_pylist([], schema=schema if len(schema) else _bare())
        self._writer.write_batch(self._metadata.added(Batch(message.stream, empty, 0, 0)))

    def _config(self, stream: StreamId) -> StreamConfig:
        config = self._rules.find(stream)
        if config is None:
            listed = ", ".join(f"`{name}`" for name in self._rules.streams or ())
            raise ConnectorError(
                f"the connector sent stream `{stream}`, which the job does not read",
                hint=f'add it to `source.streams`, or `"*"`; there are {listed}',
                facts={"stream": str(stream)},
            )
        return config

    def _add(self, configured: ConfiguredStream) -> _Stream:
        name = str(configured.id)
        report = StreamReport(name, configured.write_mode)
        stream = self._streams[configured.id] = _Stream(configured, report)
        self._report.streams.append(report)
        self._catalog.streams[configured.id] = configured
        if configured.write_mode == "overwrite" and isinstance(self._writer, Counting):
            stream.before = self._writer.count_rows(configured.id)
        self._progress.add(name)
        return stream

    def _take_batch(self, message: Batch, reading: Reading) -> None:
        stream = self._streams[message.stream]
        message, broken = self._gate.take(message)
        message, refused = self._refusals.take(message, stream.configured.primary_key)
        for rejects in (broken, refused):
            if rejects is not None:
                self._reject(stream, rejects)
        self._writer.write_batch(self._metadata.added(_clothed(message) if stream.bare else message))
        stream.rows += message.rows
        stream.report.bytes += message.nbytes
        self._staged_rows += message.rows
        self._staged_bytes += message.nbytes
        self._progress.add(stream.report.stream, rows=message.rows, nbytes=message.nbytes, bytes_in=reading.bytes_in)

    def _take_rejects(self, message: Rejects, reading: Reading) -> None:
        stream = self._streams.get(message.stream) or self._add(ConfiguredStream(message.stream))
        self._reject(stream, message)
        self._progress.add(stream.report.stream, bytes_in=reading.bytes_in)

    def _reject(self, stream: _Stream, message: Rejects) -> None:
        if not isinstance(self._writer, Quarantining):
            raise ContractError(
                f"{message.rows} rows of stream `{message.stream}` do not fit, and target"
                f" `{self._job.target.connector}` has no place for them",
                hint="choose `on_bad_value: null` or `fail`, or another target",
                facts={"stream": str(message.stream), "rows": message.rows},
            )
        self._writer.write_rejects(message)
        stream.rejects += message.rows
        self._staged_rows += message.rows
        self._progress.add(stream.report.stream, rejects=message.rows)

    def _take_state(self, message: State) -> None:
        if message.stream is not None:
            raise ConnectorError(f"the connector sent a state of stream `{message.stream}` alone, where one for all is expected")
        self._state = message.data
        limits = self._checkpoint
        if (
            self._staged_rows >= limits.rows
            or self._staged_bytes >= limits.bytes
            or time.monotonic() - self._last_commit >= limits.seconds
        ):
            self._commit(final=False)

    def _take_version(self, message: Version) -> None:
        stream = self._streams.get(message.stream)
        if stream is not None and message.version not in stream.versions:
            stream.versions.add(message.version)
            if stream.configured.deletes != "ignore" and stream.configured.write_mode != "overwrite":
                self._activate(message)
                return
            self._log("info", f"stream `{message.stream}`: version {message.version} is active; rows of older ones are kept")

    def _activate(self, message: Version) -> None:
        if not isinstance(self._writer, Versioning):
            raise ConfigError(
                f"stream `{message.stream}`: target `{self._job.target.connector}` cannot remove rows of older versions",
                hint="set `deletes: ignore` for it, or choose another target",
                facts={"stream": str(message.stream)},
            )
        self._writer.activate_version(message.stream, message.version)

    def _take_status(self, message: StreamStatus) -> None:
        before = self._statuses.get(message.stream)
        self._statuses[message.stream] = message
        until = message.rate_limited_until
        self._progress.status(str(message.stream), message.status, until)
        if until is not None and (before is None or before.rate_limited_until != until):
            left = "" if math.isinf(until) else f", for {max(until - time.time(), 0):.0f} s"
            self._log("warning", f"stream `{message.stream}` waits: the source's rate limit is reached{left}")

    def _commit(self, *, final: bool) -> None:
        self._progress.phase("committing")
        if self._committing is not None:
            self._committing()
        receipt = self._writer.commit(self._state, final=final)
        self._report.commits += 1
        self._note(receipt)
        if self._state is not None and self._state != self._report.state_after:
            self._report.state_after = self._state
            self._committed(self._state)
        self._remove_files(final=final)
        self._staged_rows = self._staged_bytes = 0
        self._last_commit = time.monotonic()
        self._progress.committed()
        self._progress.phase("reading")

    def _note(self, receipt: Receipt) -> None:
        for stream_id, rows in receipt.written.items():
            self._streams[stream_id].report.written += rows
        for stream_id, rows in receipt.quarantined.items():
            self._streams[stream_id].report.quarantined += rows
        for change in receipt.changes:
            report = self._streams[change.stream].report
            report.changes.append(ChangeReport(change.kind, change.column, change.before, change.after))

    def _remove_files(self, *, final: bool) -> None:
        """Removes files whose rows are durable now; those of overwritten streams are only at the end."""
        kept = []
        for message in self._files:
            stream = self._streams.get(message.stream)
            if not final and stream is not None and stream.configured.write_mode == "overwrite":
                kept.append(message)
                continue
            for file in message.files:
                path = unquote(urlsplit(file).path) if file.startswith("file://") else file
                try:
                    Path(path).unlink(missing_ok=True)
                except OSError as error:
                    self._log("warning", f"cannot remove batch file `{path}`: {error.strerror}")
        self._files = kept

    def _count_in(self, reading: Reading) -> None:
        self._report.bytes_in = reading.bytes_in
        for stream_id, rows in reading.rows_in.items():
            stream = self._streams.get(stream_id) or self._add(ConfiguredStream(stream_id))
            stream.report.rows_in = rows
        for stream in self._streams.values():
            stream.report.staged = stream.report.rows_in - stream.report.written - stream.report.quarantined
        for stream_id, said in self._statuses.items():
            known = self._streams.get(stream_id)
            if known is None:
                self._report.streams.append(StreamReport(str(stream_id), status=said.status))
            else:
                known.report.status = said.status

    def _check_staged(self) -> None:
        for stream_id, stream in self._streams.items():
            if stream.report.rows_in != stream.rows + stream.rejects:
                raise _miscount(stream_id, "before the last commit", stream.report.rows_in, "staged", stream.rows, stream.rejects)

    def _check_shrinking(self) -> None:
        target = self._job.target
        for stream_id, stream in self._streams.items():
            before = stream.before or 0
            empty = before > 0 and not stream.rows and not target.allow_empty
            if empty or stream.rows < before * target.shrink_limit:
                raise ContractError(
                    f"stream `{stream_id}` has {before} rows, and {stream.rows} were to replace them: nothing was replaced",
                    hint="if that is right, run with `--set target.allow_empty=true`"
                    if empty
                    else "if that is right, run with a lower `target.shrink_limit`",
                    facts={"stream": str(stream_id), "before": before, "rows": stream.rows},
                )

    def _check_committed(self) -> None:
        for stream_id, stream in self._streams.items():
            report = stream.report
            report.staged = 0
            if (report.written, report.quarantined) != (stream.rows, stream.rejects):
                raise _miscount(
                    stream_id, "after the last commit", report.rows_in, "committed", report.written, report.quarantined
                )


def _clothed(batch: Batch) -> Batch:
    """No table has no columns, and the rows of a bare stream are to be counted: they get the column for extra properties."""
    import pyarrow as pa

    data = pa.record_batch(batch.data)
    if data.num_columns:
        return batch
    data = pa.RecordBatch.from_arrays([pa.nulls(batch.rows, pa.utf8())], schema=_bare())
    return Batch(batch.stream, data, batch.rows, batch.nbytes)


def _bare() -> pa.Schema:
    """The columns of a stream whose schema names no property."""
    import pyarrow as pa

    kind = {"ARROW:extension:name": "arrow.json", "ARROW:extension:metadata": ""}
    return pa.schema([pa.field(EXTRA, pa.utf8(), metadata=kind)])


def _key(configured: ConfiguredStream) -> str:
    return "(" + ", ".join(configured.primary_key) + ")"


def _miscount(stream: StreamId, when: str, rows_in: int, what: str, written: int, quarantined: int) -> DativoError:
    return DativoError(
        f"stream `{stream}`: {rows_in} rows came in, but {written} rows and {quarantined} rejects are {what} {when}",
        hint="this is a bug in Dativo: please report it",
        facts={"stream": str(stream), "rows_in": rows_in, "written": written, "quarantined": quarantined},
    )
