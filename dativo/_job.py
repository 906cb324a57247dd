"""Jobs: what a YAML file asks for, checked, with everything it leaves out filled in."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from dativo_engines import Isolation
from dativo_protocols import frozen
from dativo_protocols.errors import ConfigError
from dativo_sdk import DeleteMode, JobKey, WriteMode
from pydantic import BeforeValidator, Field, field_validator

from dativo._connector import ResolvedConnector, resolve_connector
from dativo._document import Document, close_matches, read_document
from dativo._environment import secret_values, substitute
from dativo._model import Duration, Model, Size, validate
from dativo._paths import project_dir
from dativo._precedence import apply_overrides, merge, tenant_config
from dativo._recipe import ContainerConfig, Runtime
from dativo._sandbox_config import SandboxConfig
from dativo._target import check_target
from dativo.contracts._terms import ContractMode

__all__ = [
    "CheckpointConfig",
    "ContractConfig",
    "Job",
    "ResolvedJob",
    "RetryConfig",
    "SourceConfig",
    "StreamConfig",
    "TargetConfig",
    "TimeoutConfig",
    "load_job",
]

Metadata = Literal["loaded_at", "run_id", "extracted_at"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


def _nothing_is_empty(value: object) -> object:
    return {} if value is None else value


def _list_or_nothing(schema: dict[str, Any]) -> None:
    """What the validators take besides."""
    mapping = next(each for each in schema["anyOf"] if each.get("type") == "object")
    mapping["additionalProperties"] = {"anyOf": [mapping["additionalProperties"], {"type": "null"}]}
    schema["anyOf"].append({"type": "array", "items": {"type": "string"}})


def _names_are_keys(value: object) -> object:
    return {str(name): {} for name in value} if isinstance(value, list) else value


def _mode_is_contract(value: object) -> object:
    return {"mode": value} if isinstance(value, str) else value


def _mode_alone(schema: dict[str, Any]) -> None:
    """What the validator takes besides."""
    schema["anyOf"] = [{"$ref": schema.pop("$ref")}, {"enum": [*get_args(ContractMode)]}]


class StreamConfig(Model):
    """How one stream, or all that match a pattern, is read and written."""

    mode: Literal["full_refresh", "incremental", "log_based"] | None = None
    """How it is read; left out, the connector chooses."""
    fields: list[str] | None = None
    """Properties to read; keys and the cursor are always read. Left out, all of them."""
    cursor: str | None = None
    """The property that orders its changes."""
    write: WriteMode | None = None
    """How it is written; beats `target.write`."""
    primary_key: list[str] | None = None
    """Beats the key that the connector says; `[]` says that there is none."""
    deletes: DeleteMode | None = None
    """What becomes of rows that are deleted at the source; beats `target.deletes`."""
    delete_mark: str | None = None
    """The property that says that a row is deleted, by being neither null nor false; left out, `_ab_cdc_deleted_at`,
    `_sdc_deleted_at` or `_deleted` where the stream has one."""
    contract: ContractMode | None = None
    """What happens when it changes its columns or types; beats `contract.mode`."""
    types: dict[str, str] = Field(default_factory=dict)
    """Column types that beat the schema's, e.g. `decimal(38,10)`, `string`, `json`."""


class TimeoutConfig(Model):
    """When a connector is ended."""

    stall_seconds: Duration = 600.0
    """It has said nothing for so long; 0 waits for ever."""
    stop_seconds: Duration = 10.0
    """From being asked to end to being killed."""


class RetryConfig(Model):
    """What happens after a failure that another attempt may mend."""

    attempts: Annotated[int, Field(gt=0)] = 3
    """Attempts in all; 1 never tries again."""
    wait: Duration = 10.0
    """Before the second attempt; twice as long before each one after it, and by chance up to `wait` more."""
    max_wait: Duration = 300.0
    """The longest wait."""


