"""A source that was given a command: its messages, and whether it did what it was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from dativo_protocols import ConfigError, ConnectorError, Control, DativoError, Log, Message, StreamId, StreamStatus, TraceError

from dativo_engines._engine import Connector, EngineOptions
from dativo_engines._reading import ConnectorReading, decoder_options
from dativo_engines._redaction import secrets_in
from dativo_engines._running import Running
from dativo_engines._runtime import Runtime
from dativo_engines._session import Session, config_file
from dativo_engines.airbyte._manifest import Manifest, without_manifest
from dativo_engines.airbyte._reconfiguring import Reconfiguring
from dativo_engines.airbyte._runtime import runtime_for
from dativo_engines.airbyte._selection import ConfiguredCatalog
from dativo_engines.airbyte._verdict import Verdict

QUICK_STOP_SECONDS = 2.0

Chosen = TypeVar("Chosen")


class AirbyteReading(ConnectorReading[Session[Runtime]]):
    """The messages of one command; see `dativo_engines.Reading`.

    Logs go to `options.log`, masked, and a new configuration to `options.on_config`, past all rows that still wait; neither comes
    out here, nor do errors: the first that matters is raised at the end. States, statuses and estimates do.

    Args:
        command: `spec`, `check`, `discover` or `read`.
        manifest: Of a low-code source.
        config: For `--config`; None leaves the option out.
        catalog: For `--catalog`, likewise.
        state: For `--state`, likewise; exactly these bytes.
        partition: For `--partition`, which only programs of Dativo's SDK know, likewise.
    """

    resumes: ClassVar[bool] = True
    """Whether states come, which are then merged with the one it starts from."""

    def __init__(
        self,
        connector: Connector,
        options: EngineOptions,
        command: str,
        *,
        manifest: Manifest | None = None,
        config: Mapping[str, Any] | None = None,
        catalog: ConfiguredCatalog | None = None,
        state: bytes | None = None,
        partition: bytes | None = None,
    ) -> None:
        super().__init__(options)
        self._connector = connector
        self._command = command
        self._manifest = manifest
        self._config = config
        self._catalog = catalog
        self._state = state
        self._partition = partition
        self._verdict: Verdict | None = None
        self._reconfiguring: Reconfiguring | None = None

    @property
    def rows_in(self) -> Mapping[StreamId, int]:
        """Records received per stream, counted before they are decoded."""
        return self.decoded_rows()

    def open_session(self) -> Session[Runtime]:
        """The source, ready to start."""
        return Session[Runtime](self._connector, self._options, runtime_for, self._config)

    def begin(self) -> None:
        """Starts the source."""
        # Loads the extension.
        from dativo_protocols import AirbyteDecoder

        arguments, files = [self._command], dict[str, bytes]()
        config = self._config
        if config is not None:
            injected = self._manifest.inject(config) if self._manifest is not None else config
            files["config.json"] = config_file(injected)
        if self._catalog is not None:
            files["catalog.json"] = self._catalog.data
        if self._state is not None:
            files["state.json"] = self._state
        if self._partition is not None:
            files["partition"] = self._partition
        for name in files:
            arguments += [f"--{name.removesuffix('.json')}", name]
        session = self.session
        self._verdict = Verdict(self._catalog.streams if self._catalog else (), session.redactor)
        quick = None if self._command == "read" else min(QUICK_STOP_SECONDS, self._options.stop_timeout_seconds)
        process = self.start(arguments, files, quick)
        decoder = AirbyteDecoder(
            process.stdout,
            catalog=self._catalog.whole if self._catalog else None,
            state=self._state if self.resumes else None,
            **{
                **decoder_options(self._options.decode),
                "fields": {**self._by_stream(self._options.decode.fields), **(self._catalog.fields if self._catalog else {})},
                "types": self._by_stream(self._options.decode.types),
            },
        )
        self.started(process, decoder)
        self._reconfiguring = Reconfiguring(decoder, self._reconfigured)

    def start(self, arguments: Sequence[str], files: Mapping[str, bytes], stop_timeout_seconds: float | None) -> Running:
        """Starts the source with these arguments; see `Runtime.start`."""
        return self.session.runtime.start(arguments, files, stop_timeout_seconds=stop_timeout_seconds)

    def close(self) -> None:
        """Ends the source and everything it started. May be called twice."""
        if self._reconfiguring is not None:
            self.decoder.close()
            try:
                self._reconfiguring.end()
            except Exception as error:
                # Whoever stops reading early, or after another error, still needs to know.
                self.session.log("error", f"the source's new configuration is lost: {error}")
            self._reconfiguring = None
        super().close()

    def __enter__(self) -> AirbyteReading:
        self.enter()
        return self

    def __iter__(self) -> Iterator[Message]:
        try:
            for message in self.decoder:
                if not self._heard(message):
                    yield message
        except ConnectorError as error:
            raise self._first_cause(error) from error
        if self._reconfiguring is not None:
            self._reconfiguring.end()
        failure = self._judged(self.end)
        if failure is not None:
            raise failure

    def _heard(self, message: Message) -> bool:
        """Whether the message is of no concern to whoever iterates."""
        verdict = self._verdict
        if verdict is None:
            raise RuntimeError("a reading is iterated inside its `with` block")
        if isinstance(message, Log):
            self.session.log(message.level, message.message)
            verdict.hear(message)
        elif isinstance(message, TraceError):
            self.session.log("error", message.internal_message or message.message)
            verdict.hear(message)
        elif isinstance(message, Control):
            self._mask(without_manifest(message.config))
        elif isinstance(message, StreamStatus):
            verdict.hear(message)
            return False
        else:
            return False
        return True

    def _reconfigured(self, message: Control) -> None:
        config = without_manifest(message.config)
        self._mask(config)
        if self._options.on_config is not None:
            self._options.on_config(config)

    def _mask(self, config: Mapping[str, Any]) -> None:
        """What stands where a secret stood is one."""
        secrets = {*self._options.secrets, *secrets_in(self._config or {})}
        self.session.redactor.add([*secrets_in(config), *_in_place_of(secrets, self._config, config)])

    def _judged(self, end: Callable[[], Any]) -> DativoError | None:
        ended = end()
        if ended is None or self._verdict is None:
            return None
        found = self._verdict.failure(
            self.session.name,
            ended,
            self.process.stderr_tail,
            connector=self._connector.reference,
            command=self._command,
        )
        if found is not None and self._command != "read":
            # Nothing is lost yet that another attempt could save: whoever waits is told at once.
            found.again = found.retryable
        if found is not None and self._connector.reader is not None and found.facts.get("failure_type") == "config_error":
            # A reader of one's own knows what it says: it is the same wherever it runs.
            return ConfigError(found.message, hint=found.hint, facts=found.facts)
        return found

    def _first_cause(self, error: ConnectorError) -> DativoError:
        """What the decoder met may only be the end of a source that failed: then that is the cause."""
        found = self._judged(self.ended_badly)
        if found is None:
            return error
        found.facts["decoder"] = error.message
        return found

    def _by_stream(self, choices: Mapping[str, Chosen]) -> dict[StreamId, Chosen]:
        """By identity what is given by name, with or without the namespace."""
        streams = self._catalog.streams if self._catalog else ()
        found = {stream: choices.get(str(stream), choices.get(stream.name)) for stream in streams}
        return {stream: chosen for stream, chosen in found.items() if chosen is not None}


def _in_place_of(secrets: set[str], before: object, after: object) -> Iterator[str]:
    """Texts that stand where a secret stood before."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in after:
            if key in before:
                yield from _in_place_of(secrets, before[key], after[key])
    elif isinstance(before, (list, tuple)) and isinstance(after, (list, tuple)):
        for old, new in zip(before, after, strict=False):
            yield from _in_place_of(secrets, old, new)
    elif isinstance(after, str) and isinstance(before, str) and before in secrets and after:
        yield after
