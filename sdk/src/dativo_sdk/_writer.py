"""The writer contract: five methods, called from one thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

from dativo_protocols import ArrowSchemaExportable, Batch, Rejects, StreamId

WriteMode: TypeAlias = Literal["append", "overwrite", "merge"]


class JobKey(NamedTuple):
    """Who writes: state and staged data belong to one tenant's job."""

    tenant: str
    job: str

    def __str__(self) -> str:
        return f"{self.tenant}/{self.job}"


@dataclass(frozen=True, slots=True)
class ConfiguredStream:
    """How one stream is to be written."""

    id: StreamId
    write_mode: WriteMode = "append"
    primary_key: tuple[str, ...] = ()


@dataclass(slots=True)
class WriteCatalog:
    """What a run writes. Live: the pipeline adds a stream before its first batch.

    Attributes:
        job: Owner of the state and of everything staged.
        run_id: Unique to this attempt.
        streams: Known streams by identity.
    """

    job: JobKey
    run_id: str
    streams: dict[StreamId, ConfiguredStream] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """One change that a commit made to a table.

    Attributes:
        kind: `table` (created), `column` (added), `type` (widened).
        before: Arrow type as text, or None for something new.
    """

    stream: StreamId
    kind: Literal["table", "column", "type"]
    column: str | None
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What one commit made durable.

    Attributes:
        written: Rows per stream that this commit received; a merge that replaces a row counts it.
        quarantined: Rows per stream put into quarantine tables.
        changes: Schema changes since the last commit.
        commit_id: The target's own name of the commit.
    """

    written: Mapping[StreamId, int]
    quarantined: Mapping[StreamId, int]
    changes: tuple[SchemaChange, ...] = ()
    commit_id: str = ""


class Writer(Protocol):
    """A target. The pipeline calls, always from the same thread:

    `initialize` once; then any number of `write_batch` and `commit`; then `close` once, however the run ends.
    A stream is announced by a batch of zero rows with its schema. Any method may block; that holds the source back.
    Errors are `TargetError` (the target failed), `ContractError` (the data does not fit), `ConfigError` (in `initialize`).
    """

    def initialize(self, config: Mapping[str, Any], catalog: WriteCatalog) -> bytes | None:
        """Opens the target, removes what earlier attempts of this job left uncommitted, and returns its committed state.

        Returns:
            The state of the job's last commit exactly as it was given, or None when this job never committed one.
        """
        ...

    def get_schema(self, stream: StreamId) -> ArrowSchemaExportable | None:
        """The Arrow schema of the stream's table as it is now, or None when there is no table."""
        ...

    def write_batch(self, batch: Batch) -> None:
        """Stages a batch. Nothing of it is visible to readers before `commit`."""
        ...

    def commit(self, state: bytes | None, *, final: bool = False) -> Receipt:
        """Makes everything staged since the last commit and the state durable as one: all of it or none.

        Args:
            state: The newest state that covers exactly what is staged; None keeps the one committed before.
            final: The source has ended well: streams in `overwrite` mode are swapped now, as part of this commit. Before that
                their rows stay staged.
        """
        ...

    def close(self) -> None:
        """Drops what is staged and not committed, and frees everything. May be called twice."""
        ...


@runtime_checkable
class Quarantining(Protocol):
    """Optional: the target keeps rejected rows beside its data, in the same commit."""

    def write_rejects(self, rejects: Rejects) -> None:
        """Stages rejected rows; counted in `Receipt.quarantined`."""
        ...