class SourceConfig(Model):
    """Where the rows come from."""

    connector: str
    """A recipe's name or path, or a reference such as `singer:tap-jsonl==0.3.1`, `airbyte:airbyte/source-faker:7.2.1` or
    `native:./reader.py:Orders`."""
    engine: str | None = None
    """Which of the recipe's engines runs it; left out, its default."""
    runtime: Runtime | None = None
    """How it is run: its `package` (or program), or its image by `docker` or in a `sandbox` without one."""
    container: ContainerConfig = ContainerConfig()
    """What the image may use, over the recipe's."""
    custom_reader: str | None = None
    """A reference to a reader of one's own: it is run in the place of the recipe's engines, with the recipe's configuration and
    secrets."""
    isolation: Isolation | None = None
    """Where a native reader runs: `in_process`, in a `process` of its own, or in a `sandbox`. Left out, readers that were
    installed with Dativo run in its process, all others in a sandbox. A program may be run in a sandbox too."""
    sandbox: SandboxConfig = SandboxConfig()
    """What a reader in a sandbox may use, over the recipe's."""
    parallel: Annotated[int, Field(gt=0)] = 1
    """How many parts are read at a time, of a native reader that can be read in parts."""
    config: dict[str, Any] = Field(default_factory=dict, repr=False)
    """Handed to the connector, over the recipe's and the tenant's."""
    streams: Annotated[
        dict[str, Annotated[StreamConfig, BeforeValidator(_nothing_is_empty)]] | None,
        BeforeValidator(_names_are_keys),
        Field(json_schema_extra=_list_or_nothing),
    ] = None
    """What to read, by stream name or pattern (`*`, `?`, `[…]`), or a list of them; the last that matches wins. Left out, all."""
    catalog: str | None = None
    """A catalog file to use in place of discovery, as the connector's protocol has it; relative to the project."""
    discover: bool = True
    """False for a connector that has no discovery; it is run without a catalog unless `catalog` names one."""
    timeouts: TimeoutConfig = TimeoutConfig()
    """When the connector is ended."""
    image: str | None = None
    """Beats the recipe's image, package and program."""
    manifest: str | None = None
    """Beats the recipe's manifest; relative to the project."""
    package: str | None = None
    """Beats the recipe's requirement and image."""
    executable: str | None = None
    """Beats the recipe's program; a path runs that program, without the recipe's package."""
    requirements: list[str] | None = None
    """Beats the recipe's further requirements."""
    arguments: list[str] | None = None
    """Beats the recipe's arguments."""
    environment: dict[str, str] = Field(default_factory=dict, repr=False)
    """Environment variables of the connector, over the recipe's."""

    @field_validator("streams")
    @classmethod
    def _names_a_stream(cls, value: dict[str, StreamConfig] | None) -> dict[str, StreamConfig] | None:
        if value is not None and not value:
            raise ValueError("names no stream: leave it out to read all of them")
        return value


class TargetConfig(Model):
    """Where the rows go."""

    connector: str
    """`duckdb`, `parquet` or `jsonl`, a target of an installed plugin, or a reference to a writer of one's own:
    `native:./writer.py:Class`, `program:./writer`, `flight:grpc://host:port`."""
    isolation: Isolation | None = None
    """Where a writer of one's own runs, as `source.isolation`."""
    sandbox: SandboxConfig = SandboxConfig()
    """What a writer in a sandbox may use."""
    environment: dict[str, str] = Field(default_factory=dict, repr=False)
    """Environment variables of a writer of one's own."""
    config: dict[str, Any] = Field(default_factory=dict, repr=False)
    """Handed to the target, over the tenant's."""
    write: WriteMode | None = None
    """For every stream that does not say; left out, `merge` where the stream has a key and the target can, else `append`."""
    deletes: DeleteMode = "ignore"
    """For every stream that does not say: rows deleted at the source stay (`ignore`), are marked (`soft`), or go (`hard`)."""
    metadata: list[Metadata] = Field(default_factory=list)
    """Columns that every table gets besides: `_dativo_loaded_at`, `_dativo_run_id`, `_dativo_extracted_at`."""
    shrink_limit: Annotated[float, Field(ge=0, le=1)] = 0.0
    """`overwrite` fails rather than leave a table with less than this part of the rows it had: 0.9 takes a loss of a tenth."""
    allow_empty: bool = False
    """Whether an `overwrite` that brings no row may empty a table that has rows: sources that fail without a word look so."""


class ContractConfig(Model):
    """What streams may look like."""

    mode: ContractMode | None = None
    """What happens when a stream changes its columns or types, where it does not say itself. Left out, `freeze` for streams that
    the contract file names, and `evolve` for others."""
    file: str | None = None
    """A contract in the Open Data Contract Standard, version 3; relative to the project."""
    enforce: Literal["strict", "warn"] = "strict"
    """Whether what breaks the contract file ends the run (or the row, by `mode`), or is only reported."""


class CheckpointConfig(Model):
    """When what is staged is committed: as soon as one of them is reached and the source says a state."""

    rows: Annotated[int, Field(gt=0)] = 1_000_000
    """Rows staged."""
    bytes: Size = 1 << 30
    """Size of what is staged, as Arrow data."""
    seconds: Duration = 60.0
    """Since the last commit."""


ModeOrContract = Annotated[ContractConfig, BeforeValidator(_mode_is_contract), Field(json_schema_extra=_mode_alone)]


