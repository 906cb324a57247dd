"""A program's life: from its command line to its exit code."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from dativo_protocols import Catalog, ConfigError, ConnectionStatus, DativoError

from dativo_sdk import _writer_wire as wire
from dativo_sdk._airbyte_catalog import as_selected
from dativo_sdk._api_version import API_VERSION, compatible
from dativo_sdk._config import make_config
from dativo_sdk._plugin import load_class
from dativo_sdk._program import inputs, log, singer, singer_state
from dativo_sdk._program.airbyte import AirbyteVoice, words
from dativo_sdk._program.command import USAGE, Command, UsageError, parse
from dativo_sdk._program.described import Described
from dativo_sdk._program.frames import Requests, own_stdin
from dativo_sdk._program.output import NobodyListens, Output
from dativo_sdk._program.reading import say_all
from dativo_sdk._program.singer import SingerVoice
from dativo_sdk._program.writing import Writing
from dativo_sdk._reader import Checkable, Partitionable

GC_THRESHOLD = 100_000
HOST_VERSION = "DATIVO_API_VERSION"
DONE, FAILED, USAGE_ERROR, INTERRUPTED, NOBODY_LISTENS, TERMINATED = 0, 1, 2, 130, 141, 143


class _Terminated(BaseException):
    """SIGTERM: the reader is closed, nothing else is said."""


def main(plugin: type[Any], argv: Sequence[str] | None = None) -> int:
    """Runs a reader or a writer as this process's program.

    Args:
        argv: Without the program's name; None takes those of the process.

    Returns:
        The exit code: 0 done; 1 failed, and a message or stderr says why; 2 a wrong command line; 130, 143 ended by SIGINT,
        SIGTERM; 141 nobody reads the output any more.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    return _program(lambda: plugin, arguments, os.path.basename(sys.argv[0] if sys.argv else "program"))


def main_of_target() -> int:
    """`python -m dativo_sdk.program TARGET ARGUMENTS…`."""
    program = "python -m dativo_sdk.program"
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        print(USAGE.format(program=f"{program} TARGET"), file=sys.stderr)
        return USAGE_ERROR
    target, arguments = sys.argv[1], sys.argv[2:]
    return _program(lambda: load_class(target), arguments, f"{program} {target}")


def _program(load: Any, arguments: Sequence[str], name: str) -> int:
    # Rows that wait for their batch stay, as does what imports make. By default they are looked through for what could go after
    # every 700 new objects, which takes a reader in Python a twentieth of its time.
    gc.set_threshold(GC_THRESHOLD, 20, 100)
    try:
        command = parse(arguments, os.environ)
    except UsageError as error:
        print(f"{error}\n\n{USAGE.format(program=name)}", file=sys.stderr)
        return USAGE_ERROR
    if command.action == "help":
        print(USAGE.format(program=name))
        return DONE
    # Before anything of the plugin runs, which could read or write there.
    requests = Requests.of_stdin() if command.action == "write" else None
    output = Output()
    voice = SingerVoice(output) if command.singer else AirbyteVoice(output, arrow=command.arrow)
    spoken = voice if isinstance(voice, AirbyteVoice) and requests is None else None
    try:
        with _signals(), log.spoken(spoken, debug=command.debug):
            if requests is not None:
                return _write(load, command, output, requests)
            return _answer(load, command, voice, output)
    except _Terminated:
        return TERMINATED
    except KeyboardInterrupt:
        return INTERRUPTED
    except NobodyListens:
        return NOBODY_LISTENS
    finally:
        output.close()
        if requests is not None:
            requests.close()


def _write(load: Any, command: Command, output: Output, requests: Requests) -> int:
    try:
        config, _ = inputs.read_config(command.configs)
        writing = Writing(_loaded(load), config, output)
    except Exception as error:
        output.line(wire.line("ERROR", **wire.error_json(error)))
        return FAILED
    return writing.serve(requests)


def _answer(load: Any, command: Command, voice: AirbyteVoice | SingerVoice, output: Output) -> int:
    try:
        plugin = _loaded(load)
        if command.action == "version":
            described = Described.of(plugin)
            output.line(f"{described.name} {described.version}\n".encode())
        elif command.action in ("spec", "about"):
            voice.spec(plugin)
        elif command.action == "check" and isinstance(voice, AirbyteVoice):
            voice.status(_checked(plugin, command))
        else:
            _use(plugin, command, voice)
    except Exception as error:
        voice.failed(error)
        return FAILED
    return DONE


def _loaded(load: Any) -> type[Any]:
    plugin: type[Any] = load()
    # Of the host where it says it: its SDK may be older than the one here.
    host = os.environ.get(HOST_VERSION, API_VERSION)
    refused = compatible(getattr(plugin, "__api_version__", None), name=f"`{plugin.__name__}`", host_version=host)
    if refused is not None:
        raise refused
    return plugin


