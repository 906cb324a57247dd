"""`dativo run`: runs a job and says what it did."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from dativo.cli import _complete, _terminal
from dativo.cli._command import command, verbose
from dativo.cli._history import open_store, read_state, refuse_while_running
from dativo.cli._job_options import overrides_option
from dativo.cli._log import LogFormat, Logger, log_progress
from dativo.cli._signals import commit_goes_on, spoken_through

if TYPE_CHECKING:
    from dativo._job import ResolvedJob
    from dativo._report import Report

__all__ = ["run"]


@command(
    "run",
    examples=(
        "dativo run jobs/orders.yaml",
        "dativo run orders --set source.config.start_date=2026-01-01 --set checkpoint.seconds=10",
        "dativo run orders --wait 600 --json > report.json",
    ),
)
@click.argument("job", shell_complete=_complete.jobs)
@overrides_option
@click.option(
    "--state",
    "state_file",
    type=click.Path(allow_dash=True),
    metavar="FILE",
    help="Start from the state in FILE, as after `dativo state set`.",
)
@click.option(
    "--full-refresh", is_flag=True, help="Start without a state, as after `dativo state clear`; rows in the target stay."
)
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="SECONDS",
    help="Wait for another run of this job to end; without it, exit code 75.",
)
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), help="Form of the log lines on stderr: text, or with --json, JSON."
)
@click.option(
    "--log-every",
    type=click.FloatRange(min=0),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="Log progress so often where stderr is no terminal; 0 for never.",
)
def run(
    job: str,
    overrides: tuple[str, ...],
    state_file: str | None,
    full_refresh: bool,
    wait: float,
    log_format: LogFormat | None,
    log_every: float,
    as_json: bool,
) -> None:
    """Run JOB, from its source to its target. Rows and state are committed together.

    JOB is a job's file, or its name in `jobs/`. Stopped or killed at any moment, the next run goes on where the last commit
    was: no row is lost or doubled.
    """
    from dativo._ahead import load_libraries

    load_libraries()
    from dativo._job import load_job

    if state_file and full_refresh:
        raise click.UsageError("`--state` and `--full-refresh` exclude each other", click.get_current_context())
    resolved = load_job(job, overrides=overrides)
    if state_file or full_refresh:
        _put_state(resolved, state_file)
    form = log_format or ("json" if as_json else "text")
    report = _execute(resolved, wait, form, log_every, live=_terminal.is_terminal(stderr=True) and form == "text")
    if as_json:
        _terminal.write_json(report.to_dict())
    else:
        from dativo.cli._summary import show_report

        show_report(report)
        for warning in report.warnings:
            _terminal.note(f"warning: {warning}")
    _terminal.flush()
    report.raise_for_error()


def _put_state(job: ResolvedJob, state_file: str | None) -> None:
    state = read_state(state_file) if state_file else None
    with open_store() as store:
        refuse_while_running(store, job.key)
        if state is None:
            store.clear(job.key)
        else:
            store.set(job.key, state)


def _execute(job: ResolvedJob, wait: float, form: LogFormat, log_every: float, *, live: bool) -> Report:
    from dativo._progress import Progress
    from dativo._run import execute

    progress = Progress()
    logger = Logger(form=form, lowest="debug" if verbose() else "warning")
    with ExitStack() as watching:
        if live:
            from dativo.cli._live import live_progress

            logger.sink = watching.enter_context(live_progress(progress, str(job.key)))
            watching.enter_context(spoken_through(logger.sink))
        else:
            watching.enter_context(log_progress(progress, logger, seconds=log_every))
        return execute(job, wait_seconds=wait, progress=progress, log=logger, held=commit_goes_on)
