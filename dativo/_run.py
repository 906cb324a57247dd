"""One run of one job, from its file to its report: lock, history, target, connector, pipeline."""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dativo_engines import Connector, DecodeOptions, Engine, EngineOptions, Redactor, load_engine
from dativo_protocols import Catalog
from dativo_protocols.errors import ConfigError, ConnectorError, DativoError
from dativo_sdk import WriteCatalog, Writer

from dativo._handover import handed_over, starting_state
from dativo._interruption import Interruption
from dativo._job import ResolvedJob, load_job
from dativo._lock import JobLock
from dativo._paths import cache_dir as cache_folder
from dativo._paths import state_dir, store_path
from dativo._pipeline import Pipeline
from dativo._progress import Progress
from dativo._report import Report
from dativo._selection import ReadPlan, StreamRules, plan_read, unread
from dativo._store import Store
from dativo._target import load_target, write_modes

__all__ = ["execute", "run"]

Log = Callable[[str, str], None]

LEAST_DECODER_BYTES = 32 << 20
DECODER_SHARE = 16
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
) -> Report:
    """Like `run`, for a job that is loaded (`dativo._job.load_job`): once the run is in the history, it does not raise.

    The report has `status`, `exit_code` and `error`, and says what was committed before the run failed. A bug in Dativo is
    reported as a plain `DativoError` (exit code 1) with the exception as its cause.

    Raises:
        DativoError: The run could not start: the job is running already (exit code 75), or the state store cannot be used.
        KeyboardInterrupt: It was interrupted before it was in the history.
    """
    began = time.monotonic()
    progress = progress or Progress()
    run_id = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"
    report = Report(run_id, job.key.tenant, job.key.job)
    lock = JobLock(state_dir(job.project) / "locks", job.key, run_id, wait_seconds)
    with Interruption() as interruption, Store(store_path(job.project)) as store:
        with interruption.allowed:
            lock.__enter__()
        try:
            progress.run(run_id)
            report.started = time.time()
            store.begin_run(report)
            attempt = _Attempt(job, report, store, progress, interruption, log or _silent, cache_folder(cache_dir))
            _finish(report, attempt)
            report.ended = time.time()
            report.seconds = time.monotonic() - began
            store.finish_run(report)
        finally:
            lock.__exit__(None, None, None)
    progress.phase("done" if report.status == "succeeded" else "interrupted" if report.status == "interrupted" else "failed")
    return report


def _silent(level: str, line: str) -> None:
    """Nobody listens."""


def _finish(report: Report, attempt: _Attempt) -> None:
    try:
        attempt.run()
    except KeyboardInterrupt:
        report.status, report.exit_code = "interrupted", INTERRUPTED
    except DativoError as error:
        mask = attempt.mask
        error.message, error.hint = mask(error.message), None if error.hint is None else mask(error.hint)
        report.status, report.exit_code, report.error = "failed", error.exit_code, error
    except Exception as error:
        wrapped = DativoError(
            f"a bug in Dativo: {type(error).__name__}: {attempt.mask(str(error))}",
            hint="run with `--verbose` and report what it prints; what was committed stands",
        )
        wrapped.__cause__ = error
        report.status, report.exit_code, report.error = "failed", wrapped.exit_code, wrapped
    else:
        report.status = "succeeded"


