"""Runs Singer taps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dativo_protocols import Catalog, ConnectionStatus, ConnectorError, Spec

from dativo_engines._engine import Connector, EngineOptions, ReadCatalog
from dativo_engines.singer._catalog import parse_catalog
from dativo_engines.singer._flags import CATALOG, FlagMemory, catalog_flag, next_flag, unknown_flag
from dativo_engines.singer._output import Lines, find_document, message_type
from dativo_engines.singer._reading import SingerReading
from dativo_engines.singer._selection import everything, selected_catalog
from dativo_engines.singer._session import Session

DISCOVER_LIMIT_BYTES = 1 << 30
ABOUT_LIMIT_BYTES = 16 << 20


class SingerEngine:
    """One tap: a program, or a package installed into an environment of its own when it is first used.

    Every call starts the tap anew and leaves nothing of it behind. A call that fails raises `ConnectorError` with the cause
    first; `facts["stderr"]` has the tap's last lines, masked. A program or package that does not exist is a `ConfigError`.
    """

    def __init__(self, connector: Connector, options: EngineOptions) -> None:
        self._connector = connector
        self._options = options
        self._flags = FlagMemory(options.cache_dir)

    def spec(self) -> Spec:
        """What `--about --format=json` says.

        Returns:
            The settings' JSON Schema; empty, with the reason under `note` in `raw`, when the tap has no such option.
        """
        with Session(self._connector, self._options) as session:
            try:
                output = session.run(["--about", "--format=json"], limit_bytes=ABOUT_LIMIT_BYTES)
            except ConnectorError as error:
                return _no_spec(error.message)
            about = find_document(output.stdout.decode(errors="replace"), lambda found: "settings" in found or "name" in found)
            if not output.ended_well or about is None:
                return _no_spec(f"`{session.name}` does not describe its settings: it has no `--about`")
        settings = about.get("settings")
        return Spec(settings if isinstance(settings, dict) else {}, about)

    def check(self, config: Mapping[str, Any]) -> ConnectionStatus:
        """Whether the tap gives a first record, or ends well without one.

        It is asked for its catalog, then started with every stream selected, and ended at the first record.
        """
        with Session(self._connector, self._options, config) as session:
            try:
                return self._first_record(session, *self._everything(session))
            except ConnectorError as error:
                return ConnectionStatus(False, str(error))

    def discover(self, config: Mapping[str, Any]) -> Catalog:
        """The tap's catalog; other lines on its stdout do no harm.

        Raises:
            ConnectorError: The tap failed or wrote no catalog. `facts["unsupported"]` is `discover` when it cannot: such a tap
                can still be read with `catalog=None`.
        """
        with Session(self._connector, self._options, config) as session:
            return self._discover(session)

    def read(self, config: Mapping[str, Any], catalog: ReadCatalog | None, state: bytes | None) -> SingerReading:
        """A reading that starts the tap when it is entered.

        Args:
            config: For `--config`.
            catalog: What to read, or None to start the tap without a catalog: it then reads what it likes.
            state: For `--state`, exactly these bytes; None leaves the option out.

        Raises:
            ConfigError: A selected stream or field does not exist.
        """
        return SingerReading(self._connector, self._options, self._flags, config, catalog, state)

    def _discover(self, session: Session) -> Catalog:
        said = bytearray()
        lines = Lines()
        first: str | None = None
        with session.start(["--discover"], stop_timeout_seconds=2.0) as process:
            for chunk in session.chunks(process):
                said += chunk
                # A program that takes no options at all starts to read: no need to hear it out.
                if first is None:
                    first = next(filter(None, map(message_type, lines.feed(chunk))), None)
                if first is not None or len(said) > DISCOVER_LIMIT_BYTES:
                    raise _no_discovery(session.name, "it sent messages instead")
            ended = session.end_of(process)
            stderr = process.stderr_tail
        if ended.code != 0:
            if unknown_flag(stderr) == "--discover":
                raise _no_discovery(session.name, "it does not know `--discover`")
            raise session.failure(ended, stderr, command="discover")
        document = find_document(said.decode(errors="replace"), lambda found: isinstance(found.get("streams"), list))
        if document is None:
            raise _no_discovery(session.name, "its output holds no catalog" if said.strip() else "it wrote nothing")
        return parse_catalog(document)

    def _everything(self, session: Session) -> tuple[str, str | None]:
        """How to pass the catalog, and a file that selects all of it; no file for a tap without discovery."""
        try:
            catalog = self._discover(session)
        except ConnectorError as error:
            if error.facts.get("unsupported") == "discover":
                return CATALOG, None
            raise
        chosen = selected_catalog(ReadCatalog(catalog, everything(catalog.streams)))
        return catalog_flag(session, self._flags, catalog), session.file("catalog.json", chosen)

    def _first_record(self, session: Session, flag: str, catalog: str | None) -> ConnectionStatus:
        lines = Lines()
        arguments = [flag, catalog] if flag and catalog else []
        with session.start(arguments, stop_timeout_seconds=2.0) as process:
            for chunk in session.chunks(process):
                if "RECORD" in map(message_type, lines.feed(chunk)):
                    return ConnectionStatus(True, "it gave a record")
            ended = session.end_of(process)
            stderr = process.stderr_tail
        if ended.code == 0:
            return ConnectionStatus(True, "it ended well, without a record")
        other = next_flag(flag, stderr, needs_catalog=False) if arguments else None
        if other is None or self._flags.get(session.program) == other:
            raise session.failure(ended, stderr, command="check")
        self._flags.put(session.program, other)
        return self._first_record(session, other, catalog)


def _no_spec(note: str) -> Spec:
    return Spec({}, {"note": note})


def _no_discovery(name: str, why: str) -> ConnectorError:
    return ConnectorError(
        f"`{name}` cannot discover its streams: {why}",
        hint="read it without a selection of streams",
        facts={"unsupported": "discover"},
    )
