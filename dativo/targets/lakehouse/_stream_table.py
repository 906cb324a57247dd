"""One stream's table between two commits: its names, its columns, and the files in which its new rows wait."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa
from dativo_protocols.errors import ConfigError, ContractError
from dativo_sdk import ConfiguredStream, SchemaChange

from dativo._evolution import conform, evolve, same_type, type_text
from dativo._names import DELETED_AT, VALID_FROM, VALID_TO, adopt
from dativo.targets.lakehouse._change import Activation, Source, TableChange
from dativo.targets.lakehouse._config import LakehouseConfig
from dativo.targets.lakehouse._files import Budget, FileSet, stored_schema
from dativo.targets.lakehouse._format import Format

__all__ = ["StreamTable"]

_MOMENT = pa.timestamp("us", "UTC")


class StreamTable:
    """Takes a stream's batches, and gives the change that a commit makes of them.

    Attributes:
        base: The table as it was when this began, or None.
        rows: Received since then.
        announced: Whether any batch came, even one of zero rows.
    """

    def __init__(
        self,
        stream: ConfiguredStream,
        table: str,
        table_format: Format,
        config: LakehouseConfig,
        budget: Budget,
        path: Callable[[str, bool], str],
        *,
        quarantine: bool = False,
    ) -> None:
        """Looks at the table as it is now.

        Args:
            path: Gives the path of the next file: for the table of this name, or staged beside the tables.

        Raises:
            ConfigError: A merge without a key.
        """
        self.stream = stream
        self.id = stream.id
        self.table = table
        self.mode = stream.write_mode
        self.quarantine = quarantine
        self.rows = 0
        self.announced = False
        self._format = table_format
        self._config = config
        self._budget = budget
        self._path = path
        if self.mode in ("merge", "scd2") and not stream.primary_key:
            raise ConfigError(
                f"stream `{self.id}` has no primary key to merge by",
                hint="name its key under `primary_key` in the job, or use `write: append`",
                facts={"stream": str(self.id)},
            )
        self.base = table_format.load(table)
        self.columns = dict(self.base.columns) if self.base is not None else {}
        kept = None if self.base is None or self.mode == "overwrite" else self.base.schema
        self._stages: list[pa.Schema] = [] if kept is None else [kept]
        self._partition_by: tuple[str, ...] = () if self.base is None else self.base.partition_by
        self._files: FileSet | None = None
        self._sources: list[Source] = []
        self._activation: Activation | None = None
        self._taken_out: list[str] = []
        self._arriving: pa.Schema | None = None
        self._renamed: pa.Schema | None = None

    @property
    def schema(self) -> pa.Schema | None:
        """The table's logical schema after the next commit."""
        return self._stages[-1] if self._stages else None

    @property
    def touched(self) -> bool:
        """Whether the next commit may have something to do for the table."""
        return self.announced or self._activation is not None or bool(self._taken_out)

    def accept(self, batch: pa.RecordBatch) -> None:
        """Takes a batch with original column names; one of zero rows announces the schema.

        Raises:
            ContractError: The format cannot hold a column, or a value would change.
        """
        self.announced = True
        if self._arriving is None or not self._arriving.equals(batch.schema, check_metadata=True):
            self._announce(batch.schema)
        if not batch.num_rows:
            return
        schema = self._stages[-1]
        rows = conform(pa.RecordBatch.from_arrays(batch.columns, schema=self._renamed), schema, stream=self.id)
        if self._files is None:
            direct = self.mode in ("append", "overwrite")
            by = self._partition_by if direct else ()
            path = (lambda: self._path(self.table, True)) if direct else (lambda: self._path(self.table, False))
            self._files = FileSet(self._format, schema, self.base, by, path, self._config.file_size_bytes, self._budget)
        self._files.write(rows)
        self.rows += rows.num_rows

    def activate(self, version: int) -> None:
        """Notes that rows of other versions are obsolete, of those there are by now."""
        if not self._stages:
            return
        if self.mode != "scd2" and self.stream.deletes == "soft":
            self._evolve(pa.schema([pa.field(DELETED_AT, _MOMENT)]))
        self._activation = Activation(version, self.rows)

    def take_out(self, ids: Sequence[str]) -> None:
        """Notes rows of a quarantine that are to go."""
        self._taken_out += ids

    def finish(self) -> TableChange | None:
        """Finishes all files, and gives what is to be done; None when nothing is."""
        self._finish_files()
        stages = tuple(self._stages)
        if not stages:
            return None
        base = self.base
        change = TableChange(
            self.stream,
            self.table,
            self.quarantine,
            None if base is None else base.version,
            stages,
            self.columns,
            self._partition_by,
            tuple(self._sources),
            self._activation,
            tuple(self._taken_out),
            (),
            (),
        )
        same = base is not None and base.schema.equals(stages[-1], check_metadata=True) and base.columns == self.columns
        idle = same and not (change.replaces or change.sources or change.activation or change.taken_out)
        return None if idle else change

    def changes(self, schema: pa.Schema) -> list[SchemaChange]:
        """What a commit to this schema changes of the table's columns; one that is gone has no `after`."""
        if self.base is None:
            return [SchemaChange(self.id, "table", None, None, None)]
        before, after = ({field.name: field for field in each} for each in (self.base.schema, schema))
        found = [
            SchemaChange(self.id, "column", name, None, type_text(field)) for name, field in after.items() if name not in before
        ]
        for name, field in before.items():
            if name not in after:
                found.append(SchemaChange(self.id, "column", name, type_text(field), None))
            elif not same_type(field, after[name]):
                found.append(SchemaChange(self.id, "type", name, type_text(field), type_text(after[name])))
        return found

    def drop(self) -> None:
        """Gives up the files that are not finished."""
        if self._files is not None:
            self._files.drop()

    def _announce(self, arriving: pa.Schema) -> None:
        """Fits names and types of the table to batches of another schema than before."""
        current = () if self.schema is None else self.schema.names
        names = adopt(arriving.names, "column", current, self.columns)
        live = {name.casefold(): name for name in current}
        names = {original: live.get(safe.casefold(), safe) for original, safe in names.items()}
        renamed = pa.schema([field.with_name(names[field.name]) for field in arriving])
        if not len(renamed):
            raise ContractError(f"stream `{self.id}` has no columns", hint="leave it out", facts={"stream": str(self.id)})
        missing = [name for name in self.stream.primary_key if name not in names and name not in self.columns]
        if missing and self.mode in ("merge", "scd2", "append_dedup"):
            raise ContractError(
                f"stream `{self.id}` has no column `{missing[0]}`, which is in its primary key",
                hint="name another `primary_key` in the job, or use `write: append`",
                facts={"stream": str(self.id), "column": missing[0]},
            )
        fresh = not self._stages
        own = [pa.field(name, _MOMENT) for name in (VALID_FROM, VALID_TO)] if self.mode == "scd2" else []
        self._evolve(pa.schema([*renamed, *own]))
        self.columns |= names
        if fresh:
            self._partition_by = () if self.quarantine else self._config.partitions(self.id, self.columns)
        self._check_table()
        self._arriving, self._renamed = arriving, renamed

    def _evolve(self, arriving: pa.Schema) -> None:
        before = self.schema
        after = evolve(before, arriving).schema
        if before is not None and after.equals(before, check_metadata=True):
            return
        for field in after:
            if before is None or field not in before:
                self._check(field)
        folded = {name.casefold() for name in after.names}
        if len(folded) < len(after.names):
            raise ContractError(f"stream `{self.id}` has two columns of one name", facts={"stream": str(self.id)})
        self._finish_files()
        self._stages.append(after)

    def _check_table(self) -> None:
        """Lets the format refuse columns and partitions that it cannot have: once the commit is decided is too late."""
        stored = stored_schema(self._format, self._stages[-1])
        self._format.parquet_schema(stored, self.base)
        if self._partition_by:
            list(self._format.split(pa.RecordBatch.from_pylist([], schema=stored), self._partition_by, self.base))

    def _check(self, field: pa.Field) -> None:
        try:
            self._format.stored(field)
        except ValueError as error:
            raise ContractError(
                f"column `{field.name}` of stream `{self.id}` has no place in a `{self._format.name}` table: {error}",
                hint="give the column the type `string` or `json` in the job (`types`), or set `nested: json`",
                facts={"stream": str(self.id), "column": field.name, "type": type_text(field)},
            ) from error

    def _finish_files(self) -> None:
        if self._files is not None:
            stage = len(self._stages) - 1
            self._sources += [Source(file, stage) for file in self._files.finish()]
            self._files = None
