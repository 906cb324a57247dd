"""`dativo quarantine`: rows that did not fit, and loading them again."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

import click

from dativo.cli import _complete, _terminal
from dativo.cli._command import Group, command, verbose
from dativo.cli._figures import count, local_time
from dativo.cli._job_options import overrides_option
from dativo.cli._table import Column, show_table

if TYPE_CHECKING:
    from dativo_sdk import Writer

    from dativo._job import ResolvedJob
    from dativo._quarantine import RejectedRow

__all__ = ["quarantine"]

stream_option = click.option("--stream", "streams", multiple=True, metavar="NAME", help="Only this stream. Repeatable.")


@click.command(
    "quarantine",
    cls=Group,
    examples=(
        "dativo quarantine list orders",
        "dativo quarantine show orders --output mended.jsonl",
        "dativo quarantine replay orders --records mended.jsonl",
    ),
)
def quarantine() -> None:
    """Look at the rows of a job that did not fit, and load them again.

    They are beside the job's tables in its target, each with the reason and the record as it was sent.
    """


@command("list", examples=("dativo quarantine list orders",))
@click.argument("job", shell_complete=_complete.jobs)
@overrides_option
def list_(job: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """List the streams of JOB that have rows in quarantine."""
    from dativo_sdk import Replaying

    with _opened(job, overrides) as (resolved, writer):
        rejected = writer.rejected() if isinstance(writer, Replaying) else {}
    if as_json:
        streams = [{"stream": str(stream), "rows": rows} for stream, rows in rejected.items()]
        _terminal.write_json({"tenant": resolved.key.tenant, "job": resolved.key.job, "streams": streams})
    elif rejected:
        show_table((Column("stream", folds=True), Column("rows", True)), [(str(s), count(rows)) for s, rows in rejected.items()])
    else:
        _terminal.note(f"job `{resolved.key}` has no row in quarantine")


@command(
    "show", examples=("dativo quarantine show orders --stream orders", "dativo quarantine show orders --output mended.jsonl")
)
@click.argument("job", shell_complete=_complete.jobs)
@stream_option
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, metavar="N", help="Show the oldest N a stream."
)
@click.option("-o", "--output", type=click.Path(), metavar="FILE", help="Write all of them to FILE, one JSON object a line.")
@overrides_option
def show(job: str, streams: tuple[str, ...], limit: int, output: str | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """Show the rows of JOB in quarantine.

    The file that --output writes can be given to `dativo quarantine replay --records`, with the records mended.
    """
    from dativo_sdk import Replaying

    from dativo._quarantine import rejected_rows, streams_named

    shown: list[RejectedRow] = []
    with _opened(job, overrides) as (resolved, writer):
        found = streams_named(writer.rejected(), streams) if isinstance(writer, Replaying) else []
        if output:
            written = _save(output, (row for stream in found for row in rejected_rows(writer, stream)))
            _terminal.note(f"{count(written)} rows written to `{output}`")
            return
        for stream in found:
            shown += islice(rejected_rows(writer, stream), limit)
    if as_json:
        _terminal.write_json({"tenant": resolved.key.tenant, "job": resolved.key.job, "rows": [_json(row) for row in shown]})
    elif shown:
        columns = (
            Column("stream"),
            Column("id"),
            Column("loaded"),
            Column("line", True),
            Column("column"),
            Column("reason", folds=True),
            Column("record", folds=True),
        )
        show_table(columns, [_cells(row) for row in shown])
    else:
        _terminal.note(f"job `{resolved.key}` has no row in quarantine")


@command(
    "replay",
    examples=(
        "dativo quarantine replay orders --records mended.jsonl",
        "dativo quarantine replay orders --set source.streams.orders.types.price=string",
    ),
)
@click.argument("job", shell_complete=_complete.jobs)
@stream_option
@click.option(
    "--records",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Load only the rows in FILE, with the records as they are there. As `show --output` writes it.",
)
@overrides_option
def replay(job: str, streams: tuple[str, ...], records: str | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """Load rows of JOB from its quarantine, exactly once: each leaves the quarantine in the commit that loads it.

    Mend the job first (its types, its contract), or the records. Rows that still do not fit stay in quarantine. The connector is
    asked for its streams, and reads nothing.
    """
    from functools import partial

    from dativo._job import load_job
    from dativo._quarantine import Replays
    from dativo._run import execute
    from dativo.cli._log import Logger
    from dativo.cli._summary import show_report

    mended = None if records is None else (_read(records), records)
    report = execute(
        load_job(job, overrides=overrides),
        log=Logger(lowest="debug" if verbose() else "warning"),
        attempted_by=partial(Replays, streams=streams, mended=mended),
    )
    if as_json:
        _terminal.write_json(report.to_dict())
    else:
        show_report(report)
    _terminal.flush()
    report.raise_for_error()


for member in (list_, show, replay):
    quarantine.add_command(member)


@contextmanager
def _opened(job: str, overrides: tuple[str, ...]) -> Iterator[tuple[ResolvedJob, Writer]]:
    """The job, and its target, under the job's lock."""
    from dativo._job import load_job
    from dativo._quarantine import opened_quarantine
    from dativo.cli._history import open_store

    resolved = load_job(job, overrides=overrides)
    run_id = f"look-{secrets.token_hex(4)}"
    with open_store() as store, store.lock(resolved.key, run_id, 0.0), opened_quarantine(resolved, run_id) as writer:
        yield resolved, writer


def _read(path: str) -> bytes:
    from pathlib import Path

    from dativo_protocols.errors import ConfigError

    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read `{path}`: {error.strerror}") from error


def _save(path: str, rows: Iterator[RejectedRow]) -> int:
    from dativo.cli._atomic import atomic_file

    written = 0
    with atomic_file(path) as file:
        for written, row in enumerate(rows, 1):  # noqa: B007
            file.write(_line(row))
    return written


def _line(row: RejectedRow) -> bytes:
    """One line; a record that is JSON stands in it as it was sent."""
    from json import dumps

    about = _json(row)
    record = about.pop("record")
    return f'{dumps(about, ensure_ascii=False)[:-1]}, "record": '.encode("utf-8", "surrogatepass") + _raw(row, record) + b"}\n"


def _raw(row: RejectedRow, text: object) -> bytes:
    from json import dumps, loads

    try:
        loads(row.record)
    except ValueError:
        return dumps(text).encode()
    return row.record.strip().replace(b"\n", b" ")


def _json(row: RejectedRow) -> dict[str, object]:
    return {
        "id": row.id,
        "stream": str(row.stream),
        "run_id": row.run_id,
        "loaded_at": None if row.loaded_at is None else row.loaded_at.isoformat(),
        "line": row.line,
        "column": row.column,
        "reason": row.reason,
        "record": row.record.decode("utf-8", "replace"),
    }


def _cells(row: RejectedRow) -> tuple[str, ...]:
    when = "-" if row.loaded_at is None else local_time(row.loaded_at.timestamp())
    line = "-" if row.line is None else count(row.line)
    return (str(row.stream), row.id, when, line, row.column or "-", row.reason, row.record.decode("utf-8", "replace"))
