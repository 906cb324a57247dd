"""The quarantine of a job: what is in it, and loading it again."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import islice
from types import TracebackType
from typing import Any

from dativo_protocols import AirbyteDecoder, Message, SingerDecoder, StreamId, frozen
from dativo_protocols.errors import ConfigError, DativoError
from dativo_sdk import Replaying, WriteCatalog, Writer

from dativo._announced import open_decoder, preamble, record_line
from dativo._attempt import Attempts
from dativo._engines import decoder_budget
from dativo._job import Job, ResolvedJob
from dativo._json_text import members
from dativo._report import AttemptReport
from dativo._selection import ReadPlan, StreamRules
from dativo._target import open_target

__all__ = ["Mended", "RejectedRow", "Replays", "opened_quarantine", "read_mended", "rejected_rows", "streams_named"]

ROWS_AT_A_TIME = 10_000
BYTES_AT_A_TIME = 32 << 20
"""Rows are loaded in commits of so many, or of so many bytes: those of one are in memory."""


@frozen
class RejectedRow:
    """A row in quarantine.

    Attributes:
        id: Unique in its stream; stays the same.
        line: Of the connector's output, or None where it is not known.
        column: None when the whole record is bad.
        record: The record's JSON as it was sent; the whole line where that did not parse.
    """

    stream: StreamId
    id: str
    run_id: str | None
    loaded_at: datetime | None
    line: int | None
    column: str | None
    reason: str
    record: bytes


@frozen
class Mended:
    """A record to load in the place of a rejected one, its bytes exactly as the person wrote them."""

    stream: StreamId
    id: str
    record: bytes


@contextmanager
def opened_quarantine(job: ResolvedJob, run_id: str) -> Iterator[Writer]:
    """The job's target, opened for its quarantine. The caller holds the job's lock.

    Raises:
        ConfigError: The target keeps no quarantine that can be read.
        TargetError: It cannot be opened.
    """
    writer = _replaying(job)
    try:
        writer.initialize(job.target_config, WriteCatalog(job.key, run_id))
        yield writer
    finally:
        writer.close()


def rejected_rows(writer: Writer, stream: StreamId) -> Iterator[RejectedRow]:
    """The stream's rows in quarantine, oldest first."""
    import pyarrow as pa

    if not isinstance(writer, Replaying):
        return
    for batch in writer.read_rejects(stream):
        for row in pa.record_batch(batch).to_pylist():
            values = {name: row.get(name) for name in ("id", "run_id", "loaded_at", "line", "column", "reason", "record")}
            yield RejectedRow(stream, **values)


def streams_named(rejected: Mapping[StreamId, int], names: Sequence[str]) -> list[StreamId]:
    """Streams with rows in quarantine, all of them or those that are named.

    Raises:
        ConfigError: A stream has none.
    """
    found = []
    for name in names:
        matching = [stream for stream in rejected if name in (stream.name, str(stream))]
        if not matching:
            there = ", ".join(f"`{stream}`" for stream in rejected) or "none"
            raise ConfigError(f"stream `{name}` has no rows in quarantine", hint=f"streams that have: {there}")
        found += matching
    return found if names else list(rejected)


def read_mended(text: bytes, shown: str, known: Iterable[StreamId]) -> list[Mended]:
    """Mended records, one JSON object a line: `id`, `stream`, `record`, as `dativo quarantine show --output` writes them.

    Args:
        shown: The file's name in messages.
        known: Streams that the job reads, besides those in quarantine.

    Raises:
        ConfigError: A line is something else, or an id comes twice.
    """
    by_name = {str(stream): stream for stream in known}
    found: list[Mended] = []
    for number, line in enumerate(text.decode("utf-8", "surrogateescape").splitlines(), 1):
        if not line.strip():
            continue
        try:
            parts = {part.key: (line[part.value : part.end], part.parsed) for part in members(line)}
            record, parsed = parts["record"]
            stream, key = parts["stream"][1], parts["id"][1]
        except (ValueError, KeyError, IndexError, RecursionError) as error:
            raise _unreadable(shown, number) from error
        if not isinstance(parsed, dict) or not isinstance(key, str) or not isinstance(stream, str):
            raise _unreadable(shown, number)
        if stream not in by_name:
            listed = ", ".join(f"`{name}`" for name in by_name)
            raise ConfigError(f"`{shown}`, line {number}: the job reads no stream `{stream}`", hint=f"it reads {listed}")
        found.append(Mended(by_name[stream], key, record.encode("utf-8", "surrogateescape")))
    ids = [each.id for each in found]
    if len(set(ids)) < len(ids):
        twice = next(each for each in ids if ids.count(each) > 1)
        raise ConfigError(f"`{shown}`: id `{twice}` comes twice")
    return found


