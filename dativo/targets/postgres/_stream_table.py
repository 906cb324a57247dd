"""One stream's table: names, what the next commit does to its columns, and the rows staged for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
from dativo_protocols.errors import ConfigError, ContractError, TargetError
from dativo_sdk import ConfiguredStream, SchemaChange

from dativo._evolution import conform, evolve
from dativo._names import DELETED_AT, VALID_FROM, VALID_TO, VERSION, adopt
from dativo.targets.postgres._catalog import Column, Relation
from dativo.targets.postgres._connection import Connection
from dativo.targets.postgres._fitting import MOMENT, check_precision, differences, refuse_generated, with_moments
from dativo.targets.postgres._load import Load
from dativo.targets.postgres._reshape import Reshape, drop_key_index, make_key_index
from dativo.targets.postgres._stage import Stage
from dativo.targets.postgres._types import check_values, has_bounds, holding

__all__ = ["StreamTable"]

_DIFFERENCES = ("merge", "scd2", "append_dedup")


@dataclass(frozen=True)
class _Obsolete:
    """A step: rows of other versions go."""

    version: int


class StreamTable:
    """What is to happen to a stream's table, step by step, in the order in which it came; `settle` does it within the commit.

    Attributes:
        columns: Original to safe column names; grows.
        relation: The table as it was found, or None while there is none.
        schema: Its columns after all steps, or None when nothing came and there is no table.
        rows: Received since the last commit that counted them.
        announced: Whether any batch came since then, even one of zero rows.
        renamed: Whether `columns` has grown since then.
    """

    def __init__(
        self,
        connection: Connection,
        stream: ConfiguredStream,
        name: str,
        columns: Mapping[str, str],
        relation: Relation | None,
        *,
        serial: int,
        extra_sql: str = "",
    ) -> None:
        """Takes the table as it is.

        Args:
            serial: Unique in the session, for the names of temporary tables.
            extra_sql: Further columns of a table that is made.

        Raises:
            ConfigError: A merge without a key.
            TargetError: It is a view.
        """
        self.id = stream.id
        self.name = name
        self.columns = dict(columns)
        self.mode = stream.write_mode
        self.relation = relation
        self.rows = 0
        self.announced = False
        self.renamed = False
        self.changes: list[SchemaChange] = []
        self._connection = connection
        self._stream = stream
        self._serial = serial
        self._extra_sql = extra_sql
        if self.mode in ("merge", "scd2") and not stream.primary_key:
            hint = "name its key under `primary_key` in the job, or use `write: append`"
            raise ConfigError(f"stream `{self.id}` has no primary key to merge by", hint=hint, facts={"stream": str(self.id)})
        if relation is not None and not relation.is_table:
            facts = {"stream": str(self.id), "table": name}
            raise TargetError(
                f"`{name}` is a view: stream `{self.id}` needs a table", hint="rename or drop the view", facts=facts
            )
        self._steps: list[Reshape | Stage | _Obsolete] = []
        self._stages = 0
        self._indexed = False
        self._forget()

    def _forget(self) -> None:
        """Begins as if nothing had come yet."""
        self.schema = self._kept()
        self._arriving: pa.Schema | None = None
        self._renamed: pa.Schema | None = None
        self._sent: list[str] = []
        self._sending = pa.schema([])
        self._bounded: list[int] = []

    def _kept(self) -> pa.Schema | None:
        """The columns that stay: all, but of a table that is overwritten only the user's own."""
        if self.relation is None:
            return None
        if self.mode != "overwrite":
            return self.relation.schema
        ours = self._ours()
        return pa.schema([field for field in self.relation.schema if field.name not in ours])

    @property
    def current(self) -> pa.Schema | None:
        """The table's columns as they are committed."""
        return None if self.relation is None else self.relation.schema

    @property
    def buffered_bytes(self) -> int:
        """Rows in memory."""
        return sum(step.buffered_bytes for step in self._steps if isinstance(step, Stage))

    @property
    def is_touched(self) -> bool:
        """Whether the next commit does anything to the table."""
        return bool(self._steps)

    def accept(self, batch: pa.RecordBatch, nbytes: int) -> None:
        """Takes a batch with original column names; a batch of zero rows announces the schema.

        Args:
            nbytes: Its size in memory, as its sender says.

        Raises:
            ContractError: PostgreSQL cannot hold a column, or a value would change.
        """
        self.announced = True
        if self._arriving is None or not self._arriving.equals(batch.schema, check_metadata=True):
            self._announce(batch.schema)
        if not batch.num_rows:
            return
        rows = conform(pa.RecordBatch.from_arrays(batch.columns, schema=self._renamed), self._sending, stream=self.id)
        for index in self._bounded:
            check_values(rows.column(index), rows.schema.field(index), self.id)
        check_precision(self.relation, rows, self.id)
        stage = self._steps[-1] if self._steps else None
        if not isinstance(stage, Stage):
            stage = self._new_stage()
        stage.add(rows, max(rows.nbytes, nbytes))
        self.rows += rows.num_rows

    def spill(self) -> None:
        """Moves rows from memory into temporary tables."""
        for step in self._steps:
            if isinstance(step, Stage):
                step.spill()

    def stage(self) -> None:
        """Makes the commit's transaction short: what SQL has to look at is put where it can, before it begins."""
        if self.mode in _DIFFERENCES:
            self.spill()

    def activate(self, version: int) -> None:
        """Rows of other versions, those staged up to here counted in, go with the next commit."""
        if self.schema is None or VERSION not in self.schema.names:
            return
        if self._stream.deletes == "soft" and self.mode != "scd2" and DELETED_AT not in self.schema.names:
            self._reshape(evolve(self.schema, pa.schema([(DELETED_AT, MOMENT)])).schema)
        self._steps.append(_Obsolete(version))

    def settle(self) -> None:
        """Does all steps in the open transaction."""
        found = None if self.relation is None else {column.field.name: column for column in self.relation.columns}
        self._take_steps(found)

    def _take_steps(self, columns: dict[str, Column] | None) -> None:
        made = columns is None
        if not made and self.mode != "merge":
            drop_key_index(self._connection, self.name)
        for step in self._steps:
            if isinstance(step, Reshape):
                columns = step.apply(self._connection, self.name, columns, self._extra_sql)
                continue
            if columns is None:
                raise TargetError(f"table `{self.name}` is gone", hint="run again", facts={"stream": str(self.id)})
            stage = step if isinstance(step, Stage) else Stage(self._connection, self.id, "", pa.schema([]), placed=False)
            load = Load(
                self._connection,
                self.id,
                self.name,
                columns,
                self._ours(),
                stage,
                [self.columns[name] for name in self._stream.primary_key if name in self.columns],
                self._sent_name(self._stream.cursor, stage),
                None
                if self._stream.deletes == "ignore" or not self._removes
                else self._sent_name(self._stream.delete_mark, stage),
                mark_is_text=self._mark_is_boolean,
                versions=self._stream.deletes != "ignore",
            )
            if isinstance(step, _Obsolete):
                load.obsolete(step.version, history=self.mode == "scd2", remove=self._stream.deletes == "hard")
            else:
                self._load(load)
                stage.drop()
        if columns is not None and self.mode == "merge" and not self._indexed:
            self._indexed = True
            if made or columns.keys() <= self._ours():
                key = [columns[self.columns[name]].field for name in self._stream.primary_key]
                make_key_index(self._connection, self.name, key)

    def swap(self) -> None:
        """Puts what an overwriting run has staged in the place of the old rows, in the open transaction."""
        if self.schema is None or not self._steps:
            return
        before, columns = None, None
        if self.relation is not None:
            before = self.relation.schema
            empty = f"DELETE FROM {self._connection.name(self.name)}"
            self._connection.run(empty, f"empty table `{self.name}`", stream=self.id)
            first = next(step for step in self._steps if isinstance(step, Reshape))
            columns = first.begin_anew(self._connection, self.name, self.relation, self._ours())
        self._take_steps(columns)
        self.changes += differences(self.id, before, self.schema, self._ours())

    def committed(self, relation: Relation | None) -> None:
        """Begins to count anew.

        Args:
            relation: The table as it is now.
        """
        self.relation = relation
        self.rows = 0
        self.changes = []
        self.announced = self.renamed = False
        self._steps = []
        if self.mode == "overwrite":
            self._forget()

    @property
    def _removes(self) -> bool:
        """Whether a mark does more than be there."""
        return self.mode == "scd2" or self._stream.deletes == "hard"

    @property
    def _mark_is_boolean(self) -> bool:
        """Whether the source marks with booleans, whatever the table's column has become."""
        mark, arriving = self._stream.delete_mark, self._arriving
        return (
            mark is not None
            and arriving is not None
            and mark in arriving.names
            and pa.types.is_boolean(arriving.field(mark).type)
        )

    def _load(self, load: Load) -> None:
        if self.mode == "merge":
            load.merge()
        elif self.mode == "scd2":
            load.keep_history()
        elif self.mode == "append_dedup":
            load.append_new()
        else:
            load.append()

    def _ours(self) -> frozenset[str]:
        """Names of the table's columns that belong to the stream."""
        return frozenset((*self.columns.values(), DELETED_AT, VALID_FROM, VALID_TO))

    def _sent_name(self, original: str | None, stage: Stage) -> str | None:
        name = self.columns.get(original) if original is not None else None
        return name if name in stage.schema.names else None

    def _new_stage(self) -> Stage:
        self._stages += 1
        name = f"_dativo_stage_{self._serial}_{self._stages}"
        stage = Stage(self._connection, self.id, name, self._sending, placed=self.mode in _DIFFERENCES)
        self._steps.append(stage)
        return stage

    def _announce(self, arriving: pa.Schema) -> None:
        """Fits names, types and the table to batches of another schema than before."""
        names = self._named(arriving)
        try:
            renamed = pa.schema([field.with_name(names[field.name]) for field in arriving])
            held = pa.schema([holding(field) for field in renamed])
        except ValueError as error:
            raise ContractError(
                f"PostgreSQL cannot hold a column of stream `{self.id}`: {error}",
                hint="give the column the type `string` or `json` in the job (`types`)",
                facts={"stream": str(self.id)},
            ) from error
        if not len(held):
            raise ContractError(f"stream `{self.id}` has no columns", hint="leave it out", facts={"stream": str(self.id)})
        if self.mode == "scd2":
            held = with_moments(held, VALID_FROM, VALID_TO)
        if self.schema is None:
            evolved, changes = evolve(None, held).schema, [SchemaChange(self.id, "table", None, None, None)]
        else:
            evolution = evolve(self.schema, held)
            evolved = evolution.schema
            changes = [SchemaChange(self.id, each.kind, each.column, each.before, each.after) for each in evolution.changes]
        refuse_generated(self.relation, renamed.names, self.id)
        if self.mode != "overwrite":
            self.changes += changes
        if changes or (self.mode == "overwrite" and not self._steps):
            self._reshape(evolved)
        self.renamed |= not names.items() <= self.columns.items()
        self.columns |= names
        self._arriving, self._renamed = arriving, renamed
        # Only columns that the source sends: others may have a default of the user's.
        self._sent += [name for name in renamed.names if name not in self._sent]
        sending = pa.schema([evolved.field(name) for name in self._sent])
        if not sending.equals(self._sending, check_metadata=True):
            self._sending = sending
            self._bounded = [index for index, field in enumerate(sending) if has_bounds(field)]
            if self._steps and isinstance(self._steps[-1], Stage):
                self._new_stage()

    def _named(self, arriving: pa.Schema) -> dict[str, str]:
        there = self.relation.schema.names if self.relation is not None else []
        names = adopt(arriving.names, "column", there, self.columns)
        folded = {name.casefold(): name for name in there}
        names = {original: safe if safe in there else folded.get(safe.casefold(), safe) for original, safe in names.items()}
        missing = [name for name in self._stream.primary_key if name not in names]
        if missing and self.mode in ("merge", "scd2"):
            raise ContractError(
                f"stream `{self.id}` has no column `{missing[0]}`, which is in its primary key",
                hint="name another `primary_key` in the job, or use `write: append`",
                facts={"stream": str(self.id), "column": missing[0]},
            )
        return names

    def _reshape(self, after: pa.Schema) -> None:
        self._steps.append(Reshape(self.id, self.schema, after))
        self.schema = after