class _Attempt:
    """What happens while the lock is held."""

    def __init__(
        self,
        job: ResolvedJob,
        report: Report,
        store: Store,
        progress: Progress,
        interruption: Interruption,
        log: Log,
        cache: Path,
    ) -> None:
        self.mask = Redactor(job.secrets)
        self._job = job
        self._report = report
        self._store = store
        self._progress = progress
        self._interruption = interruption
        self._listener = log
        self._cache = cache
        self._rules = StreamRules(job.job.source.streams)

    def run(self) -> None:
        writer = load_target(self._job.job.target.connector)
        try:
            self._move(writer)
        except BaseException:
            # What went wrong first is what the user needs to know.
            with contextlib.suppress(DativoError):
                writer.close()
            raise
        writer.close()

    def _move(self, writer: Writer) -> None:
        job = self._job
        catalog = WriteCatalog(job.key, self._report.run_id)
        self._progress.phase("starting")
        committed = writer.initialize(job.target_config, catalog)
        self._report.state_before = self._report.state_after = committed
        plan = self._plan()
        state = starting_state(self._store, job.key, writer, committed, self._log)
        self._report.state_before = self._report.state_after = state
        pipeline = Pipeline(
            job.job,
            self._rules,
            writer,
            catalog,
            write_modes=write_modes(writer),
            report=self._report,
            progress=self._progress,
            interruption=self._interruption,
            committed=self._record,
            log=self._log,
        )
        handed = handed_over(state, job.job, self._rules, plan)
        self._progress.phase("starting")
        engine = self._engine(plan)
        with self._interruption.allowed:
            reading = engine.read(job.source_config, plan.catalog, handed)
            reading.__enter__()
        try:
            pipeline.run(reading)
        except BaseException as error:
            reading.__exit__(type(error), error, error.__traceback__)
            raise
        reading.__exit__(None, None, None)
        if plan.catalog is None:
            for name in unread(self._rules, pipeline.streams):
                self._warn(f"the connector sent nothing of stream `{name}`")

    def _plan(self) -> ReadPlan:
        catalog = self._catalog()
        return plan_read(self._rules, catalog, self._job.document)

    def _catalog(self) -> Catalog | None:
        source = self._job.job.source
        if source.catalog is not None:
            return read_catalog(self._job.project / source.catalog)
        if not source.discover:
            return None
        self._progress.phase("discovering")
        with self._interruption.allowed:
            return discover_or_none(self._engine(None), self._job.source_config, self._log)

    def _engine(self, plan: ReadPlan | None) -> Engine:
        job = self._job.job
        options = EngineOptions(
            cache_dir=self._cache,
            decode=DecodeOptions(
                on_bad_value=job.on_bad_value,
                nested=job.nested,
                extra=job.extra,
                fields=plan.fields if plan else {},
                types=plan.types if plan else {},
                memory_budget_bytes=decoder_budget(job.memory),
            ),
            stall_timeout_seconds=job.source.timeouts.stall_seconds,
            stop_timeout_seconds=job.source.timeouts.stop_seconds,
            secrets=self._job.secrets,
            log=self._listen,
            tmp_dir=state_dir(self._job.project) / "tmp",
        )
        return new_engine(self._job.connector.engine, self._job.connector.connector, options)

    def _record(self, state: bytes) -> None:
        try:
            self._store.record(self._job.key, state, self._report.run_id)
        except DativoError as error:
            # The rows and the state are safe in the target; the store only repeats it.
            self._warn(f"the state is committed, but not in the history: {error.message}")

    def _warn(self, text: str) -> None:
        masked = self.mask(text)
        self._report.warnings.append(masked)
        self._listener("warning", masked)

    def _log(self, level: str, line: str) -> None:
        self._listener(level, self.mask(line))

    def _listen(self, level: str, line: str) -> None:
        """What the engine says, from any thread, masked already."""
        if line.startswith("installing "):
            self._progress.phase("installing")
        self._listener(level, line)


def decoder_budget(memory: int) -> int:
    """The decoder's share of the whole process's memory, in bytes."""
    return max(LEAST_DECODER_BYTES, memory // DECODER_SHARE)


def discover_or_none(engine: Engine, config: Mapping[str, Any], log: Log | None) -> Catalog | None:
    """What the connector offers, or None when it has no discovery: it is then run without a catalog.

    Raises:
        ConnectorError: It failed.
    """
    try:
        return engine.discover(config)
    except ConnectorError as error:
        if error.facts.get("unsupported") != "discover":
            raise
        if log is not None:
            log("info", f"{error.message}: it is run without a catalog")
        return None


def new_engine(name: str, connector: Connector, options: EngineOptions) -> Engine:
    """The engine of that name for one connector.

    Raises:
        ConfigError: There is no such engine.
    """
    return load_engine(name)(connector, options)


def read_catalog(path: Path) -> Catalog:
    """A Singer catalog file.

    Raises:
        ConfigError: There is no such file, or it is no catalog.
    """
    from dativo_engines.singer import parse_catalog

    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"cannot read catalog `{path}`: {error.strerror}", facts={"file": str(path)}) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"catalog `{path}` is not JSON: {error}", facts={"file": str(path)}) from None
    if not isinstance(found, dict) or not isinstance(found.get("streams"), list):
        raise ConfigError(f"catalog `{path}` has no list `streams`", facts={"file": str(path)})
    return parse_catalog(found)
