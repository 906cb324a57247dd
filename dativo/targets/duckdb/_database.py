"""The connection to one DuckDB file: opening it, transactions, its memory, what tables and columns it has."""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from dativo_protocols import StreamId
from dativo_protocols.errors import ConfigError, TargetError

from dativo._evolution import evolve
from dativo._exact_text import is_json
from dativo.targets.duckdb._config import DuckDBConfig
from dativo.targets.duckdb._failure import failures
from dativo.targets.duckdb._types import literal, quoted

__all__ = ["BATCHES", "Database"]

# Loading is as fast with 64 MB as with 1 GB, and the whole process stays below 300 MB: the tables in `docs/duckdb.md`.
_MEMORY = 64_000_000
_BESIDES = 16_000_000
# Rows of a transaction go to disk as soon as they fill a row group; before that they are in memory, and copied once more at the
# commit. DuckDB's own size, 122,880 rows, makes the files a twelfth smaller, and takes 110 MB more for tables of 200 columns.
_GROUP_ROWS = 30_720
_GROUP_CELLS = 200 * _GROUP_ROWS
_VECTOR = 2048
# DuckDB spills what does not fit, but writing pins a block for each column of each table (a smaller segment where few rows came),
# and a commit most of those rows of one table at a time that fill no group. With less it fails with "out of memory". Measured
# with 1 to 500 tables of 12 to 300 columns.
_BLOCK = 256 << 10
_SMALL_BLOCK = 64 << 10
_SMALL_COLUMN = 32_000
_PINNED_ROWS = 0.65
# Until its transaction is over, a deleted row pins what is known of all rows of its vector, 8 bytes for each. Measured with
# 500,000 of 10,000,000 rows, every twentieth: it failed with 96 MB, and took 8 MB for a million rows.
_PINNED_VECTOR = 8 * _VECTOR
# The newest format whose strings can be compressed with FSST alone: that takes half of the work of its successor, for files of
# the same size. A file in it is cheaper to commit to often as well, and older DuckDBs can read it.
_FORMAT = "v1.2.0"
# A value cannot be spilled in parts, DuckDB holds copies of it while it is inserted, and a commit pins all values of 2,048 rows.
# Measured with 1 to 10 values of 10 to 100 MB.
_LARGE = 8_000_000
_COPIES = 2.5
_PINNED_VALUES = 1.25
BATCHES = "_dativo_batches"


