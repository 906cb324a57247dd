"""`dativo state`: the states of a job, and how a person changes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dativo.cli import _complete, _terminal
from dativo.cli._command import Group, command
from dativo.cli._figures import local_time, shortened
from dativo.cli._history import existing_store, find_job, open_store, read_state, refuse_while_running
from dativo.cli._table import Column, show_table

if TYPE_CHECKING:
    from dativo_sdk import JobKey

    from dativo._store import StateEntry

__all__ = ["state"]


@click.command(
    "state",
    cls=Group,
    examples=("dativo state show orders", "dativo state history orders", "dativo state rollback orders --to 12"),
)
def state() -> None:
    """Show or change where a job goes on.

    A state that you set, roll back to or clear is used by the next run. Otherwise the state counts that the target committed
    together with its rows.
    """


@command("show", examples=("dativo state show orders", "dativo state show orders > state.json"))
@click.argument("job", shell_complete=_complete.jobs)
def show(job: str, as_json: bool) -> None:
    """Print the newest state of JOB, byte for byte."""
    from dativo_protocols.errors import StateError

    key = find_job(job)
    with existing_store() as store:
        entry = store.current(key) if store else None
    if as_json:
        about = _about(key) if entry is None else {**_about(key), **entry.to_dict()}
        about.pop("state", None)
        _terminal.write_json(about, exact={"state": entry.state if entry else None})
        return
    if entry is None or entry.state is None:
        cleared = f": it was cleared at {local_time(entry.time)}" if entry else " yet"
        raise StateError(f"job `{key}` has no state{cleared}")
    _terminal.write_bytes(entry.state)
    if _terminal.is_terminal() and not entry.state.endswith(b"\n"):
        _terminal.write("\n")


@command("history", examples=("dativo state history orders", "dativo state history orders --limit 3 --json"))
@click.argument("job", shell_complete=_complete.jobs)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, metavar="N", help="Show the newest N.")
def history(job: str, limit: int, as_json: bool) -> None:
    """List the states of JOB, newest first."""
    key = find_job(job)
    with existing_store() as store:
        entries = store.history(key, limit=limit) if store else []
    if as_json:
        _terminal.write_json({**_about(key), "states": [entry.to_dict() for entry in entries]})
        return
    if not entries:
        _terminal.note(f"job `{key}` has no state yet")
        return
    columns = (Column("number", True), Column("time"), Column("origin"), Column("run"), Column("state", folds=True))
    rows = [(str(each.seq), local_time(each.time), _origin(each), each.run_id or "-", shortened(each.state)) for each in entries]
    show_table(columns, rows)


@command("set", examples=("dativo state set orders state.json", "dativo state set orders - < state.json"))
@click.argument("job", shell_complete=_complete.jobs)
@click.argument("file", type=click.Path(allow_dash=True))
def set_(job: str, file: str, as_json: bool) -> None:
    """Put a state for the next run of JOB. It is the JSON in FILE (`-` for stdin), kept byte for byte."""
    key = find_job(job)
    data = read_state(file)
    with open_store() as store:
        refuse_while_running(store, key)
        _confirm(key, store.set(key, data), as_json)


@command("rollback", examples=("dativo state rollback orders", "dativo state rollback orders --to 12"))
@click.argument("job", shell_complete=_complete.jobs)
@click.option("--to", type=int, metavar="NUMBER", help="Number of the state in the history; by default the newest that differs.")
def rollback(job: str, to: int | None, as_json: bool) -> None:
    """Go back to an earlier state of JOB. Its next run starts there; rows in the target stay."""
    key = find_job(job)
    with open_store() as store:
        refuse_while_running(store, key)
        _confirm(key, store.rollback(key, to), as_json)


@command("clear", examples=("dativo state clear orders",))
@click.argument("job", shell_complete=_complete.jobs)
def clear(job: str, as_json: bool) -> None:
    """Forget the state of JOB. Its next run starts without one; rows in the target stay."""
    key = find_job(job)
    with open_store() as store:
        refuse_while_running(store, key)
        _confirm(key, store.clear(key), as_json)


for member in (show, history, set_, rollback, clear):
    state.add_command(member)


def _about(key: JobKey) -> dict[str, str]:
    return {"tenant": key.tenant, "job": key.job}


def _origin(entry: StateEntry) -> str:
    return f"{entry.origin} (next run)" if entry.pending else entry.origin


def _confirm(key: JobKey, entry: StateEntry, as_json: bool) -> None:
    if as_json:
        about = {**_about(key), **entry.to_dict()}
        about.pop("state")
        _terminal.write_json(about, exact={"state": entry.state})
        return
    start = "without a state" if entry.state is None else f"from state {entry.seq}: {shortened(entry.state)}"
    _terminal.write(_terminal.printable(f"the next run of `{key}` starts {start}\n"))
