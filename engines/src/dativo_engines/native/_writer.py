"""Writers of one's own: in this process, or in one that is supervised as a reader's is."""

from __future__ import annotations

import functools
import select
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

from dativo_protocols import ConfigError, ConnectorError, DativoError, StreamId, TargetError
from dativo_sdk import Inspection, JobKey, WriteCatalog, Writer, compatible
from dativo_sdk.host import WRITERS, load_class
from dativo_sdk.writer_process import remote_writer

from dativo_engines._engine import Connector, EngineOptions
from dativo_engines._failure import connector_failure
from dativo_engines._redaction import Redactor
from dativo_engines._runtime import InputRuntime, Runtime, TakingInput
from dativo_engines._session import Session, config_file
from dativo_engines._watch import Watch
from dativo_engines.airbyte._runtime import runtime_for
from dativo_engines.native._plugin import admit, as_program, isolation_of
from dativo_engines.program import ProgramEngine

METHODS = (
    "initialize", "get_schema", "write_batch", "commit", "write_rejects", "activate_version", "count_rows", "column_names",
    "inspect", "rejected", "read_rejects", "remove_rejects",
)  # fmt: skip
"""What a writer may be asked; `close` does not fail a run that is over."""


def open_writer(connector: Connector, options: EngineOptions, config: Mapping[str, Any] | None = None) -> Writer:
    """A new writer, which has not begun anything.

    Args:
        connector: With a `reader`, the class or library, or with a program.
        options: Of the run.
        config: That it will be initialized with: what its manifest asks for is then refused before it is asked anything.

    Raises:
        ConfigError: There is none, it was written for another version of the contracts, or is not the one that was published.
        SandboxError: It cannot be confined as asked, or its manifest asks for more than the job grants.
        ConnectorError: It cannot be asked what it can do.
    """
    if connector.reader is not None:
        isolation = isolation_of(connector, WRITERS)
        manifest = admit(connector)
        if isolation == "in_process":
            return _in_process(connector, options)
        connector = as_program(connector, isolation)
    else:
        manifest = admit(connector)
    if connector.isolation == "sandbox" and config is not None:
        from dativo_engines.plugins import permitted

        permitted(manifest, options.sandbox, config, variables=connector.environment, secrets=options.secrets)
    return _isolated(connector, options)


def _in_process(connector: Connector, options: EngineOptions) -> Writer:
    plugin = load_class(connector.reader or "")
    if not callable(getattr(plugin, "write_batch", None)):
        raise ConfigError(f"`{connector.reference}` is no writer: it has no `write_batch`")

    def failed(error: Exception) -> Exception:
        if isinstance(error, DativoError):
            return error
        redactor = Redactor(options.secrets)
        trace = redactor("".join(traceback.format_exception(error)).rstrip())
        if options.log is not None:
            for line in trace.splitlines():
                options.log("error", line)
        text = " ".join(str(error).split())
        cause = redactor(f"{type(error).__name__}: {text}" if text else type(error).__name__)
        return TargetError(f"`{connector.reference}` failed: {cause}", facts={"stack_trace": trace})

    return cast(Writer, _guarded(plugin, lambda writer, error: failed(error))())


def _isolated(connector: Connector, options: EngineOptions) -> Writer:
    said = ProgramEngine(connector, options).spec().raw.get("dativo")
    about: Mapping[str, Any] = said if isinstance(said, Mapping) else {}
    can = about.get("capabilities") if isinstance(about.get("capabilities"), Mapping) else {}
    refused = compatible(about.get("api_version"), name=f"`{connector.reference}`")
    if refused is not None:
        raise refused
    if not can or not can.get("write"):
        raise ConfigError(f"`{connector.reference}` is no writer: it does not say that it can write")
    powers = can.get("powers") or ()
    remote = remote_writer(powers, can.get("write_modes") or ("append",), can.get("refuses") or ())
    supervised = type("SupervisedWriter", (_Inspecting if "inspect" in powers else _Supervised, remote), {})
    return cast(
        Writer,
        _guarded(supervised, lambda writer, error: writer._failed(error), lambda writer: writer._waiting())(connector, options),
    )


