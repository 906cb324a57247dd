"""`dativo plan`: what a run would do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dativo.cli import _complete, _terminal
from dativo.cli._command import command, verbose
from dativo.cli._figures import count, shortened
from dativo.cli._job_options import overrides_option

if TYPE_CHECKING:
    from dativo._plan import Plan, StreamPlan

__all__ = ["plan"]


@command("plan", examples=("dativo plan orders", "dativo plan jobs/orders.yaml --json"))
@click.argument("job", shell_complete=_complete.jobs)
@overrides_option
def plan(job: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Show what a run of JOB would create, alter, read and write. Nothing is changed.

    The connector is started once, for its discovery. The exit code is 30 when a stream would break its contract, or could not be
    written as the job says.
    """
    from dativo_protocols.errors import ContractError

    from dativo._job import load_job
    from dativo._plan import plan as plan_job
    from dativo.cli._log import Logger

    found = plan_job(load_job(job, overrides=overrides), log=Logger(lowest="debug" if verbose() else "warning"))
    if as_json:
        _terminal.write_json(found.to_dict())
    else:
        _show(found)
    _terminal.flush()
    if found.problems:
        raise ContractError(f"a run of `{found.job}` would fail: {found.problems[0]}")


def _show(plan: Plan) -> None:
    start = "the beginning" if plan.state is None else f"state {shortened(plan.state)}"
    _line(f"{plan.tenant}/{plan.job} into {plan.target}, from {start}")
    if not plan.known:
        _line("the connector has no discovery: its streams are known only when it runs")
    for stream in plan.streams:
        _line("")
        _line(f"{_MARKS[stream.action]} {stream.stream}{_table(stream)}: {_how(stream)}")
        for change in stream.changes:
            if change.before is None:
                _line(f"    + {change.column}  {change.after}")
            elif change.after is None:
                _line(f"    - {change.column}  {change.before}")
            else:
                _line(f"    ~ {change.column}  {change.before} -> {change.after}")
    if plan.streams:
        _line("")
        actions = [stream.action for stream in plan.streams]
        said = [f"{count(actions.count(action))} {word}" for action, word in _WORDS.items() if action in actions]
        _line(f"tables: {', '.join(said)}")


_MARKS = {"create": "+", "alter": "~", "keep": " ", "refuse": "!"}
_WORDS = {"create": "to create", "alter": "to alter", "keep": "as they are", "refuse": "that would fail"}


def _table(stream: StreamPlan) -> str:
    return "" if stream.table == stream.stream else f" -> {stream.table}"


def _how(stream: StreamPlan) -> str:
    if stream.problem is not None:
        return stream.problem
    said = [stream.write or ""]
    if stream.primary_key:
        said.append(f"key ({', '.join(stream.primary_key)})")
    if stream.cursor:
        said.append(f"cursor {stream.cursor}")
    if stream.reads:
        said.append(f"read {stream.reads.replace('_', ' ')}")
    if stream.deletes != "ignore":
        said.append(f"{stream.deletes} deletes")
    if stream.rows is not None:
        said.append(f"{count(stream.rows)} rows there")
    return ", ".join(said)


def _line(text: str) -> None:
    _terminal.write(_terminal.printable(text) + "\n")
