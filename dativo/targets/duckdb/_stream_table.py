"""One stream's table in the open transaction: names, evolution, buffered inserts, and what its write mode does at a commit."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

import pyarrow as pa
from dativo_protocols import StreamId
from dativo_protocols.errors import ConfigError, ContractError
from dativo_sdk import ConfiguredStream, JobKey, SchemaChange

from dativo._evolution import conform, evolve, same_type, type_text
from dativo._exact_text import is_json
from dativo._names import DELETED_AT, EXTRA, OWN_COLUMNS, VALID_FROM, VALID_TO, VERSION, adopt
from dativo.targets._repetition import repeats
from dativo.targets.duckdb._database import Database
from dativo.targets.duckdb._failure import failures
from dativo.targets.duckdb._merge import PLACE, Merge
from dativo.targets.duckdb._types import check_holds, check_values, has_moments, quoted, sql_type, widened

__all__ = ["StreamTable", "shadow_prefix"]

# An insert has a fixed cost of about a millisecond; beyond a few megabytes, more at a time makes none faster.
_FLUSH_BYTES = 4 << 20
_MOMENT = pa.timestamp("us", "UTC")


def _hides_row_ids(column: str) -> bool:
    return column.casefold() == "rowid"


def shadow_prefix(job: JobKey) -> str:
    """How the names of a job's shadow tables begin: those that `overwrite` fills, and puts in the place of the old ones."""
    owner = hashlib.sha256("\0".join(job).encode()).hexdigest()[:8]
    return f"_dativo_new_{owner}_"


