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


@command("config", examples=("dativo state config orders", "dativo state config orders --clear"))
@click.argument("job", shell_complete=_complete.jobs)
@click.option("--clear", "forget", is_flag=True, help="Forget the changes: the next run uses the job's own configuration.")
def config(job: str, forget: bool, as_json: bool) -> None:
    """List what the connector of JOB changed in its configuration.

    Some connectors replace their credentials while they run, and the next run needs the new ones. They are kept below
    `.dativo/configs/`, and used in place of the job's own unless those have changed since. Values are never shown.
    """
    from dativo._kept_config import KeptConfig
    from dativo._paths import configs_dir

    key = find_job(job)
    kept = KeptConfig(configs_dir(), key)
    if forget:
        with existing_store() as store:
            if store:
                refuse_while_running(store, key)
        cleared = kept.clear()
        if as_json:
            _terminal.write_json({**_about(key), "cleared": cleared})
        elif cleared:
            _terminal.write(_terminal.printable(f"the next run of `{key}` uses the job's own configuration\n"))
        else:
            _terminal.note(f"the connector of job `{key}` has changed nothing")
        return
    about = kept.about()
    if as_json:
        kept_keys = None if about is None else {"keys": about.keys, "time": about.time, "run_id": about.run_id}
        _terminal.write_json({**_about(key), "changed": kept_keys})
    elif about is None:
        _terminal.note(f"the connector of job `{key}` has changed nothing")
    else:
        rows = [(name, local_time(about.time), about.run_id or "-") for name in about.keys]
        show_table((Column("changed key", folds=True), Column("time"), Column("run")), rows)


for member in (show, history, set_, rollback, clear, config):
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