class _Supervised:
    """The part of a remote writer that has to do with its process: it starts with the first question, and ends with `close`."""

    def __init__(self, connector: Connector, options: EngineOptions) -> None:
        self._connector = connector
        self._options = options
        self._session: Session[Runtime] | None = None
        self._process: TakingInput | None = None
        self._watch: Watch | None = None

    def initialize(self, config: Mapping[str, Any], catalog: WriteCatalog) -> bytes | None:
        self._start(config)
        found: bytes | None = super().initialize(config, catalog)  # type: ignore[misc]
        return found

    def close(self) -> None:
        process, self._process = self._process, None
        session, self._session = self._session, None
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()
        if process is None or session is None:
            return
        try:
            # One that takes nothing any more has no room for a word.
            if select.select((), (process.stdin,), (), self._options.stop_timeout_seconds)[1]:
                super().close()  # type: ignore[misc]
            process.close_input()
            if process.wait(self._options.stop_timeout_seconds) is None:
                session.log("warning", f"`{session.name}` did not end when it was asked to, and was killed")
        finally:
            session.close()

    def _start(self, config: Mapping[str, Any]) -> None:
        self._session = Session(self._connector, self._options, runtime_for, config)
        try:
            runtime = cast(InputRuntime, self._session.runtime)
            files = {"config.json": config_file(config)}
            self._process = runtime.start(["write", "--config", "config.json"], files, takes_input=True)
        except BaseException:
            self._session.close()
            self._session = None
            raise
        self._watch = Watch(self._process, self._options.stall_timeout_seconds)
        super().__init__(self._process.stdin, self._process.stdout)  # type: ignore[call-arg]

    def _waiting(self) -> AbstractContextManager[None]:
        """Around each question."""
        return self._watch or nullcontext()

    def _failed(self, error: Exception) -> Exception:
        """A process that ended without a word: why, as far as its exit and its last lines say."""
        session, process = self._session, self._process
        if isinstance(error, ConnectorError):
            return TargetError(error.message, hint=error.hint, retryable=error.retryable, facts=error.facts)
        if not isinstance(error, DativoError) or session is None or process is None:
            return error
        error.message = session.redactor(error.message)
        if self._watch is not None and self._watch.stalled:
            return _stalled(session.name, self._options.stall_timeout_seconds)
        if not error.facts.get("ended"):
            return error
        ended = process.wait(self._options.stop_timeout_seconds)
        if ended is None:
            return error
        found = connector_failure(session.name, ended, process.stderr_tail, facts={"connector": self._connector.reference})
        return TargetError(found.message, hint=found.hint, facts=found.facts)


def _stalled(name: str, seconds: float) -> TargetError:
    return TargetError(
        f"`{name}` said nothing for {seconds:g} s and was ended",
        hint="raise `source.timeouts.stall_seconds` if a commit may take longer, or let the writer log what it does",
        retryable=True,
        facts={"stall_timeout_seconds": seconds},
    )


class _Inspecting(_Supervised):
    """For writers that can say what is there without being initialized."""

    def inspect(self, config: Mapping[str, Any], job: JobKey, streams: Sequence[StreamId]) -> Inspection:
        try:
            self._start(config)
            found: Inspection = super().inspect(config, job, streams)  # type: ignore[misc]
        finally:
            self.close()
        return found


def _guarded(
    plugin: type[Any],
    failed: Callable[[Any, Exception], Exception],
    waiting: Callable[[Any], AbstractContextManager[None]] = lambda writer: nullcontext(),
) -> type[Any]:
    """The class, with its errors as Dativo's, and a context around each call."""

    def guarded(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(self: Any, *arguments: Any, **named: Any) -> Any:
            try:
                with waiting(self):
                    return method(self, *arguments, **named)
            except Exception as error:
                found = failed(self, error)
                if found is error:
                    raise
                raise found from error

        return call

    own = {name: guarded(method) for name in METHODS if callable(method := getattr(plugin, name, None))}
    return type(plugin.__name__, (plugin,), own)