class Replays(Attempts):
    """Loads rows of the quarantine as if the connector sent them again: each leaves the quarantine in the commit that loads it.

    What does not fit this time either goes back, with the new reason. Rows are never overwritten as a whole: streams in
    `overwrite` mode are appended to.

    Args:
        streams: Names of streams whose rows are loaded; none takes all.
        mended: A file's text and name: only the rows whose ids are in it are loaded, and from it.
    """

    def __init__(self, *arguments: Any, streams: Sequence[str] = (), mended: tuple[bytes, str] | None = None) -> None:
        super().__init__(*arguments)
        self._wanted = streams
        self._mended = mended

    def _move(self, writer: Writer, plan: ReadPlan, attempt: AttemptReport) -> None:
        if plan.catalog is None:
            raise ConfigError(
                f"job `{self._job.key}` has no catalog: without one nobody knows what its records should look like",
                hint="name one with `source.catalog`",
            )
        if not isinstance(writer, Replaying):
            raise _no_quarantine(self._job)
        catalog = self._write_catalog(attempt)
        self._progress.phase("starting")
        attempt.state_after = writer.initialize(self._job.target_config, catalog)
        self._report.state_before = attempt.state_after
        rejected = writer.rejected()
        streams = streams_named(rejected, self._wanted)
        job = _appending(self._job.job)
        for rows in self._portions(writer, {stream: rejected[stream] for stream in streams}, list(plan.catalog.selected)):
            pipeline = self._pipeline(job, StreamRules(job.source.streams), writer, catalog, attempt)
            leaving: dict[StreamId, list[str]] = {}
            for home, mended in rows:
                leaving.setdefault(home, []).append(mended.id)
            for stream, ids in leaving.items():
                writer.remove_rejects(stream, ids)
            with _Again(self._job, plan, [mended for _, mended in rows]) as reading:
                pipeline.run(reading)

    def _portions(
        self, writer: Writer, rejected: Mapping[StreamId, int], selected: Sequence[StreamId]
    ) -> Iterator[list[tuple[StreamId, Mended]]]:
        """The records to load, each with the stream in whose quarantine it is, as many as are loaded at a time."""
        if self._mended is None:
            for stream, left in rejected.items():
                # What goes back into the quarantine comes behind those that were there.
                while left:
                    rows = islice(rejected_rows(writer, stream), min(left, ROWS_AT_A_TIME))
                    portion = _portion((stream, Mended(stream, row.id, row.record)) for row in rows)
                    left -= len(portion)
                    yield portion
            return
        mended = {each.id: each for each in read_mended(*self._mended, known=[*selected, *rejected])}
        found = [(stream, mended[row.id]) for stream in rejected for row in rejected_rows(writer, stream) if row.id in mended]
        if len(found) < len(mended):
            missing = next(iter(mended.keys() - {each.id for _, each in found}))
            raise ConfigError(f"`{self._mended[1]}`: no row with id `{missing}` is in quarantine", hint="was it loaded already?")
        while found:
            portion = _portion(found[:ROWS_AT_A_TIME])
            found = found[len(portion) :]
            yield portion


def _portion(rows: Iterable[tuple[StreamId, Mended]]) -> list[tuple[StreamId, Mended]]:
    """The first rows, until they are many bytes."""
    portion, nbytes = [], 0
    for row in rows:
        portion.append(row)
        nbytes += len(row[1].record)
        if nbytes >= BYTES_AT_A_TIME:
            break
    return portion


class _Again:
    """A `Reading` of records that were rejected before: they go through a pipe, so that nothing of them is on a disk."""

    def __init__(
        self,
        job: ResolvedJob,
        plan: ReadPlan,
        records: Sequence[Mended],
    ) -> None:
        self._job = job
        self._plan = plan
        self._records = records
        self._reader, self._writer = os.pipe()
        self._feeding = threading.Thread(target=self._feed, name="quarantine", daemon=True)
        self._decoder: SingerDecoder | AirbyteDecoder | None = None

    def __enter__(self) -> _Again:
        budget = decoder_budget(self._job.job.memory, self._job.connector.engine)
        options = {"on_bad_value": self._job.job.on_bad_value, "memory_budget_bytes": budget}
        self._decoder = open_decoder(self._job, self._plan, self._reader, **options)
        self._feeding.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._decoder is not None:
            self._decoder.close()
        os.close(self._reader)
        self._feeding.join()

    def __iter__(self) -> Iterator[Message]:
        if self._decoder is not None:
            yield from self._decoder

    @property
    def rows_in(self) -> Mapping[StreamId, int]:
        return {} if self._decoder is None else self._decoder.rows_in

    @property
    def bytes_in(self) -> int:
        return 0 if self._decoder is None else self._decoder.bytes_in

    def _feed(self) -> None:
        # Whoever stops listening has found something wrong, and says so itself.
        with suppress(BrokenPipeError), open(self._writer, "wb", buffering=1 << 16) as pipe:
            pipe.write(preamble(self._job, self._plan))
            for each in self._records:
                pipe.write(_line(self._job, each))


def _line(job: ResolvedJob, mended: Mended) -> bytes:
    """What the connector would say; of a line that was broken, the line."""
    try:
        json.loads(mended.record)
    except (ValueError, RecursionError):
        return mended.record.rstrip(b"\n") + b"\n"
    return record_line(job, mended.stream, mended.record)


def _replaying(job: ResolvedJob) -> Writer:
    writer = open_target(job)
    if not isinstance(writer, Replaying):
        raise _no_quarantine(job)
    return writer


def _no_quarantine(job: ResolvedJob) -> DativoError:
    return ConfigError(f"target `{job.job.target.connector}` keeps no quarantine that can be read again")


def _appending(job: Job) -> Job:
    """The job with `append` wherever it would overwrite."""

    def appended(mode: str | None) -> str | None:
        return "append" if mode == "overwrite" else mode

    streams = job.source.streams and {
        name: config.model_copy(update={"write": appended(config.write)}) for name, config in job.source.streams.items()
    }
    source = job.source.model_copy(update={"streams": streams})
    target = job.target.model_copy(update={"write": appended(job.target.write)})
    return job.model_copy(update={"source": source, "target": target})


def _unreadable(shown: str, number: int) -> ConfigError:
    return ConfigError(
        f"`{shown}`, line {number}: not an object with `id`, `stream` and `record`",
        hint="write the file with `dativo quarantine show JOB --output FILE`, and change only the records",
    )
