"""A tap that reads: its messages, and how it ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from dativo_protocols import (
    Batch,
    BatchFiles,
    ConnectorError,
    Log,
    Message,
    Rejects,
    Schema,
    StreamId,
    Version,
)

from dativo_engines._engine import Connector, DecodeOptions, EngineOptions, ReadCatalog
from dativo_engines._reading import ConnectorReading, decoder_options
from dativo_engines.singer._batch_files import read_files
from dativo_engines.singer._catalog import message_names, own_method
from dativo_engines.singer._flags import CATALOG, NEITHER, FlagMemory, catalog_flag, next_flag
from dativo_engines.singer._selection import selected_catalog
from dativo_engines.singer._session import Session

UNKNOWN = StreamId("_unknown")


class SingerReading(ConnectorReading[Session]):
    """The messages of one run of a tap; see `dativo_engines.Reading`.

    Streams carry the identity they have in the catalog, also where the tap's messages name them differently. What the tap
    announces but nobody selected is left out; a record of such a stream fails the run. A tap that breaks on every catalog is
    read without one, if the job asks for nothing that only a catalog can say: its streams and fields are then selected here.
    The tap starts when the `with` block is entered.
    """

    def __init__(
        self,
        connector: Connector,
        options: EngineOptions,
        flags: FlagMemory,
        config: Mapping[str, Any],
        catalog: ReadCatalog | None,
        state: bytes | None,
    ) -> None:
        super().__init__(options)
        self._connector = connector
        self._flags = flags
        self._config = config
        self._catalog = catalog
        self._catalog_file = selected_catalog(catalog) if catalog is not None else None
        self._state = state
        self._streams = _Streams(catalog)
        self._flag = NEITHER
        self._file_rows: dict[StreamId, int] = {}

    @property
    def rows_in(self) -> Mapping[StreamId, int]:
        """Records received per stream, those in BATCH files included, counted before they are decoded.

        Without the streams that were left out here because the tap could not be told to.
        """
        rows = dict(self._file_rows)
        for stream, count in self.decoded_rows().items():
            known = self._streams.identity(stream)
            if self._flag or self._streams.wanted(known):
                rows[known] = rows.get(known, 0) + count
        return rows

    def open_session(self) -> Session:
        """The tap's program, with its configuration."""
        return Session(self._connector, self._options, self._config)

    def begin(self) -> None:
        """Starts the tap with its catalog in the way that it takes it."""
        flag = catalog_flag(self.session, self._flags, self._catalog.catalog) if self._catalog is not None else NEITHER
        self._start(CATALOG if flag == NEITHER and self._needs_catalog() else flag)

    def __enter__(self) -> SingerReading:
        self.enter()
        return self

    def __iter__(self) -> Iterator[Message]:
        while True:
            try:
                yield from self._messages()
            except ConnectorError as error:
                raise self._first_cause(error) from error
            other = self._ended_well()
            if other is None:
                return
            self._flags.put(self.session.program, other)
            self._start(other)

    def _start(self, flag: str) -> None:
        # Loads the extension: discovery and checks do without.
        from dativo_protocols import SingerDecoder

        arguments: list[str] = []
        if flag and self._catalog_file is not None:
            arguments += [flag, self.session.file("catalog.json", self._catalog_file)]
        if self._state is not None:
            arguments += ["--state", self.session.file("state.json", self._state)]
        self._flag = flag
        process = self.session.start(arguments)
        self._decode = self._streams.decode_options(self._options.decode, select=not flag)
        self.started(process, SingerDecoder(process.stdout, **decoder_options(self._decode)))

    def _messages(self) -> Iterator[Message]:
        schemas: dict[StreamId, Schema] = {}
        for message in self.decoder:
            if isinstance(message, Log):
                yield replace(message, message=self.session.redactor(message.message))
                continue
            if not isinstance(message, (Schema, Batch, Rejects, Version, BatchFiles)):
                yield message
                continue
            stream = self._streams.identity(message.stream)
            if message.stream.name in self._streams.ambiguous:
                raise self._ambiguous(message.stream)
            if stream != message.stream:
                message = replace(message, stream=stream)
            if not self._streams.wanted(stream):
                if self._flag and isinstance(message, (Batch, Rejects, BatchFiles)):
                    raise self._unwanted(stream)
                continue
            if isinstance(message, Schema):
                schemas[stream] = message
            if isinstance(message, BatchFiles) and not message.decoded:
                for part in read_files(message, schemas.get(stream), self._decode):
                    self._file_rows[stream] = self._file_rows.get(stream, 0) + part.rows
                    yield part
                message = replace(message, decoded=True)
            yield message

    def _unwanted(self, stream: StreamId) -> ConnectorError:
        return ConnectorError(
            f"the connector sent records of stream `{stream}`, which was not selected",
            hint="select it, or report to the connector's author that it ignores its catalog",
            facts={"stream": str(stream)},
        )

    def _ambiguous(self, stream: StreamId) -> ConnectorError:
        shared = " and ".join(f"`{one}`" for one in self._streams.ambiguous[stream.name])
        return ConnectorError(
            f"the connector calls both {shared} `{stream}`: their records cannot be told apart",
            hint="read them in jobs of their own",
            facts={"stream": str(stream)},
        )

    def _first_cause(self, error: ConnectorError) -> ConnectorError:
        """What the decoder met may only be the end of a tap that failed: then that is the cause."""
        ended = self.ended_badly()
        if ended is None:
            return error
        found = self.session.failure(ended, self.process.stderr_tail, command="read")
        found.facts["decoder"] = error.message
        return found

    def _ended_well(self) -> str | None:
        """None after a good end; another way to pass the catalog if that was what the tap failed for."""
        session = self.session
        ended = self.end()
        if ended.code == 0:
            return None
        stderr = self.process.stderr_tail
        if self._catalog is not None and not self.rows_in:
            other = next_flag(self._flag, stderr, needs_catalog=self._needs_catalog())
            if other is not None and self._flags.get(session.program) != other:
                if other == NEITHER:
                    session.log("warning", f"`{session.name}` breaks on every catalog: it is read without one")
                return other
        raise session.failure(ended, stderr, command="read")

    def _needs_catalog(self) -> bool:
        """Whether the job wants another replication than the tap's own; without a state, any tap starts with everything."""
        if self._catalog is None:
            return False
        streams = {stream.id: stream for stream in self._catalog.catalog.streams}
        whole = "FULL_TABLE" if (self._state or b"{}").strip() == b"{}" else None
        return any(
            chosen.replication_method not in (None, whole, own_method(streams[stream]))
            or (chosen.replication_key is not None and (chosen.replication_key,) != streams[stream].cursor)
            for stream, chosen in self._catalog.selected.items()
        )


