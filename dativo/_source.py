"""`dativo.source`: a connector's streams as Arrow streams, without a target."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dativo_engines import DecodeOptions, Engine, EngineOptions, Isolation, Selection, is_reference
from dativo_protocols import Catalog, ConnectionStatus, Spec, StreamId, frozen
from dativo_protocols.errors import ConfigError

from dativo._catalog_file import read_catalog
from dativo._connector import ResolvedConnector, container_options, resolve_connector, resolve_reference
from dativo._document import Document, close_matches, read_document
from dativo._engines import decoder_budget, discover_or_none, new_engine
from dativo._environment import secret_values, substitute
from dativo._job import SourceConfig, StreamConfig, load_job
from dativo._kept_config import KeptConfig
from dativo._model import size_bytes, validate
from dativo._paths import cache_dir as cache_folder
from dativo._paths import configs_dir, project_dir, state_dir
from dativo._precedence import merge
from dativo._selection import StreamRules, matches, plan_read
from dativo._stream_reader import BadValues, Extra, StreamReader

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Source", "StreamReader", "source"]

Log = Callable[[str, str], None]


def source(
    connector: str,
    config: Mapping[str, Any] | str | Path | None = None,
    *,
    streams: Mapping[str, Mapping[str, Any]] | Sequence[str] | None = None,
    state: bytes | Mapping[str, Any] | None = None,
    types: Mapping[str, Mapping[str, str]] | None = None,
    engine: str | None = None,
    runtime: Literal["package", "docker", "sandbox"] | None = None,
    container: Mapping[str, Any] | None = None,
    custom_reader: str | None = None,
    isolation: Isolation | None = None,
    sandbox: Mapping[str, Any] | None = None,
    parallel: int | None = None,
    catalog: str | Path | None = None,
    discover: bool = True,
    nested: Literal["json", "struct"] = "json",
    memory: int | str = "512MiB",
    stall_seconds: float = 600.0,
    project: str | Path | None = None,
    cache_dir: str | Path | None = None,
    log: Log | None = None,
) -> Source:
    """A connector with its configuration.

    Args:
        connector: A reference (`singer:tap-x`, `singer:/path/tap`, `singer:tap-x==1.2.3`, `airbyte:airbyte/source-x:1.2.3`,
            `airbyte:airbyte-source-x==1.2.3`, `airbyte:./manifest.yaml`, `native:./reader.py:Class`, `native:module:Class`,
            `program:/path`), a recipe's name or path, or the path of a job, which brings its connector, configuration and
            streams.
        config: Its configuration, or the path of a JSON or YAML file, over the recipe's or the job's; `${ENV}` is substituted.
        streams: What `Source.streams` lists and how each is read, as in a job's `source.streams`; None means all.
        state: Where incremental streams start.
        types: Per stream and column, an Arrow type by name, as in a job.
        engine: Which of a recipe's engines runs it; None takes its default.
        runtime: How it is run, as in a job's `source.runtime`.
        container: What an image may use, as in a job's `source.container`: `{"memory": "2GiB", "network": "none"}`.
        custom_reader, isolation, sandbox, parallel: As in a job's `source`.
        catalog: A catalog file to use in place of discovery.
        discover: False runs a connector that has no discovery, without a catalog.
        nested: Objects and arrays as JSON text, or as structs and lists where their shape is known.
        memory: Budget of the whole process, in bytes or as `512MiB`.
        stall_seconds: A connector that says nothing for so long is ended; 0 waits for ever.
        project: The folder whose `connectors/` is searched first; the current one by default.
        cache_dir: Where isolated environments live.
        log: Called with level and line, secrets masked; from any thread.

    Raises:
        ConfigError: The reference, the configuration or an option is wrong.
    """
    folder = project_dir(project)
    how = {
        "engine": engine,
        "runtime": runtime,
        "container": container,
        "custom_reader": custom_reader,
        "isolation": isolation,
        "sandbox": sandbox,
        "parallel": parallel,
    }
    found, asked, own_config, secrets, kept = _open(connector, folder, {key: one for key, one in how.items() if one is not None})
    given, more = _config(config)
    own_config = merge(own_config, given)
    document = Document("source", {"streams": streams if isinstance(streams, Mapping) else list(streams or [])})
    if streams is not None:
        settings = {"connector": connector, "streams": document.data["streams"]}
        asked = asked.model_copy(update={"streams": validate(SourceConfig, settings, document).streams})
    try:
        memory_bytes = size_bytes(memory)
    except ValueError as error:
        raise ConfigError(f"`memory`: {error}") from None
    declared = found.recipe.secrets if found.recipe else ()
    options = EngineOptions(
        cache_dir=cache_folder(cache_dir),
        decode=DecodeOptions(nested=nested, memory_budget_bytes=decoder_budget(memory_bytes, found.engine, asked.parallel)),
        stall_timeout_seconds=stall_seconds,
        stop_timeout_seconds=asked.timeouts.stop_seconds,
        secrets=tuple(dict.fromkeys((*secrets, *secret_values([own_config], declared, more)))),
        log=log,
        tmp_dir=state_dir(folder) / "tmp" if state_dir(folder).is_dir() else None,
        container=container_options(found.container),
        sandbox=found.sandbox,
        parallel=asked.parallel,
    )
    if catalog is not None:
        asked = asked.model_copy(update={"catalog": str(Path(catalog).absolute())})
    if not discover:
        asked = asked.model_copy(update={"discover": False})
    return Source(_Setting(found, asked, own_config, options, types or {}, folder, _state(state), kept))


@frozen
class _Setting:
    connector: ResolvedConnector
    source: SourceConfig
    config: Mapping[str, Any]
    options: EngineOptions
    types: Mapping[str, Mapping[str, str]]
    project: Path
    state: bytes | None
    kept: KeptConfig | None


class Source:
    """A configured connector. Nothing runs before it is asked something; each question runs the connector once."""

    def __init__(self, setting: _Setting) -> None:
        self._setting = setting
        self._config = setting.config if setting.kept is None else setting.kept.over(setting.config)
        self._catalog: Catalog | None = None
        self._chosen: Mapping[StreamId, Selection] = {}
        self._asked = False

    @property
    def connector(self) -> ResolvedConnector:
        """Which program is run, and how."""
        return self._setting.connector

    @property
    def config(self) -> Mapping[str, Any]:
        """What the connector is configured with, secrets included."""
        return self._config

    @property
    def log(self) -> Log:
        """Takes level and line, as `source` was given it."""
        return self._setting.options.log or _silent

    def spec(self) -> Spec:
        """What it can be configured with.

        Raises:
            ConnectorError: It failed.
        """
        return self._engine().spec()

    def check(self) -> ConnectionStatus:
        """Whether the configuration works.

        Raises:
            ConnectorError: It could not be asked.
        """
        return self._engine().check(self._config)

    def discover(self) -> Catalog:
        """What it offers; asked once, then remembered.

        Raises:
            ConnectorError: It failed, or has no discovery.
        """
        if self._catalog is None:
            file = self._setting.source.catalog
            if file is None:
                self._catalog = self._engine().discover(self._config)
            else:
                read = read_catalog(self._setting.project / file, self._setting.connector.engine)
                self._catalog, self._chosen = read.catalog, read.chosen
        return self._catalog

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the streams that can be read: of those that it offers, the ones asked for.

        Raises:
            ConnectorError: Discovery failed, and the streams are not named in the source either.
        """
        rules = StreamRules(self._setting.source.streams)
        catalog = self._known()
        if catalog is None:
            if names := rules.names():
                return tuple(names)
            return tuple(str(stream.id) for stream in self.discover().streams)
        return tuple(str(stream.id) for stream in catalog.streams if rules.find(stream.id) is not None)

    def read(
        self,
        stream: str,
        *,
        limit: int | None = None,
        fields: Sequence[str] | None = None,
        state: bytes | Mapping[str, Any] | None = None,
        on_bad_value: BadValues = "fail",
        on_reject: Callable[[pa.RecordBatch], None] | None = None,
        extra: Extra = "fail",
    ) -> StreamReader:
        """One stream; nothing is read before the reader is used.

        Args:
            limit: End the connector after so many rows.
            fields: Properties to read; None reads all. Keys and the cursor are always read.
            state: In place of the source's own.
            on_bad_value: A value that does not fit its column: raise, null it (adds the column `_dativo_changes`), or hand its
                row to `on_reject`.
            on_reject: Called with batches of rejected rows (`line`, `column`, `reason`, `record`).
            extra: A property that the schema does not name: raise, keep it (adds the column `_dativo_extra`), or drop it.

        Raises:
            ConfigError: There is no such stream or field, or `on_bad_value="quarantine"` without `on_reject`.
            ConnectorError: Discovery failed.
        """
        if on_bad_value == "quarantine" and on_reject is None:
            raise ConfigError('`on_bad_value="quarantine"` needs `on_reject`, which gets the rejected rows')
        setting = self._setting
        catalog = self._known()
        config = self._stream_config(stream, catalog)
        if fields is not None:
            config = config.model_copy(update={"fields": list(fields)})
        if stream in setting.types:
            config = config.model_copy(update={"types": {**config.types, **setting.types[stream]}})
        plan = plan_read(StreamRules({stream: config}), catalog, Document("source", {}), self._chosen)
        decode = replace(
            setting.options.decode,
            on_bad_value=on_bad_value,
            extra="drop" if extra == "drop" else "keep",
            fields=plan.fields,
            types=plan.types,
        )
        engine = self._engine(replace(setting.options, decode=decode))
        start = setting.state if state is None else _state(state)
        return StreamReader(
            stream,
            lambda: engine.read(self._config, plan.catalog, start),
            limit=limit,
            nulled=on_bad_value == "null",
            on_reject=on_reject,
            extra=extra,
        )

    def read_all(self, **options: Any) -> dict[str, StreamReader]:
        """A reader for each of `streams`, by name; each runs the connector once, when it is used. Options as in `read`."""
        return {name: self.read(name, **options) for name in self.streams}

    def _known(self) -> Catalog | None:
        """The catalog, or None for a connector that is run without one."""
        if self._setting.source.catalog is not None:
            return self.discover()
        if self._catalog is None and not self._asked and self._setting.source.discover:
            self._catalog = discover_or_none(self._engine(), self._config, self._setting.options.log)
        self._asked = True
        return self._catalog

    def _stream_config(self, stream: str, catalog: Catalog | None) -> StreamConfig:
        rules = StreamRules(self._setting.source.streams)
        if catalog is None:
            return (rules.streams or {}).get(stream) or StreamConfig()
        for offered in catalog.streams:
            if matches(stream, offered.id) and (config := rules.find(offered.id)) is not None:
                return config
        known = list(self.streams)
        hint = close_matches(stream, known) or f"there are: {', '.join(f'`{name}`' for name in known[:20]) or 'none'}"
        raise ConfigError(f"the connector has no stream `{stream}`", hint=hint, facts={"stream": stream})

    def _engine(self, options: EngineOptions | None = None) -> Engine:
        connector = self._setting.connector
        chosen = replace(options or self._setting.options, on_config=self._reconfigured)
        return new_engine(connector.engine, connector.connector, chosen)

    def _reconfigured(self, config: Mapping[str, Any]) -> None:
        """Used from here on; a job's is kept for its next run."""
        self._config = config
        if self._setting.kept is not None:
            self._setting.kept.keep(self._setting.config, config, None)
        else:
            self.log("warning", "the connector has changed its configuration, which only a job keeps: put it into one")


