"""One run of one job, from its file to its report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dativo._job import ResolvedJob
from dativo._progress import Progress
from dativo._report import Report

__all__ = ["execute", "run"]


def run(
    job: str | Path | Mapping[str, Any],
    *,
    project: str | Path | None = None,
    overrides: Sequence[str] = (),
    wait_seconds: float = 0.0,
    progress: Progress | None = None,
    log: Callable[[str, str], None] | None = None,
    cache_dir: str | Path | None = None,
) -> Report:
    """Runs a job and returns its report, or raises.

    Args:
        job: A path (`jobs/x.yaml`), a name (looked up in `jobs/`), or the job itself as a mapping.
        project: The folder that holds `jobs/`, `connectors/`, `tenants/` and `.dativo/`; the current one by default.
        overrides: What the command line says, as `path=value`, for example `source.config.count=10`.
        wait_seconds: How long to wait for another run of the same job to end.
        progress: Is written to while the run goes on.
        log: Called with level (`debug`, `info`, `warning`, `error`) and a line, secrets masked; from any thread.
        cache_dir: Where isolated environments live; see `dativo._paths.cache_dir`.

    Raises:
        DativoError: The run could not start, or failed; `ConfigError` before anything was done.
        KeyboardInterrupt: SIGINT or SIGTERM ended it.
    """
    raise NotImplementedError


def execute(
    job: ResolvedJob,
    *,
    wait_seconds: float = 0.0,
    progress: Progress | None = None,
    log: Callable[[str, str], None] | None = None,
    cache_dir: str | Path | None = None,
) -> Report:
    """Like `run`, for a job that is loaded (`dativo._job.load_job`): once the run is in the history, it does not raise.

    The report has `status`, `exit_code` and `error`, and says what was committed before the run failed.

    Raises:
        DativoError: The run could not start: the job is running already (exit code 75), or the state store cannot be used.
    """
    raise NotImplementedError