def _checked(plugin: type[Any], command: Command) -> ConnectionStatus:
    """Whether the configuration works; an error that the plugin knows is an answer too."""
    try:
        config, _ = inputs.read_config(command.configs)
        with _opened(plugin, config, None, None) as reader:
            if isinstance(reader, Checkable):
                return reader.check()
            reader.get_schema()
    except DativoError as error:
        return ConnectionStatus(False, str(error))
    except Exception as error:
        import logging

        logging.getLogger(__name__).error("the check failed", exc_info=error)
        return ConnectionStatus(False, words(error))
    return ConnectionStatus(True)


def _use(plugin: type[Any], command: Command, voice: AirbyteVoice | SingerVoice) -> None:
    config, voice.on_bad_rows = inputs.read_config(command.configs)
    if command.action == "discover":
        with _opened(plugin, config, None, None) as reader:
            voice.catalog(reader.get_schema())
    elif command.action == "partitions" and isinstance(voice, AirbyteVoice):
        _partition(plugin, config, command, voice)
    elif isinstance(voice, SingerVoice):
        _tap(plugin, config, command, voice)
    else:
        _source(plugin, config, command, voice)


def _source(plugin: type[Any], config: Any, command: Command, voice: AirbyteVoice) -> None:
    if command.partition == inputs.ON_STDIN:
        _parts(plugin, config, command, voice)
        return
    catalog = inputs.read_configured(command.catalog, inputs.read_partition(command.partition))
    state = inputs.read_state(command.state)
    with _opened(plugin, config, catalog, state) as reader, _ending(voice):
        streams = catalog.catalog.streams if catalog is not None else reader.get_schema().streams
        voice.started(streams)
        say_all(reader, voice, {stream.id for stream in streams}, state, command.max_rows)


def _parts(plugin: type[Any], config: Any, command: Command, voice: AirbyteVoice) -> None:
    """Reads the parts that stdin names, each by a reader of its own, and said as if it were all there is."""
    state = inputs.read_state(command.state)
    with os.fdopen(own_stdin(), "rb") as named:
        for token in inputs.read_tokens(named):
            catalog = inputs.read_configured(command.catalog, token)
            if catalog is None:
                raise ConfigError("a partition is read only with a catalog")
            # The host takes the last status for the end of the part: nothing of it may come behind.
            with _ending(voice), _opened(plugin, config, catalog, state) as reader:
                streams = catalog.catalog.streams
                voice.started(streams)
                say_all(reader, voice, {stream.id for stream in streams}, None, command.max_rows, states=False)


def _tap(plugin: type[Any], config: Any, command: Command, voice: SingerVoice) -> None:
    # Names of a tap's catalog and state become streams by what the reader says of them.
    everything = _discovered(plugin, config) if command.catalog or command.state else Catalog(())
    catalog = None
    if command.catalog is not None:
        catalog = singer.selected_streams(everything, inputs.read_singer_catalog(command.catalog))
    state = singer_state.read_bookmarks(command.state, everything.streams)
    with _opened(plugin, config, catalog, state) as reader, _ending(voice):
        streams = reader.get_schema().streams
        if catalog is not None:
            chosen = catalog.selected
            streams = tuple(as_selected(each, chosen[each.id]) for each in streams if each.id in chosen)
        voice.started(streams)
        say_all(reader, voice, {stream.id for stream in streams}, state, command.max_rows)


def _partition(plugin: type[Any], config: Any, command: Command, voice: AirbyteVoice) -> None:
    """Says the parts, and keeps what they may need open until stdin ends."""
    catalog, state = inputs.read_configured(command.catalog, None), inputs.read_state(command.state)
    with _opened(plugin, config, catalog, state) as reader:
        if not isinstance(reader, Partitionable):
            voice.partitions(())
            return
        voice.partitions(reader.partitions(command.count, command.target_bytes))
        while os.read(0, 65_536):
            pass


def _discovered(plugin: type[Any], config: Any) -> Catalog:
    with _opened(plugin, config, None, None) as reader:
        catalog: Catalog = reader.get_schema()
        return catalog


@contextmanager
def _opened(plugin: type[Any], config: Any, catalog: Any, state: Any) -> Iterator[Any]:
    """A reader that is initialized, and closed however its use ends; an error before that of `close` is the one that counts."""
    made = make_config(plugin, config)
    if not callable(getattr(plugin, "read_batch", None)):
        raise ConfigError(f"`{plugin.__name__}` is no reader: it has no `read_batch`")
    reader = plugin()
    try:
        reader.initialize(made, catalog, state)
        yield reader
    except BaseException:
        try:
            reader.close()
        except Exception as second:
            import logging

            logging.getLogger(__name__).warning("`close` failed after that", exc_info=second)
        raise
    reader.close()


@contextmanager
def _ending(voice: AirbyteVoice | SingerVoice) -> Iterator[None]:
    """Says how each stream has ended; not where nobody listens, or is to hear any more."""
    try:
        yield
    except Exception as error:
        voice.ended(error)
        raise
    voice.ended(None)


@contextmanager
def _signals() -> Iterator[None]:
    """SIGTERM ends what is being done where it stands, so that the plugin is closed; a second one kills."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise _Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
