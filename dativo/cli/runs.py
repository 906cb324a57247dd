"""`dativo runs`: what ran, and how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dativo.cli import _complete, _terminal
from dativo.cli._command import DefaultGroup, command
from dativo.cli._figures import count, duration, local_time, shortened
from dativo.cli._history import existing_store, find_job, find_run
from dativo.cli._summary import attempt_pairs, show_streams
from dativo.cli._table import Column, show_pairs, show_table

if TYPE_CHECKING:
    from dativo_sdk import JobKey

    from dativo._store import RunEntry, StateEntry, Store

__all__ = ["runs"]


@click.command("runs", cls=DefaultGroup, examples=("dativo runs", "dativo runs orders --limit 5", "dativo runs show 20261122"))
def runs() -> None:
    """List past runs, or show one.

    `dativo runs JOB` is short for `dativo runs list JOB`.
    """


@command("list", examples=("dativo runs", "dativo runs orders --limit 5", "dativo runs --json"))
@click.argument("job", shell_complete=_complete.jobs, required=False)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, metavar="N", help="Show the newest N.")
def list_(job: str | None, limit: int, as_json: bool) -> None:
    """List the runs of JOB, or of all jobs, newest first."""
    key = find_job(job) if job else None
    with existing_store() as store:
        found = store.runs(key, limit=limit) if store else []
    if as_json:
        _terminal.write_json({"runs": [entry.to_dict() for entry in found]})
        return
    if not found:
        _terminal.note(f"job `{key}` has not run yet" if key else "nothing has run in this project yet")
        return
    columns = (
        Column("run"),
        Column("job"),
        Column("started"),
        Column("status"),
        Column("time", True),
        Column("rows in", True),
        Column("written", True),
        Column("quarantined", True),
    )
    show_table(columns, [_row(entry) for entry in found])


@command("show", examples=("dativo runs show 20261122T0446", "dativo runs show 20261122T0446 --json"))
@click.argument("run")
def show(run: str, as_json: bool) -> None:
    """Show one run: its streams, its error, its states. RUN is its id, or how the id begins."""
    with existing_store() as store:
        entry = find_run(store, run)
        before, after = (_state(store, entry, number) for number in (entry.seq_before, entry.seq_after))
    if as_json:
        _terminal.write_json(entry.to_dict(), exact={"state_before": before, "state_after": after})
        return
    pairs = [
        ("run", entry.run_id),
        ("job", f"{entry.tenant}/{entry.job}"),
        ("status", _status(entry)),
        ("started", local_time(entry.started)),
        ("time", duration(_seconds(entry))),
        ("commits", count(entry.commits)),
        *attempt_pairs(entry.attempts),
        ("state before", shortened(before)),
        ("state after", shortened(after)),
    ]
    if entry.error:
        pairs.append(("error", str(entry.error["message"])))
        if entry.error.get("hint"):
            pairs.append(("hint", str(entry.error["hint"])))
    show_pairs(pairs)
    if entry.streams:
        _terminal.write("\n")
        show_streams(entry.streams)


for member in (list_, show):
    runs.add_command(member)


def _state(store: Store | None, entry: RunEntry, number: int | None) -> bytes | None:
    """The state with this number, where the history still has it."""
    from dativo_sdk import JobKey

    key: JobKey = JobKey(entry.tenant, entry.job)
    found: list[StateEntry] = [each for each in (store.history(key) if store and number else []) if each.seq == number]
    return found[0].state if found else None


def _row(entry: RunEntry) -> tuple[str, ...]:
    figures = (entry.rows_in, entry.written, entry.quarantined)
    started, seconds = local_time(entry.started), duration(_seconds(entry))
    return (entry.run_id, f"{entry.tenant}/{entry.job}", started, _status(entry), seconds, *(count(figure) for figure in figures))


def _seconds(entry: RunEntry) -> float | None:
    return None if entry.ended is None else entry.ended - entry.started


def _status(entry: RunEntry) -> str:
    said = [str(entry.exit_code)] * (entry.status == "failed")
    said += [f"{len(entry.attempts)} attempts"] * (len(entry.attempts) > 1)
    return f"{entry.status} ({', '.join(said)})" if said else entry.status
