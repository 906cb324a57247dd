"""What a run would do, found out without doing anything: `dativo plan`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, Literal

from dativo_engines import EngineOptions
from dativo_protocols import Schema, StreamId, frozen
from dativo_protocols.errors import ConfigError, ContractError
from dativo_sdk import ConfiguredStream, Inspecting, Inspection, TableInfo, Versioning

from dativo._announced import open_decoder, preamble
from dativo._catalog_file import CatalogFile, read_catalog
from dativo._connector import container_options
from dativo._engines import discover_or_none, new_engine
from dativo._gate import Gate, job_contract
from dativo._handover import replaced_streams
from dativo._job import ResolvedJob
from dativo._kept_config import KeptConfig
from dativo._metadata import metadata_fields
from dativo._names import adopt, table_names
from dativo._paths import cache_dir as cache_folder
from dativo._paths import configs_dir
from dativo._report import ChangeReport
from dativo._selection import ReadPlan, StreamRules, plan_read
from dativo._target import open_target, write_modes
from dativo._write_rules import WriteRules

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Plan", "StreamPlan", "plan"]

Log = Callable[[str, str], None]


@frozen
class StreamPlan:
    """What a run would do with one stream.

    Attributes:
        table: Its table in the target.
        action: `create`, `alter` or `keep` the table; `refuse` where the run would fail.
        write: The write mode, or None where it cannot be told.
        rows: Rows of the table now, where the target can tell.
        changes: To the table's columns, as far as the stream's announced schema says.
        reads: The mode that the job asks for, or None where the connector decides.
        problem: Why the run would fail.
    """

    stream: str
    table: str
    action: Literal["create", "alter", "keep", "refuse"]
    write: str | None = None
    primary_key: tuple[str, ...] = ()
    cursor: str | None = None
    deletes: str = "ignore"
    rows: int | None = None
    changes: tuple[ChangeReport, ...] = ()
    reads: str | None = None
    problem: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON types."""
        return {
            "stream": self.stream,
            "table": self.table,
            "action": self.action,
            "reads": self.reads,
            "write": self.write,
            "primary_key": list(self.primary_key),
            "cursor": self.cursor,
            "deletes": self.deletes,
            "rows": self.rows,
            "changes": [{"kind": c.kind, "column": c.column, "before": c.before, "after": c.after} for c in self.changes],
            "problem": self.problem,
        }


@frozen
class Plan:
    """What a run would do.

    Attributes:
        state: The target's committed state, from which the run would go on; None for the beginning.
        known: Whether the connector said its streams; without a discovery they are known only when it runs.
    """

    job: str
    tenant: str
    target: str
    state: bytes | None
    known: bool
    streams: tuple[StreamPlan, ...] = ()

    @property
    def problems(self) -> list[str]:
        """Why the run would fail, stream by stream."""
        return [stream.problem for stream in self.streams if stream.problem]

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON types."""
        return {
            "job": self.job,
            "tenant": self.tenant,
            "target": self.target,
            "state": None if self.state is None else self.state.decode("utf-8", "replace"),
            "known": self.known,
            "streams": [stream.to_dict() for stream in self.streams],
        }


def plan(job: ResolvedJob, *, log: Log = lambda level, line: None, cache_dir: str | Path | None = None) -> Plan:
    """Asks the connector what there is, looks at the target, and compares.

    Nothing is written: neither to the target nor to the state store. The connector is started for its discovery, and installed if
    it is not.

    Raises:
        ConfigError: The job cannot be, or its target cannot be looked at.
        ConnectorError: The discovery failed.
        TargetError: The target cannot be read.
    """
    rules = StreamRules(job.job.source.streams)
    contract = job_contract(job, log)
    config = KeptConfig(configs_dir(job.project), job.key).over(job.source_config)
    found = _catalog(job, config, log, cache_folder(cache_dir))
    read = plan_read(rules, found.catalog if found else None, job.document, found.chosen if found else {})
    writer = open_target(job, log)
    can = write_modes(writer)
    if not isinstance(writer, Inspecting):
        raise ConfigError(f"target `{job.job.target.connector}` cannot be looked at without writing to it")
    messages = [] if read.catalog is None else _announced(job, read)
    inspection = writer.inspect(job.target_config, job.key, [message.stream for message in messages])
    replaced = replaced_streams(job.job, rules, read, can)
    write_rules = WriteRules(job.job, can, replaced, versions=isinstance(writer, Versioning))
    tables = _table_names(messages, inspection)
    gate = Gate(job.job.contract, contract, _Inspected(inspection), lambda line: log("warning", line))
    streams = [_stream(job, rules, write_rules, gate, message, inspection, tables) for message in messages]
    key = job.key
    return Plan(key.job, key.tenant, job.job.target.connector, inspection.state, read.catalog is not None, tuple(streams))


@frozen
class _Inspected:
    """As much of a writer as a contract asks for."""

    inspection: Inspection
    nothing: Mapping[str, str] = field(default_factory=dict)

    def get_schema(self, stream: StreamId) -> Any:
        table = self.inspection.tables.get(stream)
        return None if table is None else table.data

    def column_names(self, stream: StreamId) -> Mapping[str, str]:
        table = self.inspection.tables.get(stream)
        return self.nothing if table is None else table.columns


def _catalog(job: ResolvedJob, config: Mapping[str, Any], log: Log, cache: Path) -> CatalogFile | None:
    source = job.job.source
    if source.catalog is not None:
        return read_catalog(job.project / source.catalog, job.connector.engine)
    if not source.discover:
        return None
    options = EngineOptions(
        cache_dir=cache,
        stall_timeout_seconds=source.timeouts.stall_seconds,
        stop_timeout_seconds=source.timeouts.stop_seconds,
        secrets=job.with_secrets_of(config),
        log=log,
        container=container_options(job.connector.container),
        sandbox=job.connector.sandbox,
    )
    catalog = discover_or_none(new_engine(job.connector.engine, job.connector.connector, options), config, log)
    return None if catalog is None else CatalogFile(catalog)


def _announced(job: ResolvedJob, read: ReadPlan) -> list[Schema]:
    """The schemas that a run would begin with: the decoder's own view of what the catalog says."""
    with TemporaryFile() as file:
        file.write(preamble(job, read))
        file.seek(0)
        return [message for message in open_decoder(job, read, file.fileno(), threads=1) if isinstance(message, Schema)]


