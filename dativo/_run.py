"""One run of one job, from its file to its report: lock, history, target, connector, pipeline."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dativo_protocols.errors import DativoError

from dativo._attempt import Attempts
from dativo._interruption import Interruption
from dativo._job import ResolvedJob, load_job
from dativo._paths import cache_dir as cache_folder
from dativo._progress import Progress
from dativo._report import AttemptReport, Report
from dativo._retry import attempted
from dativo.state._open import open_store

__all__ = ["execute", "run"]

Log = Callable[[str, str], None]

INTERRUPTED = 130


def run(
    job: str | Path | Mapping[str, Any],
    *,
    project: str | Path | None = None,
    overrides: Sequence[str] = (),
    wait_seconds: float = 0.0,
    progress: Progress | None = None,
    log: Log | None = None,
    cache_dir: str | Path | None = None,
) -> Report:
    """Runs a job and returns its report, or raises.

    Args:
        job: A path (`jobs/x.yaml`), a name (looked up in `jobs/`), or the job itself as a mapping.
        project: The folder that holds `jobs/`, `connectors/`, `tenants/` and `.dativo/`; the current one by default. Relative
            paths inside configurations mean the current folder all the same.
        overrides: What the command line says, as `path=value`, for example `source.config.count=10`.
        wait_seconds: How long to wait for another run of the same job to end.
        progress: Is written to while the run goes on.
        log: Called with level (`debug`, `info`, `warning`, `error`) and a line, secrets masked; from any thread.
        cache_dir: Where isolated environments live; see `dativo._paths.cache_dir`.

    Raises:
        DativoError: The run could not start, or failed; `ConfigError` before anything was done.
        KeyboardInterrupt: SIGINT or SIGTERM ended it.
    """
    resolved = load_job(job, project=project, overrides=overrides)
    report = execute(resolved, wait_seconds=wait_seconds, progress=progress, log=log, cache_dir=cache_dir)
    report.raise_for_error()
    return report


def execute(
    job: ResolvedJob,
    *,
    wait_seconds: float = 0.0,
    progress: Progress | None = None,
    log: Log | None = None,
    cache_dir: str | Path | None = None,
    held: Callable[[], None] | None = None,
    attempted_by: Callable[..., Attempts] = Attempts,
) -> Report:
    """Like `run`, for a job that is loaded (`dativo._job.load_job`): once the run is in the history, it does not raise.

    The report has `status`, `exit_code` and `error`, and says what was committed before the run failed. A bug in Dativo is
    reported as a plain `DativoError` (exit code 1) with the exception as its cause.

    Args:
        held: Called from the signal handler when a signal waits for a commit to end.
        attempted_by: What an attempt does, with the arguments of `Attempts`.

    Raises:
        DativoError: The run could not start: the job is running already (exit code 75), or the state store cannot be used.
        KeyboardInterrupt: It was interrupted before it was in the history.
    """
    began = time.monotonic()
    progress = progress or Progress()
    run_id = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"
    report = Report(run_id, job.key.tenant, job.key.job)
    with Interruption(lambda: _held(progress, held)) as interruption, open_store(job.project) as store:
        lock = store.lock(job.key, run_id, wait_seconds)
        with interruption.allowed:
            lock.__enter__()
        try:
            progress.run(run_id)
            report.started = time.time()
            store.begin_run(report)
            attempts = attempted_by(job, report, store, progress, interruption, log or _silent, cache_folder(cache_dir))
            _finish(report, attempts, lambda: _attempt(job, report, attempts, progress, interruption, log or _silent))
            report.sum_up()
            report.ended = time.time()
            report.seconds = time.monotonic() - began
            store.finish_run(report)
        finally:
            lock.__exit__(None, None, None)
    progress.phase("done" if report.status == "succeeded" else "interrupted" if report.status == "interrupted" else "failed")
    return report


def _silent(level: str, line: str) -> None:
    """Nobody listens."""


def _held(progress: Progress, held: Callable[[], None] | None) -> None:
    if held is not None and progress.committing:
        held()


def _attempt(
    job: ResolvedJob, report: Report, attempts: Attempts, progress: Progress, interruption: Interruption, log: Log
) -> None:
    """Attempts until one succeeds, or no other is to be made."""
    retry = job.job.retry

    def once(number: int, waited: float) -> None:
        before = report.attempts[-1].state_after if report.attempts else None
        attempt = AttemptReport(number, waited, state_after=before)
        report.attempts.append(attempt)
        progress.attempt(number)
        began = time.monotonic()
        try:
            attempts.run(attempt)
        except DativoError as error:
            error.message = attempts.mask(error.message)
            error.hint = None if error.hint is None else attempts.mask(error.hint)
            attempt.error = error
            raise
        finally:
            attempt.seconds = time.monotonic() - began

    def wait(seconds: float, number: int, error: DativoError) -> float:
        limited = progress.limited_for()
        seconds = max(seconds, min(limited, retry.max_wait))
        reason = error.message.splitlines()[0]
        log("warning", f"waiting {seconds:.0f} s, attempt {number} of {retry.attempts}: {reason}")
        progress.retrying(seconds, f"attempt {number} of {retry.attempts}: {reason}")
        with interruption.allowed:
            time.sleep(seconds)
        return seconds

    attempted(once, retry, wait=wait)


def _finish(report: Report, attempts: Attempts, run: Callable[[], None]) -> None:
    try:
        run()
    except KeyboardInterrupt:
        report.status, report.exit_code = "interrupted", INTERRUPTED
    except DativoError as error:
        report.status, report.exit_code, report.error = "failed", error.exit_code, error
    except Exception as error:
        wrapped = DativoError(
            f"a bug in Dativo: {type(error).__name__}: {attempts.mask(str(error))}",
            hint="run with `--verbose` and report what it prints; what was committed stands",
        )
        wrapped.__cause__ = error
        report.status, report.exit_code, report.error = "failed", wrapped.exit_code, wrapped
    else:
        report.status = "succeeded"