class Database:
    """A DuckDB file. Used from one thread; to be opened before anything else.

    Attributes:
        is_open: Whether `open` has succeeded.
    """

    def __init__(self, config: DuckDBConfig) -> None:
        """Looks whether the file can be opened or made, and does neither.

        Raises:
            ConfigError: The package `duckdb` is not installed.
            TargetError: There is no place for the file.
        """
        try:
            import duckdb  # noqa: F401
        except ImportError as error:
            raise ConfigError("the target `duckdb` needs the package `duckdb`", hint="pip install 'dativo[duckdb]'") from error
        self._config = config
        self.path = Path(config.path).absolute()
        self.schema = config.schema_name
        self.is_open = False
        self.in_transaction = False
        self._memory = None if config.memory_limit is not None else _MEMORY
        self._pinned: dict[str, tuple[int, int]] = {}
        self._values = self._vectors = 0
        self._repeating = self._others = 0
        self._disabled = ""
        if self.path.is_dir():
            raise TargetError(f"cannot open `{self.path}`: it is a directory", hint="name a file in it")
        there = next(folder for folder in self.path.parents if folder.exists())
        if not there.is_dir():
            raise TargetError(f"cannot make the directory `{self.path.parent}`: `{there}` is a file")
        if not self.path.exists() and not os.access(there, os.W_OK | os.X_OK):
            raise TargetError(f"cannot make `{self.path}`: no permission to write `{there}`", hint="check its owner and mode")

    @property
    def exists(self) -> bool:
        """Whether there is a file."""
        return self.path.exists()

    def open(self, columns: int = 0) -> None:
        """Opens the file, and makes it and its directories when they are not there.

        Args:
            columns: Of the first table that is to be written, if that is known.

        Raises:
            TargetError: It cannot be opened; retryable when another process has it open.
        """
        import duckdb

        config = self._config
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TargetError(f"cannot make the directory `{self.path.parent}`: {error.strerror}") from error
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": config.memory_limit or f"{_MEMORY}B",
            "threads": config.threads,
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            # Both are of no effect on a file that is there.
            "storage_compatibility_version": _FORMAT,
            "default_block_size": str(_BLOCK if columns * _BLOCK <= _MEMORY else _SMALL_BLOCK),
        }
        with failures(self.path, f"open `{self.path}`"):
            if not self.path.exists():
                self._make(settings)
            self._connection = duckdb.connect(str(self.path), config=settings)
            self.is_open = True
            self.run("SET TimeZone = 'UTC'")
            ((self._block,),) = self.run("SELECT block_size FROM pragma_database_size() WHERE database_name = current_database()")
            ((widest,),) = self.run("SELECT coalesce(max(column_count), 0) FROM duckdb_tables()")
        self._group_rows = 0
        self.fit(max(columns, widest))
        self.choose_compression(repeating=0, others=0)
        self._remove_spilled()

    def open_to_look(self) -> None:
        """Opens the file so that nothing can be changed, and no log is written back.

        Raises:
            TargetError: It cannot be opened; retryable when another process has it open.
        """
        import duckdb

        settings: dict[str, str | bool | int | float | list[str]] = {
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        }
        with failures(self.path, f"open `{self.path}`"):
            self._connection = duckdb.connect(str(self.path), read_only=True, config=settings)
            self.is_open = True
            self.run("SET TimeZone = 'UTC'")

    def fit(self, columns: int) -> None:
        """Makes the row groups small enough for tables of so many columns; only between transactions, else it does nothing."""
        rows = min(_GROUP_ROWS, max(1, _GROUP_CELLS // max(1, columns) // _VECTOR) * _VECTOR)
        if self.in_transaction or 0 < self._group_rows <= rows:
            return
        with failures(self.path, f"open `{self.path}`"):
            ((name,),) = self.run("SELECT current_database()")
            # The size is an option of ATTACH alone. Connecting to the file itself is what keeps others in this process away.
            self.run("ATTACH ':memory:' AS _dativo_none")
            self.run("USE _dativo_none")
            self.run(f"DETACH {quoted(name)}")
            self.run(f"ATTACH {literal(str(self.path))} AS {quoted(name)} (ROW_GROUP_SIZE {rows})")
            self.run(f"USE {quoted(name)}")
            self.run("DETACH _dativo_none")
        self._group_rows = rows

    def choose_compression(self, *, repeating: int, others: int) -> None:
        """Chooses how strings are compressed from now on.

        Args:
            repeating: Bytes of strings written next, in columns where values come again.
            others: Bytes of strings in the other columns.
        """
        self._repeating += repeating
        self._others += others
        disabled = ""
        if self._config.compression == "fast":
            disabled = "dictionary,fsst,dict_fsst"
        elif self._repeating * 2 <= self._others:
            # Looking for a dictionary costs a third of the load, and where strings differ none is found; without one, FSST makes
            # of each string that repeats two bytes more.
            disabled = "dictionary"
        if disabled != self._disabled:
            with failures(self.path, "choose how to compress"):
                self.run(f"SET disabled_compression_methods = {literal(disabled)}")
            self._disabled = disabled

    def _make(self, settings: dict[str, str | bool | int | float | list[str]]) -> None:
        """Makes the file, whole or not at all: one that a killed process has only begun is none that DuckDB would open."""
        import duckdb

        new = self.path.with_name(f".{self.path.name}.{os.getpid()}.new")
        duckdb.connect(str(new), config=settings).close()
        try:
            os.link(new, self.path)
            new.unlink()
        except (FileExistsError, FileNotFoundError):
            # Somebody else has made it meanwhile.
            new.unlink(missing_ok=True)
        except OSError:
            # No links here.
            os.replace(new, self.path)

    def _remove_spilled(self) -> None:
        """Removes what killed processes have spilled to disk: DuckDB leaves it, and nobody else can have the file open now."""
        for new in self.path.parent.glob(f".{glob.escape(self.path.name)}.*.new"):
            new.unlink(missing_ok=True)
        for file in self.path.with_name(f"{self.path.name}.tmp").glob("duckdb_temp_*"):
            if not file.name.startswith(f"duckdb_temp_{os.getpid()}_"):
                file.unlink(missing_ok=True)

    def run(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Runs one statement, and gives its rows."""
        rows: list[tuple[Any, ...]] = self._connection.execute(sql, list(values)).fetchall()
        return rows

    def look(self, sql: str) -> pa.Table:
        """What a query finds in what is committed, also while a transaction is open."""
        cursor = self._connection.cursor()
        try:
            ((name,),) = self.run("SELECT current_database()")
            cursor.execute(f"USE {quoted(name)}")
            cursor.execute("SET TimeZone = 'UTC'")
            return cursor.sql(sql).to_arrow_table()
        finally:
            cursor.close()

    def begin(self) -> None:
        """Opens the transaction when none is open."""
        if not self.in_transaction:
            with failures(self.path, "begin a transaction"):
                self.run("BEGIN")
            self.in_transaction = True

    def commit(self) -> None:
        """Makes the open transaction durable."""
        with failures(self.path, "commit"):
            self.run("COMMIT")
        self.in_transaction = False
        self._pinned.clear()
        self._vectors = 0

    def rollback(self) -> None:
        """Ends the open transaction without a trace, if DuckDB has not done so itself."""
        if self.in_transaction:
            self.in_transaction = False
            # After some errors DuckDB has rolled back itself; closing the connection does so in any case.
            with contextlib.suppress(Exception):
                self.run("ROLLBACK")

    def close(self) -> None:
        """Frees the file; an open transaction is lost."""
        if self.is_open:
            self.is_open = False
            self._connection.close()

    def table(self, name: str) -> str:
        """The table's qualified name in SQL."""
        return f"{quoted(self.schema)}.{quoted(name)}"

    def ensure_schema(self) -> None:
        """Makes the configured schema when it is not there."""
        with failures(self.path, f"make the schema `{self.schema}`"):
            self.run(f"CREATE SCHEMA IF NOT EXISTS {quoted(self.schema)}")

    def relations(self) -> dict[str, str]:
        """Tables and views of the schema as they are now: name to `table` or `view`."""
        with failures(self.path, "list the tables"):
            here = f"database_name = current_database() AND schema_name = {literal(self.schema)} AND NOT internal"
            return dict(
                self.run(
                    f"SELECT table_name, 'table' FROM duckdb_tables() WHERE {here} "
                    f"UNION ALL SELECT view_name, 'view' FROM duckdb_views() WHERE {here}"
                )
            )

    def arrow_schema(self, table: str) -> pa.Schema:
        """The table's columns in the Arrow types that it takes without a change; JSON as marked utf8, an enum or UUID as utf8."""
        query = f"SELECT * FROM {self.table(table)} LIMIT 0"
        with failures(self.path, f"read the columns of `{table}`"):
            plain = self._connection.sql(query).to_arrow_table().schema
            # JSON shows only with this setting, which makes opaque types of others.
            self.run("SET arrow_lossless_conversion = true")
            marked = self._connection.sql(query).to_arrow_table().schema
            self.run("SET arrow_lossless_conversion = false")
        fields = [other if _has_json(other) else _taken(field) for field, other in zip(plain, marked, strict=True)]
        return evolve(pa.schema(fields), pa.schema([])).schema

    def has_keys(self, table: str) -> bool:
        """Whether the table has a primary key or a unique constraint or index: rows must go before their successors come."""
        name = f"schema_name = {literal(self.schema)} AND table_name = {literal(table)} AND database_name = current_database()"
        with failures(self.path, f"read the constraints of `{table}`"):
            rows = self.run(
                f"SELECT 1 FROM duckdb_constraints() WHERE {name} AND constraint_type IN ('PRIMARY KEY', 'UNIQUE') "
                f"UNION ALL SELECT 1 FROM duckdb_indexes() WHERE {name} AND is_unique"
            )
        return bool(rows)

    def insert(self, table: str, batches: Sequence[pa.RecordBatch], schema: pa.Schema, stream: StreamId) -> None:
        """Appends batches to the table's columns of the same names, without a copy before DuckDB's own."""
        columns = ", ".join(quoted(name) for name in schema.names)
        reader = pa.RecordBatchReader.from_batches(schema, batches)
        self.run_over(reader, [f"INSERT INTO {self.table(table)} ({columns}) SELECT {columns} FROM {BATCHES}"], table, stream)

    def run_over(
        self, data: pa.Table | pa.RecordBatchReader, statements: Sequence[str], table: str, stream: StreamId | None = None
    ) -> list[list[tuple[Any, ...]]]:
        """Runs statements that read the data from `BATCHES`, and gives the rows of each; a reader can be read once."""
        with failures(self.path, f"write to table `{table}`", stream):
            self._connection.register(BATCHES, data)
            results = [self.run(statement) for statement in statements]
            # Not after an error: this would fail as well, and hide it; the connection is of no more use then.
            self._connection.unregister(BATCHES)
        return results

    def make_room(self, table: str, columns: int, rows: int, nbytes: int, largest: int) -> None:
        """Raises DuckDB's memory limit, unless the job has set one, to what writing rows needs.

        Args:
            columns: That rows were written to.
            rows: Written to the table in this transaction.
            nbytes: Their size.
            largest: The size of the largest batch among them: no smaller than its largest value.
        """
        if largest > _LARGE:
            self._values = max(self._values, int(largest * _COPIES))
        unwritten = nbytes * (rows % self._group_rows) // max(1, rows) * (_PINNED_VALUES if self._values else _PINNED_ROWS)
        self._pinned[table] = (min(columns * self._block, columns * _SMALL_COLUMN + nbytes), int(unwritten))
        self._raise_limit(_BESIDES + self._values + sum(blocks for blocks, _ in self._pinned.values()))

    def make_room_to_commit(self) -> None:
        """Raises the limit to what merging and committing the open transaction needs."""
        if self._pinned:
            blocks, rows = (list(each) for each in zip(*self._pinned.values(), strict=True))
            self._raise_limit(_BESIDES + self._values + sum(blocks) + max(rows))

    def make_room_to_replace(self, old: int, new: int) -> None:
        """Raises the limit to what it takes to delete or end rows, which may be anywhere in a table.

        Args:
            old: Rows that the table had.
            new: Rows that came: no more than those are replaced.
        """
        self._vectors += _PINNED_VECTOR * min(old // _VECTOR + 1, new)
        self._raise_limit(_MEMORY + self._values + self._vectors)

    def _raise_limit(self, needed: int) -> None:
        if self._memory is not None and needed > self._memory:
            self._memory = needed
            with failures(self.path, "raise the memory limit"):
                self.run(f"SET memory_limit = '{self._memory}B'")


def _has_json(field: pa.Field) -> bool:
    kind = field.type
    return is_json(field) or (pa.types.is_nested(kind) and any(_has_json(kind.field(index)) for index in range(kind.num_fields)))


def _taken(field: pa.Field) -> pa.Field:
    return pa.field(field.name, pa.utf8()) if pa.types.is_dictionary(field.type) else field