def _table_names(messages: Sequence[Schema], inspection: Inspection) -> Mapping[StreamId, str]:
    """The tables that there are, and the names of those that would be made."""
    new = [message.stream for message in messages if message.stream not in inspection.tables]
    taken = {stream: table.table for stream, table in inspection.tables.items()}
    return taken | table_names(new, taken)


def _stream(
    job: ResolvedJob,
    rules: StreamRules,
    write_rules: WriteRules,
    gate: Gate,
    message: Schema,
    inspection: Inspection,
    tables: Mapping[StreamId, str],
) -> StreamPlan:
    import pyarrow as pa

    stream, name = message.stream, str(message.stream)
    config = rules.find(stream)
    info = inspection.tables.get(stream, TableInfo(tables[stream], None))
    if config is None:
        return StreamPlan(name, info.table, "keep", rows=info.rows)
    try:
        configured = write_rules.configure(message, config, gate.primary_key(stream))
        arriving = gate.announce(stream, config, pa.schema(message.data))
    except (ConfigError, ContractError) as error:
        return StreamPlan(name, info.table, "refuse", rows=info.rows, problem=error.message)
    changes = _changes(configured, info, metadata_fields(arriving, job.job.target.metadata))
    action: Literal["create", "alter", "keep"] = "create" if info.data is None else "alter" if changes else "keep"
    return StreamPlan(
        name,
        info.table,
        action,
        configured.write_mode,
        configured.primary_key,
        configured.cursor,
        configured.deletes,
        info.rows,
        tuple(changes),
        config.mode,
    )


def _changes(configured: ConfiguredStream, info: TableInfo, arriving: pa.Schema) -> list[ChangeReport]:
    """What would change in the table's columns; of a new table all of them."""
    import pyarrow as pa

    from dativo._evolution import evolve, type_text

    existing = None if info.data is None else pa.schema(info.data)
    names = adopt(arriving.names, "column", () if existing is None else existing.names, info.columns)
    renamed = pa.schema([column.with_name(names[column.name]) for column in arriving])
    if existing is None:
        return [ChangeReport("column", column.name, None, type_text(column)) for column in evolve(None, renamed).schema]
    if configured.write_mode == "overwrite":
        after = {column.name: type_text(column) for column in evolve(None, renamed).schema}
        before = {column.name: type_text(column) for column in existing}
        both = before.keys() & after.keys()
        return [
            ChangeReport("type" if column in both else "column", column, before.get(column), after.get(column))
            for column in dict.fromkeys([*before, *after])
            if before.get(column) != after.get(column)
        ]
    return [ChangeReport(change.kind, change.column, change.before, change.after) for change in evolve(existing, renamed).changes]