class Job(Model):
    """A job, one YAML file in `jobs/`."""

    name: Name
    """State, locks and history belong to tenant and name."""
    tenant: Name = "default"
    """Whose job it is; `tenants/<tenant>.yaml` may hold configuration."""
    source: SourceConfig
    target: TargetConfig
    contract: Annotated[ContractConfig, BeforeValidator(_mode_is_contract), Field(json_schema_extra=_mode_alone)] = (
        ContractConfig()
    )
    """What streams may look like; a mode alone is enough."""
    checkpoint: CheckpointConfig = CheckpointConfig()
    retry: RetryConfig = RetryConfig()
    on_bad_value: Annotated[
        Literal["quarantine", "null", "fail"],
        Field(json_schema_extra={"type": ["string", "null"], "enum": ["quarantine", "null", "fail", None]}),
    ] = "quarantine"
    """What happens to a value that does not fit its column."""
    nested: Literal["json", "struct"] = "json"
    """Objects and arrays as JSON text, or as structs and lists where their shape is known."""
    extra: Literal["keep", "drop"] = "keep"
    """Properties that the schema does not name: kept as JSON text in `_dativo_extra`, or dropped."""
    memory: Size = 512 << 20
    """Budget of the whole process."""
    secrets: list[str] = Field(default_factory=list)
    """Configuration keys (or dotted paths) whose values are masked, besides those that look like secrets."""

    @field_validator("on_bad_value", mode="before")
    @classmethod
    def _null_is_a_word(cls, value: object) -> object:
        return "null" if value is None else value


@frozen
class ResolvedJob:
    """A job after precedence: recipe, then tenant, then job, then command line.

    Attributes:
        path: The job's file, or None.
        connector: Which program to run, and by which engine.
        source_config: Handed to the connector, which may have changed some of it: see `dativo._kept_config`.
        target_config: Handed to the writer.
        secrets: Values to mask.
        project: The folder that holds `.dativo/`.
        document: The job's text, for errors that say where.
    """

    job: Job
    path: Path | None
    connector: ResolvedConnector
    source_config: Mapping[str, Any] = field(repr=False)
    target_config: Mapping[str, Any] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    project: Path
    document: Document = field(repr=False)

    @property
    def key(self) -> JobKey:
        return JobKey(self.job.tenant, self.job.name)

    def with_secrets_of(self, config: Mapping[str, Any]) -> tuple[str, ...]:
        """The values to mask, with those of another configuration of the same connector."""
        recipe = self.connector.recipe
        declared = {*self.job.secrets, *(recipe.secrets if recipe else ())}
        return tuple(dict.fromkeys((*self.secrets, *secret_values((config,), declared))))


def load_job(
    job: str | Path | Mapping[str, Any],
    *,
    project: str | Path | None = None,
    overrides: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    purpose: Literal["run", "inspect"] = "run",
) -> ResolvedJob:
    """Loads a job by path, by name (`jobs/<name>.yaml`), or from a mapping.

    Args:
        overrides: As `path=value`; the value is YAML.
        environment: For `${NAME}`; the process's own by default.
        purpose: `inspect` leaves `${NAME}` that is not set as it is, for commands that only need the job's name and tenant.

    Raises:
        ConfigError: With file, line, path within the file, and what is wrong.
    """
    folder = project_dir(project)
    variables = os.environ if environment is None else environment
    path, document = _read(job, folder)
    document = apply_overrides(document, overrides)
    keep_missing = purpose == "inspect"
    document.data, values = substitute(document, variables, keep_missing=keep_missing)
    checked = validate(Job, document.data, document)
    check_target(checked.target, document)

    connector = resolve_connector(checked.source, folder, document)
    layers = [tenant_config(folder, checked.tenant, name) for name in (connector.name, checked.target.connector)]
    if connector.document is not None:
        layers.insert(0, connector.document)
    configs = []
    for layer in layers:
        config, more = substitute(layer, variables, keep_missing=keep_missing)
        configs.append(config)
        values |= more
    *source_layers, target_layer = configs
    source_config: dict[str, Any] = {}
    for config in (*source_layers, checked.source.config):
        source_config = merge(source_config, config)
    target_config = merge(target_layer, checked.target.config)
    declared = {*checked.secrets, *(connector.recipe.secrets if connector.recipe else ())}
    return ResolvedJob(
        job=checked,
        path=path,
        connector=connector,
        source_config=source_config,
        target_config=target_config,
        secrets=secret_values(
            (source_config, target_config, checked.source.environment, checked.target.environment), declared, values
        ),
        project=folder,
        document=document,
    )


def _read(job: str | Path | Mapping[str, Any], project: Path) -> tuple[Path | None, Document]:
    if isinstance(job, Mapping):
        return None, Document("job", dict(job))
    text = str(job)
    if isinstance(job, Path) or text.endswith((".yaml", ".yml")) or os.sep in text:
        path = Path(text).expanduser()
        if not path.is_absolute() and not path.exists():
            path = project / path
        return path, read_document(path, text)
    jobs = {path.stem: path for suffix in ("*.yml", "*.yaml") for path in sorted((project / "jobs").glob(suffix))}
    if text not in jobs:
        listed = f"jobs here: {', '.join(f'`{name}`' for name in sorted(jobs))}" if jobs else "there is no job in `jobs/`"
        raise ConfigError(f"there is no job `{text}`", hint=close_matches(text, jobs) or listed, facts={"job": text})
    return jobs[text], read_document(jobs[text], f"jobs/{jobs[text].name}")
