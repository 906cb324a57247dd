"""The writer contract: five methods, called from one thread."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

from dativo_protocols import ArrowArrayExportable, ArrowSchemaExportable, Batch, Rejects, StreamId, frozen

WriteMode: TypeAlias = Literal["append", "append_dedup", "overwrite", "merge", "scd2"]
"""How rows of a stream get into its table:

- `append`: behind those that are there.
- `append_dedup`: as `append`, without rows that are there already, or come twice: those equal in key and cursor, where the stream
  has a key, else in every column but Dativo's own.
- `overwrite`: in the place of the whole table, at the final commit.
- `merge`: in the place of the row with the same key. Where the stream has a cursor, of all rows of a key the one with the
  greatest cursor stays, whichever came first; null is the smallest, and of equal ones the last wins.
- `scd2`: as `merge`, but the old row stays: its `_dativo_valid_to` gets the moment at which the new one's `_dativo_valid_from`
  begins. A row that changes nothing is not written. The current row of each key has a null `_dativo_valid_to`.
"""

DeleteMode: TypeAlias = Literal["ignore", "soft", "hard"]
"""What becomes of rows that the source says are deleted:

- `ignore`: rows stay, and a mark is a column like any other.
- `soft`: rows stay and say so: by the source's mark, or by `_dativo_deleted_at`, where the source marks no rows.
- `hard`: rows are removed.

With `scd2`, both `soft` and `hard` end the current row and begin none.
"""


Refusal: TypeAlias = Literal["nul"]
"""What a writer's columns cannot hold, said by its class attribute `refuses`, a set; left out, they hold everything:

- `nul`: texts with a character 0. JSON text has none: it writes the character with an escape.

Such a value is dealt with before the writer, as the job says about values that do not fit.
"""


class JobKey(NamedTuple):
    """Who writes: state and staged data belong to one tenant's job."""

    tenant: str
    job: str

    def __str__(self) -> str:
        return f"{self.tenant}/{self.job}"


@frozen
class ConfiguredStream:
    """How one stream is to be written. Names are the source's, not the table's.

    Attributes:
        primary_key: Columns that identify a row; empty where there are none.
        cursor: The column that orders a row's versions, for `merge`, `scd2` and `append_dedup`.
        delete_mark: The column that says, by being neither null nor false, that the row is deleted at the source.
    """

    id: StreamId
    write_mode: WriteMode = "append"
    primary_key: tuple[str, ...] = ()
    cursor: str | None = None
    deletes: DeleteMode = "ignore"
    delete_mark: str | None = None


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


@frozen
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


@frozen
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


@runtime_checkable
class Versioning(Protocol):
    """Optional: the target can remove rows of a stream's older versions."""

    def activate_version(self, stream: StreamId, version: int) -> None:
        """Stages that rows whose `_dativo_version` is another one, or null, are obsolete, with what was staged before counted in.

        With the next commit they are gone (`deletes: hard`), have the moment of the commit in `_dativo_deleted_at` unless they
        had one before (`soft`), or are ended (`scd2`). Called only for streams whose rows carry versions and whose `deletes` is
        not `ignore`.
        """
        ...


@runtime_checkable
class Counting(Protocol):
    """Optional: the target can tell how many rows a table has, without reading them."""

    def count_rows(self, stream: StreamId) -> int | None:
        """Committed rows of the stream's table, or None when there is no table. Called between `initialize` and `close`."""
        ...


@runtime_checkable
class Naming(Protocol):
    """Optional: the target keeps which column belongs to which property, where their names differ."""

    def column_names(self, stream: StreamId) -> Mapping[str, str]:
        """Original to table column names, as committed; empty when there is no table. Called between `initialize` and `close`."""
        ...


@frozen
class TableInfo:
    """A stream's table as it is.

    Attributes:
        table: Its name in the target, qualified as far as users would write it.
        data: Its Arrow schema, under the table's column names, or None when there is no table yet.
        columns: Original to table column names, as far as they are kept.
        rows: How many it has, or None when that is not known without reading them.
    """

    table: str
    data: ArrowSchemaExportable | None
    columns: Mapping[str, str] = field(default_factory=dict)
    rows: int | None = None


@frozen
class Inspection:
    """What a target holds for a job.

    Attributes:
        state: Of the job's last commit, or None.
        tables: By stream; for each one asked for, and for those that the job or others have written.
    """

    state: bytes | None
    tables: Mapping[StreamId, TableInfo]


@runtime_checkable
class Inspecting(Protocol):
    """Optional: the target can say what is there without changing anything, not even a lock or an empty directory."""

    def inspect(self, config: Mapping[str, Any], job: JobKey, streams: Sequence[StreamId]) -> Inspection:
        """What the target holds. Called on a writer that is not initialized; leaves nothing open.

        Raises:
            ConfigError: A wrong configuration.
            TargetError: The target cannot be read.
        """
        ...


@runtime_checkable
class Replaying(Protocol):
    """Optional: quarantined rows can be read, and taken out in the same commit that loads them mended."""

    def rejected(self) -> Mapping[StreamId, int]:
        """Committed quarantined rows, by stream; those without any are left out."""
        ...

    def read_rejects(self, stream: StreamId) -> Iterator[ArrowArrayExportable]:
        """The stream's committed quarantined rows, oldest first.

        Record batches with the columns `id` utf8 (unique in the stream, the same each time), `run_id` utf8, `loaded_at`
        timestamp[us, UTC], and those of `Rejects`: `line` int64, `column` utf8, `reason` utf8, `record` binary.
        """
        ...

    def remove_rejects(self, stream: StreamId, ids: Sequence[str]) -> None:
        """Stages that these rows leave the quarantine with the next commit; an `id` that is not there fails that commit."""
        ...