class StreamTable:
    """Where a stream's rows go.

    Attributes:
        columns: Original to safe column names; grows.
        schema: The columns of the table that rows go to, or None while there is none.
        was_there: Whether the table has been committed.
        rows: Received since the last commit that counted them.
        announced: Whether any batch came since then, even one of zero rows.
        renamed: Whether `columns` has grown since then.
        buffered_bytes: Received and not yet handed to DuckDB.
    """

    def __init__(
        self,
        database: Database,
        stream: ConfiguredStream,
        name: str,
        columns: Mapping[str, str],
        job: JobKey,
        now: Callable[[], int],
        *,
        exists: bool,
    ) -> None:
        """Looks at the table as it is now.

        Args:
            now: Gives the moment of the next commit, in microseconds since 1970 UTC.
            exists: Whether there is a table of this name.

        Raises:
            ConfigError: `merge` or `scd2` without a key.
        """
        self.id = stream.id
        self.name = name
        self.columns = dict(columns)
        self.mode = stream.write_mode
        self.rows = 0
        self.buffered_bytes = 0
        self.announced = False
        self.renamed = False
        self.changes: list[SchemaChange] = []
        self._database = database
        self._stream = stream
        self._now = now
        self._key = stream.primary_key
        if self.mode in ("merge", "scd2") and not self._key:
            hint = "name its key under `primary_key` in the job, or use `write: append`"
            raise ConfigError(f"stream `{self.id}` has no primary key to merge by", hint=hint, facts={"stream": str(self.id)})
        self._target = shadow_prefix(job) + name if self.mode == "overwrite" else name
        self._before = database.arrow_schema(name) if exists else None
        self.was_there = exists
        self.schema = None if self.mode == "overwrite" else self._before
        self._compares = self.mode in ("merge", "scd2", "append_dedup")
        # A history has rows of the same key: constraints that allow none are an error.
        self._one_by_one = self._compares and self.mode != "scd2" and self._before is not None and database.has_keys(name)
        self._arriving: pa.Schema | None = None
        self._renamed: pa.Schema | None = None
        self._sent: list[str] = []
        self._sending = pa.schema([])
        self._moments: list[int] = []
        self._buffer: list[pa.RecordBatch] = []
        self._flushed_rows = self._flushed_bytes = 0
        self._boundary: int | None = None
        self._repeating: set[str] | None = None
        self._null_key = False
        self._moment: int | None = None

    @property
    def current(self) -> pa.Schema | None:
        """The columns of the stream's table as readers of this transaction see it."""
        return self._before if self.mode == "overwrite" else self.schema

    @property
    def key(self) -> list[str]:
        """The key's column names in the table."""
        return [self.columns[name] for name in self._key]

    def accept(self, batch: pa.RecordBatch, nbytes: int) -> None:
        """Takes a batch with original column names; a batch of zero rows announces the schema.

        Args:
            nbytes: Its size in memory, as its sender says.

        Raises:
            ContractError: DuckDB cannot hold a column, or a value would change.
        """
        self.announced = True
        if self._arriving is None or not self._arriving.equals(batch.schema, check_metadata=True):
            self._announce(batch.schema)
        if not batch.num_rows:
            return
        rows = pa.RecordBatch.from_arrays(batch.columns, schema=self._renamed)
        rows = conform(rows, self._sending, stream=self.id)
        if self.mode == "scd2":
            rows = self._dated(rows)
        for index in self._moments:
            check_values(rows.column(index), rows.schema.field(index), self.id)
        if self._compares and not self._null_key:
            self._null_key = any(rows.column(name).null_count for name in self.key)
        self._buffer.append(rows)
        self.rows += rows.num_rows
        # The larger of what the rows use and what their sender has allocated for them.
        self.buffered_bytes += max(rows.nbytes, nbytes)
        if self.buffered_bytes >= _FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hands what is buffered to DuckDB."""
        if not self._buffer:
            return
        self._flushed_rows += sum(batch.num_rows for batch in self._buffer)
        self._flushed_bytes += sum(batch.nbytes for batch in self._buffer)
        largest = max(batch.nbytes for batch in self._buffer)
        self._choose_compression()
        self._database.make_room(self._target, len(self._sending), self._flushed_rows, self._flushed_bytes, largest)
        if self._compares and self._boundary is None and not self._one_by_one:
            self._boundary = self._last_row()
        if self._one_by_one or (self._compares and self._boundary is None):
            self._merge_at_once()
        else:
            self._database.insert(self._target, self._buffer, self._sending, self.id)
        self._buffer = []
        self.buffered_bytes = 0

    def _dated(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """The rows with the moment from which each holds: its cursor, where that is one, else that of the commit."""
        if self._moment is None:
            self._moment = self._now()
        now = pa.scalar(self._moment, pa.int64()).cast(_MOMENT)
        moments = pa.repeat(now, rows.num_rows)
        cursor = self.columns.get(self._stream.cursor or "")
        if cursor in rows.schema.names:
            given = rows.column(cursor)
            if pa.types.is_timestamp(given.type) or pa.types.is_date(given.type):
                moments = given.cast(pa.timestamp("us", getattr(given.type, "tz", None))).cast(_MOMENT).fill_null(now)
        return rows.set_column(rows.schema.get_field_index(VALID_FROM), VALID_FROM, moments)

    def _choose_compression(self) -> None:
        strings = [field.name for field in self._sending if pa.types.is_string(field.type)]
        if self._repeating is None:
            self._repeating = {name for name in strings if repeats(self._buffer[0].column(name))}
        sizes = {name: sum(batch.column(name).nbytes for batch in self._buffer) for name in strings}
        repeating = sum(sizes[name] for name in self._repeating)
        self._database.choose_compression(repeating=repeating, others=sum(sizes.values()) - repeating)

    def settle(self) -> None:
        """Makes the table what it is to be after the commit, all but the swap of `overwrite`."""
        self.flush()
        if self._boundary is not None:
            merge = self._merge(self._boundary)
            if self.mode == "merge":
                merge.replace()
            elif self.mode == "scd2":
                merge.keep_history()
            else:
                merge.leave_out_known()
        self._boundary = self._moment = None
        self._null_key = False
        self._flushed_rows = self._flushed_bytes = 0

    def activate(self, version: int) -> None:
        """Rows of other versions are obsolete, those received up to here counted in."""
        self.settle()
        if self.schema is None or VERSION not in self.schema.names:
            return
        history, remove = self.mode == "scd2", self._stream.deletes == "hard"
        if not history and not remove and DELETED_AT not in self.schema.names:
            evolution = evolve(self.schema, pa.schema([(DELETED_AT, _MOMENT)]))
            self._add(evolution.schema.field(DELETED_AT))
            self.schema = evolution.schema
            change = evolution.changes[0]
            self.changes.append(SchemaChange(self.id, change.kind, change.column, change.before, change.after))
        self._merge().make_obsolete(version, self._now(), history=history, remove=remove)

    def swap(self) -> None:
        """Puts what an overwriting run has filled in the place of the old table."""
        if self.schema is None:
            return
        self.changes += _differences(self.id, self._before, self.schema)
        with failures(self._database.path, f"replace table `{self.name}`", self.id):
            self._database.run(f"DROP TABLE IF EXISTS {self._database.table(self.name)}")
            self._database.run(f"ALTER TABLE {self._database.table(self._target)} RENAME TO {quoted(self.name)}")
        self._before, self.schema, self._arriving, self._sent = self.schema, None, None, []

    def committed(self) -> None:
        """Begins to count anew."""
        self.rows = 0
        self.changes = []
        self.announced = self.renamed = False
        self.was_there |= self.current is not None

    def _announce(self, arriving: pa.Schema) -> None:
        """Fits names, types and the table to batches of another schema than before."""
        self.flush()
        if self._boundary is not None and any(_hides_row_ids(name) for name in arriving.names):
            self.settle()
        names = adopt(arriving.names, "column", () if self.schema is None else self.schema.names, self.columns)
        live = {} if self.schema is None else {name.casefold(): name for name in self.schema.names}
        names = {original: live.get(safe.casefold(), safe) for original, safe in names.items()}
        renamed = pa.schema([field.with_name(names[field.name]) for field in arriving])
        missing = [name for name in self._key if name not in names]
        if missing and self._compares:
            raise ContractError(
                f"stream `{self.id}` has no column `{missing[0]}`, which is in its primary key",
                hint="name another `primary_key` in the job, or use `write: append`",
                facts={"stream": str(self.id), "column": missing[0]},
            )
        held = renamed
        if self.mode == "scd2":
            held = pa.schema([*renamed, *(pa.field(name, _MOMENT) for name in (VALID_FROM, VALID_TO) if name not in names)])
        evolution = evolve(self.schema, held)
        for field in evolution.schema:
            if self.schema is None or field not in self.schema:
                check_holds(field, self.id)
        if self.schema is None:
            self._create(evolution.schema)
        for change in evolution.changes:
            if change.kind == "column":
                self._add(evolution.schema.field(change.column))
            elif self.schema is not None:
                self._widen(self.schema.field(change.column), evolution.schema.field(change.column))
            if self.mode != "overwrite":
                self.changes.append(SchemaChange(self.id, change.kind, change.column, change.before, change.after))
        self.renamed |= not names.items() <= self.columns.items()
        self.columns |= names
        self.schema, self._arriving, self._renamed = evolution.schema, arriving, renamed
        # Only columns that the source sends: others may have a default of the user's.
        self._sent += [name for name in renamed.names if name not in self._sent]
        dated = [VALID_FROM] if self.mode == "scd2" and VALID_FROM not in self._sent else []
        self._sending = pa.schema([self.schema.field(name) for name in [*self._sent, *dated]])
        self._repeating = None
        self._moments = [index for index, field in enumerate(self._sending) if has_moments(field.type)]

    def _create(self, schema: pa.Schema) -> None:
        if not len(schema):
            raise ContractError(f"stream `{self.id}` has no columns", hint="leave it out", facts={"stream": str(self.id)})
        columns = ", ".join(f"{quoted(field.name)} {sql_type(field)}" for field in schema)
        with failures(self._database.path, f"make table `{self.name}`", self.id):
            self._database.run(f"CREATE TABLE {self._database.table(self._target)} ({columns})")
        if self.mode != "overwrite":
            self.changes.append(SchemaChange(self.id, "table", None, None, None))

    def _add(self, field: pa.Field) -> None:
        with failures(self._database.path, f"add column `{field.name}` to table `{self.name}`", self.id):
            self._database.run(
                f"ALTER TABLE {self._database.table(self._target)} ADD COLUMN {quoted(field.name)} {sql_type(field)}"
            )

    def _widen(self, before: pa.Field, field: pa.Field) -> None:
        column = field.name
        table, name = self._database.table(self._target), quoted(column)
        values = widened(name, before, field)
        try:
            with failures(self._database.path, f"widen column `{column}` of table `{self.name}`", self.id):
                self._database.run(f"ALTER TABLE {table} ALTER COLUMN {name} TYPE {sql_type(field)} USING {values}")
        except ContractError as error:
            raise ContractError(
                f"column `{column}` of table `{self.name}` has a value of type `{type_text(before)}` that would change as "
                f"`{type_text(field)}`",
                hint="give the column a wider type under `types` in the job, for example `string`, and load the stream anew",
                facts={"stream": str(self.id), "column": column, "before": type_text(before), "after": type_text(field)},
            ) from error

    def _last_row(self) -> int | None:
        """The last row's id before this transaction's own rows, which get higher ones; None where a column hides the ids."""
        if self.schema is not None and any(_hides_row_ids(name) for name in self.schema.names):
            return None
        with failures(self._database.path, f"read table `{self.name}`", self.id):
            rows = self._database.run(f"SELECT coalesce(max(rowid), -1) FROM {self._database.table(self.name)}")
        return int(rows[0][0])

    def _merge(self, boundary: int = -1) -> Merge:
        """What the stream's mode does with its rows, those with an id above the boundary being new."""
        schema = self.schema if self.schema is not None else pa.schema([])
        ours = set(self.columns.values())
        cursor = self.columns.get(self._stream.cursor or "")
        if cursor not in schema.names or not _orders(schema.field(cursor)):
            cursor = None
        return Merge(
            self._database,
            self.id,
            self.name,
            self.key,
            [name for name in schema.names if name in ours and (name == EXTRA or name not in OWN_COLUMNS)],
            cursor,
            self._dead(schema),
            self._null_key,
            self._stream.deletes != "ignore" and VERSION in schema.names,
            boundary,
        )

    def _dead(self, schema: pa.Schema) -> str | None:
        """The condition that a row's mark is neither null nor false."""
        deletes, mark = self._stream.deletes, self.columns.get(self._stream.delete_mark or "")
        removes = deletes != "ignore" if self.mode == "scd2" else deletes == "hard"
        if not removes or mark is None or mark not in schema.names:
            return None
        column, field = quoted(mark), schema.field(mark)
        if pa.types.is_boolean(field.type):
            return f"coalesce({column}, false)"
        if is_json(field):
            return f"coalesce(CAST({column} AS VARCHAR), 'null') NOT IN ('null', 'false')"
        if self._renamed is not None and mark in self._renamed.names and pa.types.is_boolean(self._renamed.field(mark).type):
            return f"coalesce({column} = 'true', false)"
        return f"{column} IS NOT NULL"

    def _merge_at_once(self) -> None:
        """A merge for tables whose constraints or column names rule the other way out."""
        if self.mode == "scd2":
            raise ContractError(
                f"stream `{self.id}` cannot be written with `scd2`: table `{self.name}` has a column `rowid`",
                hint="rename the column at the source, or write it with `merge`",
                facts={"stream": str(self.id), "table": self.name},
            )
        data = pa.Table.from_batches(self._buffer, self._sending)
        data = data.append_column(PLACE, pa.array(range(data.num_rows), pa.int64()))
        if self.mode == "merge":
            self._merge().replace_at_once(data, self._sending.names)
        else:
            self._merge().add_unknown_at_once(data, self._sending.names)


def _orders(field: pa.Field) -> bool:
    """Whether the column's values have an order to go by."""
    return not (is_json(field) or pa.types.is_binary(field.type) or pa.types.is_nested(field.type))


def _differences(stream: StreamId, old: pa.Schema | None, new: pa.Schema) -> list[SchemaChange]:
    """What replacing a table changes; a column that is gone has no `after`."""
    if old is None:
        return [SchemaChange(stream, "table", None, None, None)]
    before, after = ({field.name: field for field in schema} for schema in (old, new))
    changes = [
        SchemaChange(stream, "column", name, None, type_text(field)) for name, field in after.items() if name not in before
    ]
    for name, field in before.items():
        if name not in after:
            changes.append(SchemaChange(stream, "column", name, type_text(field), None))
        elif not same_type(field, after[name]):
            changes.append(SchemaChange(stream, "type", name, type_text(field), type_text(after[name])))
    return changes