def _silent(level: str, line: str) -> None:
    """Nobody listens."""


def _open(
    connector: str, project: Path, how: Mapping[str, Any]
) -> tuple[ResolvedConnector, SourceConfig, dict[str, Any], tuple[str, ...], KeptConfig | None]:
    """Connector, what is asked of it, its configuration, secrets, and what a job keeps of it: of a job, a reference, or a recipe.

    Args:
        how: Keys of a job's `source` that beat the job's.
    """
    if connector.endswith((".yaml", ".yml")) and not is_reference(connector):
        data = read_document(Path(connector) if Path(connector).exists() else project / connector, connector).data
        if isinstance(data, Mapping) and "source" in data:
            overrides = [f"source.{key}={json.dumps(value)}" for key, value in how.items() if not isinstance(value, Mapping)]
            inner = [(key, value) for key, value in how.items() if isinstance(value, Mapping)]
            overrides += [f"source.{key}.{name}={json.dumps(each)}" for key, value in inner for name, each in value.items()]
            job = load_job(connector, project=project, overrides=overrides)
            kept = KeptConfig(configs_dir(job.project), job.key)
            secrets = job.with_secrets_of(kept.over(job.source_config))
            return job.connector, job.job.source, dict(job.source_config), secrets, kept
    document = Document("source", {"source": {"connector": connector, **how}})
    asked = validate(SourceConfig, document.data["source"], Document("source", document.data["source"]))
    found = resolve_connector(asked, project, document) if how else resolve_reference(connector, project)
    if found.document is None:
        return found, asked, {}, (), None
    defaults, values = substitute(found.document, os.environ)
    return found, asked, dict(defaults), tuple(sorted(values)), None


def _config(config: Mapping[str, Any] | str | Path | None) -> tuple[dict[str, Any], set[str]]:
    if config is None:
        return {}, set()
    document = Document("config", dict(config)) if isinstance(config, Mapping) else read_document(Path(config))
    data, values = substitute(document, os.environ)
    if not isinstance(data, Mapping):
        raise document.error((), "the configuration is not a mapping")
    return dict(data), values


def _state(state: bytes | Mapping[str, Any] | None) -> bytes | None:
    return state if state is None or isinstance(state, bytes) else json.dumps(state).encode()
