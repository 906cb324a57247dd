"""One attempt of a run: from the state that the target committed to the end of the connector."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dativo_engines import DecodeOptions, Engine, EngineOptions, Redactor
from dativo_protocols import StreamId
from dativo_protocols.errors import DativoError, StateError
from dativo_sdk import WriteCatalog, Writer

from dativo._catalog_file import CatalogFile, read_catalog
from dativo._connector import container_options
from dativo._engines import decoder_budget, discover_or_none, new_engine
from dativo._gate import job_contract
from dativo._handover import handed_over, replaced_streams, starting_state
from dativo._interruption import Interruption
from dativo._job import Job, ResolvedJob
from dativo._kept_config import KeptConfig
from dativo._paths import configs_dir, state_dir
from dativo._pipeline import Pipeline
from dativo._progress import Progress
from dativo._report import AttemptReport, Report
from dativo._selection import ReadPlan, StreamRules, plan_read, unread
from dativo._store import Store
from dativo._target import load_target, open_target, write_modes
from dativo.state._lease import LeaseLostError

if TYPE_CHECKING:
    from dativo.contracts._odcs import Contract

__all__ = ["Attempts"]

Log = Callable[[str, str], None]


class Attempts:
    """What all attempts of one run share: the job, where it is noted, and what the connector offers.

    Attributes:
        mask: Hides the job's secrets.
    """

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
        self._plan: ReadPlan | None = None
        self._kept = KeptConfig(configs_dir(job.project), job.key)
        self._config: Mapping[str, Any] | None = None
        self._contract: Contract | None = None
        self._secrets = job.secrets

    def run(self, attempt: AttemptReport) -> None:
        """One attempt, with a writer of its own; what it does is noted in its report.

        Raises:
            DativoError: It failed. What it committed stands, what it staged is dropped.
            KeyboardInterrupt: A signal ended it.
        """
        if self._config is None:
            self._use(self._kept.over(self._job.source_config))
            self._contract = job_contract(self._job, self._listener)
        # Nothing of the target is touched before the connector has said what there is: a discovery that fails leaves no trace.
        plan = self._planned()
        writer = open_target(self._job, self._log)
        try:
            self._move(writer, plan, attempt)
        except BaseException:
            # What went wrong first is what the user needs to know.
            with contextlib.suppress(DativoError):
                writer.close()
            raise
        writer.close()

    def _move(self, writer: Writer, plan: ReadPlan, attempt: AttemptReport) -> None:
        job = self._job
        catalog = self._write_catalog(attempt)
        self._progress.phase("starting")
        committed = writer.initialize(job.target_config, catalog)
        attempt.state_after = committed
        state = starting_state(self._store, job.key, writer, committed, self._log)
        attempt.state_after = state
        if attempt.number == 1:
            self._report.state_before = state
        can = write_modes(writer)
        replaced = replaced_streams(job.job, self._rules, plan, can)
        pipeline = self._pipeline(job.job, self._rules, writer, catalog, attempt, replaced)
        handed = handed_over(state, job.job, self._rules, plan, replaced)
        engine = self._engine(plan, attempt.number)
        with self._interruption.allowed:
            reading = engine.read(self._config or {}, plan.catalog, handed)
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

    def _write_catalog(self, attempt: AttemptReport) -> WriteCatalog:
        run_id = self._report.run_id if attempt.number == 1 else f"{self._report.run_id}.{attempt.number}"
        return WriteCatalog(self._job.key, run_id)

    def _pipeline(
        self,
        job: Job,
        rules: StreamRules,
        writer: Writer,
        catalog: WriteCatalog,
        attempt: AttemptReport,
        replaced: frozenset[StreamId] = frozenset(),
    ) -> Pipeline:
        return Pipeline(
            job,
            rules,
            writer,
            catalog,
            write_modes=write_modes(writer),
            replaced=replaced,
            contract=self._contract,
            report=attempt,
            progress=self._progress,
            interruption=self._interruption,
            committed=self._record,
            committing=self._store.check,
            log=self._log,
        )

    def _planned(self) -> ReadPlan:
        """Asked of the connector once in a run."""
        if self._plan is None:
            found = self._catalog()
            self._plan = plan_read(
                self._rules, found.catalog if found else None, self._job.document, found.chosen if found else {}
            )
        return self._plan

    def _catalog(self) -> CatalogFile | None:
        source = self._job.job.source
        if source.catalog is not None:
            return read_catalog(self._job.project / source.catalog, self._job.connector.engine)
        if not source.discover:
            return None
        self._progress.phase("discovering")
        # The target's libraries are loaded while the connector starts.
        target = self._job.job.target.connector
        threading.Thread(target=_load_quietly, args=(target,), name="target", daemon=True).start()
        with self._interruption.allowed:
            found = discover_or_none(self._engine(None, 1), self._config or {}, self._log)
        return None if found is None else CatalogFile(found)

    def _engine(self, plan: ReadPlan | None, attempt: int) -> Engine:
        job = self._job.job
        options = EngineOptions(
            cache_dir=self._cache,
            decode=DecodeOptions(
                on_bad_value=job.on_bad_value,
                nested=job.nested,
                extra=job.extra,
                metadata=_metadata(job),
                fields=plan.fields if plan else {},
                types=plan.types if plan else {},
                memory_budget_bytes=decoder_budget(job.memory, self._job.connector.engine, job.source.parallel),
            ),
            stall_timeout_seconds=job.source.timeouts.stall_seconds,
            stop_timeout_seconds=job.source.timeouts.stop_seconds,
            secrets=self._secrets,
            log=self._listen,
            tmp_dir=state_dir(self._job.project) / "tmp",
            container=container_options(self._job.connector.container),
            sync_id=int(self._report.started * 1000),
            attempt=attempt,
            on_config=self._reconfigured,
            sandbox=self._job.connector.sandbox,
            parallel=job.source.parallel,
        )
        return new_engine(self._job.connector.engine, self._job.connector.connector, options)

    def _reconfigured(self, config: Mapping[str, Any]) -> None:
        """Keeps what the connector changed in its configuration; from here on only that may be worth anything."""
        self._use(config)
        try:
            self._kept.keep(self._job.source_config, config, self._report.run_id)
        except StateError as error:
            self._warn(f"the connector has changed its configuration, but the next run will not know: {error.message}")

    def _use(self, config: Mapping[str, Any]) -> None:
        self._config = config
        self._secrets = self._job.with_secrets_of(config)
        self.mask.add(self._secrets)

    def _record(self, state: bytes) -> None:
        try:
            self._store.record(self._job.key, state, self._report.run_id)
        except LeaseLostError:
            raise
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


def _metadata(job: Job) -> frozenset[Literal["extracted_at", "version"]]:
    """What the decoder keeps of what a source says about its rows."""
    deletes = [job.target.deletes, *(stream.deletes for stream in (job.source.streams or {}).values())]
    wanted: set[Literal["extracted_at", "version"]] = set()
    if "extracted_at" in job.target.metadata:
        wanted.add("extracted_at")
    if any(each not in (None, "ignore") for each in deletes):
        wanted.add("version")
    return frozenset(wanted)


def _load_quietly(target: str) -> None:
    """What goes wrong here comes again where the target is needed."""
    with contextlib.suppress(Exception):
        load_target(target)