class _Streams:
    """Names in messages against identities in the catalog.

    Attributes:
        ambiguous: Names that messages of several selected streams may carry, with these streams.
    """

    def __init__(self, catalog: ReadCatalog | None) -> None:
        self._catalog = catalog
        self._known: dict[str, StreamId] = {}
        self._names: dict[str, list[str]] = {}
        self.ambiguous: dict[str, list[StreamId]] = {}
        if catalog is None:
            return
        claims: dict[str, list[StreamId]] = {}
        # A selected stream gets a doubtful name before one that nobody asked for.
        for stream in sorted(catalog.catalog.streams, key=lambda one: one.id not in catalog.selected):
            self._names[stream.id.name] = message_names(stream)
            for name in self._names[stream.id.name]:
                self._known.setdefault(name, stream.id)
                if stream.id in catalog.selected:
                    claims.setdefault(name, []).append(stream.id)
        for stream in catalog.catalog.streams:
            self._known[stream.id.name] = stream.id
            claims.pop(stream.id.name, None)
        self.ambiguous = {name: streams for name, streams in claims.items() if len(streams) > 1}

    def identity(self, stream: StreamId) -> StreamId:
        return self._known.get(stream.name, stream) if stream.namespace is None else stream

    def wanted(self, stream: StreamId) -> bool:
        return self._catalog is None or stream in self._catalog.selected or stream == UNKNOWN

    def decode_options(self, options: DecodeOptions, *, select: bool) -> DecodeOptions:
        """The same choices under every name that a stream may have in messages.

        Args:
            options: By identity.
            select: Whether fields are left out here, because the tap does not know the selection.
        """
        if select and self._catalog is not None:
            left = {
                stream.id.name: tuple({*chosen.fields, *stream.cursor})
                for stream in self._catalog.catalog.streams
                if (chosen := self._catalog.selected.get(stream.id)) is not None and chosen.fields is not None
            }
            options = replace(options, fields={**left, **options.fields})

        def spread(choices: Mapping[str, Any]) -> dict[str, Any]:
            spread_out = dict(choices)
            for stream, choice in choices.items():
                for name in self._names.get(stream, ()):
                    if self._known.get(name, StreamId(stream)).name == stream:
                        spread_out.setdefault(name, choice)
            return spread_out

        return replace(options, fields=spread(options.fields), types=spread(options.types))
