"""Which rows of a table go or change, and which new ones are added: worked out in DuckDB, over keys and positions alone.

DuckDB keeps within its memory limit and spills to disk. The rows themselves are only read where the mode has to compare them
(`scd2`, and `append_dedup` of streams without a key); nothing that DuckDB holds is written to a table.

Tables in DuckDB: `s`, the new rows, numbered by `pos` in the order in which they came; `t`, those rows of the table that share a
key with one of them, or are of an obsolete version, by `file` and `row`. Keys are the columns `k0, k1…`, compared content `v0,
v1…`, the cursor `c`, whether the source has deleted the row `d`, its version `ver`. Each step makes new tables `t1, t2…` of what
is left of the old rows and `n1, n2…` of the new rows that are in by then.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
from dativo_protocols.errors import ConfigError, TargetError
from dativo_sdk import ConfiguredStream

from dativo import _compute as pc
from dativo._exact_text import is_json
from dativo.targets.lakehouse._merge_columns import Columns
from dativo.targets.lakehouse._rows import numbered

__all__ = ["Merge"]


class Merge:
    """One merge at work. To be closed.

    Args:
        moment: Of the commit, in microseconds since 1970 UTC.
        activation: Version and number of new rows before it, or None.
        memory: DuckDB's limit, such as `256MB`.
        spill: A directory for what does not fit.
    """

    def __init__(
        self,
        stream: ConfiguredStream,
        columns: Columns,
        moment: int,
        activation: tuple[int, int] | None,
        memory: str,
        spill: str,
        threads: int,
    ) -> None:
        try:
            import duckdb
        except ImportError as error:
            raise ConfigError("merges need the package `duckdb`", hint="pip install 'dativo[duckdb]'") from error
        self._error = duckdb.Error
        self._raised: Exception | None = None
        self._spill = spill
        self._stream = stream
        self._columns = columns
        self._activation = activation
        self._moment = f"make_timestamptz({moment})"
        settings: dict[str, Any] = {
            "memory_limit": memory,
            "threads": threads,
            "temp_directory": spill,
            "preserve_insertion_order": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        }
        self._connection = duckdb.connect(":memory:", config=settings)
        self._run("SET TimeZone = 'UTC'")
        self._keys = [f"k{index}" for index in range(len(columns.key))]
        self._values = [f"v{index}" for index in range(len(columns.content))]
        self._step = 0

    def add_new(self, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> None:
        """Takes all new rows, in order; to be called once, first.

        Args:
            batches: Of `Columns.of_new_rows`.
            schema: Theirs.
        """
        columns = self._columns
        fields = [pa.field("pos", pa.int64()), *self._shared(schema), pa.field("d", pa.bool_())]

        def rows() -> Iterator[pa.RecordBatch]:
            start = 0
            for batch in batches:
                count = batch.num_rows
                marks = _marks(batch, columns.mark)
                arrays = [numbered(start, count), *self._arrays(batch), marks]
                yield pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))
                start += count

        self._load(rows(), pa.schema(fields))
        self._run("CREATE TABLE s AS SELECT * FROM incoming")
        self._connection.unregister("incoming")

    def key_ranges(self) -> dict[str, tuple[Any, Any]] | None:
        """Least and greatest value of each key column among the new rows, where rows with other keys are of no interest.

        None: every file has to be read. Columns with nulls are left out.
        """
        if self._activation is not None or not self._keys:
            return None
        wanted = [f"{what}({key}) AS {what}_{key}" for key in self._keys for what in ("min", "max", "count")]
        try:
            (found,) = self._table(f"SELECT {', '.join(wanted)}, count(*) AS rows FROM s").to_pylist()
        except (ValueError, OverflowError):
            # A moment that Python's calendar does not have.
            return {}
        return {
            name: (found[f"min_{key}"], found[f"max_{key}"])
            for key, name in zip(self._keys, self._columns.key, strict=True)
            if found["rows"] and found[f"count_{key}"] == found["rows"]
        }

    def add_old(self, files: Iterable[tuple[int, Iterable[pa.RecordBatch]]], schema: pa.Schema) -> None:
        """Takes the rows of the table's files; to be called once, second.

        Args:
            files: The number of each file, and batches of `Columns.of_old_rows` in the file's order.
            schema: Theirs.
        """
        extra = [
            pa.field("file", pa.int32()),
            pa.field("row", pa.int64()),
            pa.field("marked", pa.bool_()),
            pa.field("open", pa.bool_()),
        ]
        fields = [*extra, *self._shared(schema)]

        def rows() -> Iterator[pa.RecordBatch]:
            for number, batches in files:
                start = 0
                for batch in batches:
                    count = batch.num_rows
                    arrays = [
                        pa.repeat(pa.scalar(number, pa.int32()), count),
                        numbered(start, count),
                        _present(batch, self._columns.deleted_at),
                        _absent(batch, self._columns.valid_to),
                        *self._arrays(batch),
                    ]
                    yield pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))
                    start += count

        self._load(rows(), pa.schema(fields))
        wanted = "i.open"
        join = ""
        matched = "false"
        if self._keys:
            keys = ", ".join(self._keys)
            join = f"LEFT JOIN (SELECT DISTINCT {keys}, true AS m FROM s) AS s ON {self._same('i', 's')}"
            matched = "s.m IS NOT NULL"
        wanted += f" AND ({matched} OR {self._obsolete('i.ver')})"
        self._run(
            f"CREATE TABLE t0 AS SELECT i.*, NULL::TIMESTAMPTZ AS ended, NULL::BIGINT AS renewed, false AS deleted "
            f"FROM incoming AS i {join} WHERE {wanted}"
        )
        self._connection.unregister("incoming")

    def work_out(self) -> None:
        """Finds what becomes of each row; third."""
        if not self._has("t0"):
            self._run(f"CREATE TABLE t0 AS SELECT * FROM ({self._empty_old()}) LIMIT 0")
        self._run(
            "CREATE TABLE n0 AS SELECT *, NULL::TIMESTAMPTZ AS since, NULL::TIMESTAMPTZ AS ended, false AS deleted FROM s LIMIT 0"
        )
        before = self._activation[1] if self._activation is not None else None
        mode = self._stream.write_mode
        step = {"merge": self._merge, "scd2": self._history, "append_dedup": self._dedup, "append": self._append}[mode]
        step("true" if before is None else f"pos < {before}")
        if before is not None:
            self._activate()
            step(f"pos >= {before}")

    def changed_files(self) -> list[int]:
        """Numbers of the files that have to be written anew."""
        return [number for (number,) in self._run(f"SELECT DISTINCT file FROM ({self._changes()}) ORDER BY file")]

    def changes(self, file: int) -> pa.Table:
        """What becomes of a file's rows, those left alone left out, by `row`.

        `row` int64, `gone` bool, and new values or null: `valid_to` timestamp, `deleted_at` timestamp, `version` int64.
        """
        return self._table(
            f"SELECT row, gone, valid_to, deleted_at, version FROM ({self._changes()}) WHERE file = {file} ORDER BY row"
        )

    def additions(self, start: int, end: int) -> pa.Table:
        """New rows that are added, of those with `start <= pos < end`, in order.

        `pos` int64, and values or null: `valid_from`, `valid_to`, `deleted_at` timestamp, `version` int64.
        """
        deleted = f"CASE WHEN deleted THEN {self._moment} END AS deleted_at"
        return self._table(
            f"SELECT pos, since AS valid_from, ended AS valid_to, {deleted}, {self._version('ver')} AS version "
            f"FROM n{self._step} WHERE pos >= {start} AND pos < {end} ORDER BY pos"
        )

    def close(self) -> None:
        """Frees everything."""
        self._connection.close()

    def _merge(self, part: str) -> None:
        """Of each key, the new row with the greatest cursor, the last of equals, if none that is there has a greater one.

        The row that stays gets the version that the key came with last: the source still has it.
        """
        step, keys = self._step, ", ".join(self._keys)
        old, new, best, won = f"t{step}", f"n{step}", f"best{step}", f"best{step}"
        order = "pos DESC" if self._columns.cursor is None else "c DESC NULLS LAST, pos DESC"
        chosen = "*"
        if self._columns.version is not None:
            chosen = (
                f"* REPLACE (last_value(ver) OVER (PARTITION BY {keys} ORDER BY pos "
                f"ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS ver)"
            )
        self._run(
            f"CREATE TABLE {best} AS SELECT {chosen} FROM s WHERE {part} "
            f"QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY {order}) = 1"
        )
        renewed = old_version = ""
        if self._columns.cursor is not None:
            won = f"won{step}"
            self._run(
                f"CREATE TABLE {won} AS SELECT b.* FROM {best} AS b LEFT JOIN (SELECT {keys}, max(c) AS c, true AS m FROM "
                f"(SELECT {keys}, c FROM {old} UNION ALL SELECT {keys}, c FROM {new}) GROUP BY {keys}) AS o "
                f"ON {self._same('o', 'b')} WHERE o.m IS NULL OR o.c IS NULL OR (b.c IS NOT NULL AND b.c >= o.c)"
            )
            if self._columns.version is not None:
                renewed = f"LEFT JOIN {best} AS l ON {self._same('o', 'l')}"
                old_version = "REPLACE (coalesce(l.ver, o.ver) AS ver"
        self._step += 1
        stays = "NOT d" if self._stream.deletes == "hard" else "true"
        lost = f"ANTI JOIN {won} AS b ON {self._same('o', 'b')}"
        old_change = f"{old_version}, coalesce(l.ver, o.renewed) AS renewed)" if renewed else ""
        new_change = f"{old_version})" if renewed else ""
        self._run(
            f"CREATE TABLE t{self._step} AS SELECT o.* {old_change} FROM (SELECT o.* FROM {old} AS o {lost}) AS o {renewed}"
        )
        self._run(
            f"CREATE TABLE n{self._step} AS SELECT o.* {new_change} FROM (SELECT o.* FROM {new} AS o {lost}) AS o {renewed} "
            f"UNION ALL SELECT *, NULL, NULL, false FROM {won} WHERE {stays}"
        )
        for table in {best, won}:
            self._run(f"DROP TABLE {table}")

    def _append(self, part: str) -> None:
        old, new = f"t{self._step}", f"n{self._step}"
        self._step += 1
        self._run(f"CREATE TABLE t{self._step} AS SELECT * FROM {old}")
        self._run(f"CREATE TABLE n{self._step} AS SELECT * FROM {new} UNION ALL SELECT *, NULL, NULL, false FROM s WHERE {part}")

    def _dedup(self, part: str) -> None:
        """New rows whose like is neither there nor came before; the newest version they came with goes to the one that stays."""
        old, new = f"t{self._step}", f"n{self._step}"
        keys = ", ".join(self._keys)
        self._run(
            f"CREATE TABLE first{self._step} AS SELECT * EXCLUDE (ver), last_value(ver) OVER (PARTITION BY {keys} ORDER BY pos "
            f"ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS ver FROM s WHERE {part} "
            f"QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY pos) = 1"
        )
        first = f"first{self._step}"
        self._step += 1
        old_columns = "o.* REPLACE (coalesce(f.ver, o.ver) AS ver, coalesce(f.ver, o.renewed) AS renewed)"
        self._run(
            f"CREATE TABLE t{self._step} AS SELECT {old_columns} FROM {old} AS o LEFT JOIN {first} AS f ON {self._same('o', 'f')}"
        )
        self._run(
            f"CREATE TABLE n{self._step} AS SELECT o.* REPLACE (coalesce(f.ver, o.ver) AS ver) FROM {new} AS o "
            f"LEFT JOIN {first} AS f ON {self._same('o', 'f')} "
            f"UNION ALL BY NAME SELECT f.*, NULL::TIMESTAMPTZ AS since, NULL::TIMESTAMPTZ AS ended, false AS deleted "
            f"FROM {first} AS f "
            f"ANTI JOIN (SELECT {keys} FROM {old} UNION ALL SELECT {keys} FROM {new}) AS o ON {self._same('o', 'f')}"
        )
        self._run(f"DROP TABLE {first}")

    def _history(self, part: str) -> None:
        """The versions of each key one after the other: the open one, then the new ones that are not older than it."""
        old, new, keys = f"t{self._step}", f"n{self._step}", ", ".join(self._keys)
        values = ", ".join(self._values) or "0"
        columns = ", ".join(["c", "ver", "d", *self._keys, *self._values])
        late = "false"
        opened = (
            f"SELECT file, row, 0 AS turn, {columns.replace(' d,', ' false AS d,', 1)} FROM {old} WHERE ended IS NULL "
            f"UNION ALL SELECT -1, pos, 0, {columns} FROM {new} WHERE ended IS NULL"
        )
        self._run(f"CREATE TABLE opened AS {opened}")
        join = ""
        if self._columns.cursor is not None:
            join = f"LEFT JOIN (SELECT {keys}, max(c) AS c, true AS m FROM opened GROUP BY {keys}) AS o ON {self._same('o', 's')}"
            late = "o.m IS NOT NULL AND o.c IS NOT NULL AND (s.c IS NULL OR s.c < o.c)"
        coming_columns = ", ".join(f"s.{name}" for name in columns.split(", "))
        coming = f"SELECT -1, s.pos, 1, {coming_columns} FROM s {join} WHERE {part} AND NOT ({late})"
        order = (
            f"PARTITION BY {keys} ORDER BY turn, c NULLS FIRST, row"
            if self._columns.cursor
            else f"PARTITION BY {keys} ORDER BY turn, row"
        )
        # Rows that are too late change nothing but the version: the source still has the open row.
        self._run(
            f"CREATE TABLE late AS SELECT {', '.join(f's.{key}' for key in self._keys)}, arg_max(s.ver, s.pos) AS ver "
            f"FROM s {join} WHERE {part} AND {late} GROUP BY ALL"
        )
        last = "CASE WHEN h.row IS NOT NULL AND h.ended IS NULL THEN coalesce(l.ver, h.last) ELSE h.last END"
        since = self._since()
        self._run(
            f"CREATE TABLE story AS WITH u AS (SELECT * FROM opened UNION ALL {coming}), "
            f"seen AS (SELECT *, lag(row) OVER w IS NOT NULL AS follows, lag(d) OVER w AS after_end, "
            f"row({values}) IS NOT DISTINCT FROM lag(row({values})) OVER w AS same FROM u WINDOW w AS ({order})), "
            f"told AS (SELECT *, turn = 0 OR (CASE WHEN d THEN follows AND NOT after_end ELSE NOT follows OR after_end "
            f"OR NOT same END) "
            f"AS tells FROM seen), "
            f"chapters AS (SELECT *, sum(tells::INT) OVER w AS chapter FROM told WINDOW w AS ({order} ROWS UNBOUNDED "
            f"PRECEDING)), "
            f"renewed AS (SELECT *, last_value(ver) OVER (PARTITION BY {keys}, chapter ORDER BY turn, row "
            f"ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS last FROM chapters) "
            f"SELECT *, {since} AS since, lead({since}) OVER ({order}) AS ended FROM renewed WHERE tells"
        )
        self._step += 1
        renewed = f"LEFT JOIN late AS l ON {self._same('o', 'l')}"
        self._run(
            f"CREATE TABLE t{self._step} AS SELECT o.* REPLACE (coalesce(h.ended, o.ended) AS ended, "
            f"coalesce({last}, o.ver) AS ver, coalesce({last}, o.renewed) AS renewed) FROM {old} AS o "
            f"LEFT JOIN (FROM story WHERE file >= 0) AS h ON h.file = o.file AND h.row = o.row {renewed}"
        )
        self._run(
            f"CREATE TABLE n{self._step} AS SELECT o.* REPLACE (coalesce(h.ended, o.ended) AS ended, "
            f"coalesce({last}, o.ver) AS ver) FROM {new} AS o "
            f"LEFT JOIN (FROM story WHERE file < 0 AND turn = 0) AS h ON h.row = o.pos {renewed} "
            f"UNION ALL SELECT s.* REPLACE (h.last AS ver), h.since, h.ended, false FROM s JOIN "
            f"(FROM story WHERE turn = 1 AND NOT d) AS h ON h.row = s.pos"
        )
        self._run("DROP TABLE late")
        self._run("DROP TABLE opened")
        self._run("DROP TABLE story")

    def _activate(self) -> None:
        """Rows of other versions are obsolete by now."""
        old, new = f"t{self._step}", f"n{self._step}"
        self._step += 1
        obsolete = self._obsolete("ver")
        if self._stream.write_mode == "scd2":
            change = f"* REPLACE (CASE WHEN ended IS NULL AND {obsolete} THEN {self._moment} ELSE ended END AS ended)"
            where = "true"
        elif self._stream.deletes == "hard":
            change, where = "*", f"NOT ({obsolete})"
        else:
            change, where = f"* REPLACE (deleted OR {obsolete} AS deleted)", "true"
        self._run(f"CREATE TABLE t{self._step} AS SELECT {change} FROM {old} WHERE {where}")
        self._run(f"CREATE TABLE n{self._step} AS SELECT {change} FROM {new} WHERE {where}")

    def _changes(self) -> str:
        """Every row that does not stay as it is."""
        gone = (
            f"SELECT o.file, o.row, true AS gone, NULL::TIMESTAMPTZ AS valid_to, NULL::TIMESTAMPTZ AS deleted_at, "
            f"NULL::BIGINT AS version "
            f"FROM t0 AS o ANTI JOIN t{self._step} AS x ON x.file = o.file AND x.row = o.row"
        )
        deleted = f"CASE WHEN x.deleted AND NOT x.marked THEN {self._moment} END"
        version = "CASE WHEN x.renewed IS DISTINCT FROM o.ver THEN x.renewed END" if self._columns.version else "NULL::BIGINT"
        changed = (
            f"SELECT x.file, x.row, false, x.ended, {deleted} AS deleted_at, {version} AS version "
            f"FROM t{self._step} AS x JOIN t0 AS o ON x.file = o.file AND x.row = o.row"
        )
        return (
            f"{gone} UNION ALL SELECT * FROM ({changed}) WHERE ended IS NOT NULL OR deleted_at IS NOT NULL OR version IS NOT NULL"
        )

    def _since(self) -> str:
        return f"coalesce(c::TIMESTAMPTZ, {self._moment})" if self._columns.moments else self._moment

    def _obsolete(self, version: str) -> str:
        if self._activation is None:
            return "false"
        return f"{version} IS DISTINCT FROM {self._activation[0]}"

    def _version(self, name: str) -> str:
        return name if self._columns.version else "NULL::BIGINT"

    def _same(self, one: str, other: str) -> str:
        return " AND ".join(f"{one}.{key} IS NOT DISTINCT FROM {other}.{key}" for key in self._keys)

    def _shared(self, schema: pa.Schema) -> list[pa.Field]:
        """Fields of what both sides have: `c`, `ver`, keys and content, under names that DuckDB tells apart."""
        columns = self._columns
        cursor = pa.int64() if columns.cursor is None else schema.field(columns.cursor).type
        fields = [pa.field("c", cursor), pa.field("ver", pa.int64())]
        fields += [pa.field(own, schema.field(name).type) for own, name in zip(self._keys, columns.key, strict=True)]
        return [
            *fields,
            *(pa.field(own, schema.field(name).type) for own, name in zip(self._values, columns.content, strict=True)),
        ]

    def _arrays(self, batch: pa.RecordBatch) -> list[pa.Array]:
        columns, count = self._columns, batch.num_rows
        cursor = pa.nulls(count, pa.int64()) if columns.cursor is None else batch.column(columns.cursor)
        version = pa.nulls(count, pa.int64()) if columns.version is None else batch.column(columns.version)
        return [cursor, version, *(batch.column(name) for name in columns.key), *(batch.column(name) for name in columns.content)]

    def _empty_old(self) -> str:
        names = ", ".join(["c", "ver", *self._keys, *self._values])
        return (
            f"SELECT 0::INT AS file, 0::BIGINT AS row, false AS marked, true AS open, {names}, NULL::TIMESTAMPTZ AS ended, "
            f"NULL::BIGINT AS renewed, false AS deleted FROM s"
        )

    def _has(self, table: str) -> bool:
        return bool(self._run(f"SELECT 1 FROM duckdb_tables() WHERE table_name = '{table}'"))

    def _load(self, rows: Iterator[pa.RecordBatch], schema: pa.Schema) -> None:
        self._connection.register("incoming", pa.RecordBatchReader.from_batches(schema, self._noting(rows)))

    def _noting(self, rows: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Keeps an error of ours, of which DuckDB would only tell the text."""
        try:
            yield from rows
        except Exception as error:
            self._raised = error
            raise

    def _table(self, sql: str) -> pa.Table:
        try:
            return self._connection.sql(sql).to_arrow_table()
        except self._error as error:
            raise self._failed(error) from error

    def _run(self, sql: str) -> list[tuple[Any, ...]]:
        try:
            rows: list[tuple[Any, ...]] = self._connection.execute(sql).fetchall()
        except self._error as error:
            raise self._failed(error) from error
        return rows

    def _failed(self, error: Exception) -> Exception:
        if self._raised is not None:
            return self._raised
        first = str(error).strip().splitlines()[0].rstrip(".")
        facts = {"stream": str(self._stream.id), "error": type(error).__name__}
        # DuckDB leaves a tenth of the disk free: it refuses before the system would.
        if re.search(r"No space left|ENOSPC|max_temp_directory_size", str(error)):
            return TargetError(
                f"cannot merge stream `{self._stream.id}`: the disk of `{self._spill}` is full",
                hint="free some space, then run again; or name another place by `temporary`, or raise `merge_memory`",
                retryable=True,
                facts=facts,
            )
        return TargetError(
            f"cannot merge stream `{self._stream.id}`: {first}",
            hint="raise `merge_memory` in the target's configuration" if "emory" in first else None,
            facts=facts,
        )


def _marks(batch: pa.RecordBatch, mark: str | None) -> pa.Array:
    """Rows that are deleted at the source: the mark is neither null nor false, JSON's own included."""
    if mark is None:
        return pa.repeat(False, batch.num_rows)
    array = batch.column(mark)
    if pa.types.is_boolean(array.type):
        return array.fill_null(False)
    if is_json(batch.schema.field(mark)):
        said = pc.is_in(pc.utf8_trim_whitespace(array), value_set=pa.array(["false", "null"]))
        return pc.and_(array.is_valid(), pc.invert(said))
    return array.is_valid()


def _present(batch: pa.RecordBatch, name: str | None) -> pa.Array:
    return batch.column(name).is_valid() if name is not None else pa.repeat(False, batch.num_rows)


def _absent(batch: pa.RecordBatch, name: str | None) -> pa.Array:
    return batch.column(name).is_null() if name is not None else pa.repeat(True, batch.num_rows)
