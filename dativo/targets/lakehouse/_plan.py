"""Which files a change adds to its table and which it removes, worked out for the table as it is: copy on write, one file at a
time."""

from __future__ import annotations

import tempfile
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
from dativo_protocols.errors import TargetError

from dativo import _compute as pc
from dativo._evolution import conform, evolve, same_type
from dativo._names import DELETED_AT, VALID_FROM, VALID_TO, VERSION
from dativo.targets.lakehouse._change import Source, TableChange
from dativo.targets.lakehouse._files import Budget, FileSet
from dativo.targets.lakehouse._format import DataFile, Format, Snapshot
from dativo.targets.lakehouse._merge import Merge
from dativo.targets.lakehouse._merge_columns import Columns
from dativo.targets.lakehouse._rows import fits, numbered, read_rows

__all__ = ["Planner", "rebased"]

_PRUNED = (pa.types.is_integer, pa.types.is_string, pa.types.is_date, pa.types.is_timestamp)


def rebased(change: TableChange, base: Snapshot | None) -> TableChange:
    """The change for another state of the table than it was made for; what is to be added and removed is worked out anew."""
    version = None if base is None else base.version
    if base is None or change.replaces:
        return replace(change, base=version, added=(), removed=())
    schema = evolve(base.schema, change.schema).schema
    stages = change.stages if schema.equals(change.schema, check_metadata=True) else (*change.stages, schema)
    return replace(
        change,
        base=version,
        stages=stages,
        columns={**base.columns, **change.columns},
        partition_by=base.partition_by,
        added=(),
        removed=(),
    )


@dataclass(frozen=True)
class Planner:
    """Works changes out.

    Attributes:
        path: Gives the path of the table's next data file.
        memory: DuckDB's limit in merges.
        temporary: A directory for what merges spill, or None for the system's own.
        threads: Of DuckDB in merges.
    """

    format: Format
    path: Callable[[str], str]
    file_bytes: int
    budget: Budget
    memory: str
    temporary: str | None
    threads: int

    def plan(self, change: TableChange, base: Snapshot | None, moment: int) -> TableChange:
        """The change with its `added` and `removed` files; new files are written, and none is touched.

        Args:
            base: The table as it is; `change.base` is its version.
            moment: Of the commit, in microseconds since 1970 UTC.

        Raises:
            ContractError: A value would change.
            TargetError: A file cannot be read or written.
        """
        if change.replaces:
            removed = () if base is None else tuple(file.path for file in base.files)
            return replace(change, added=tuple(self._fitting(change)), removed=removed)
        stale = base is not None and not fits(self.format, base.schema, change.schema)
        if change.taken_out:
            return self._without(change, base, stale=stale)
        if change.stream.write_mode == "append" and change.activation is None:
            # Appending does not look at the table's files: a format may have to read long lists for them.
            live = tuple(base.files) if stale and base is not None else ()
            added = [*self._fitting(change), *(self._rewritten(change, base, live) if stale and base is not None else [])]
            return replace(change, added=tuple(added), removed=tuple(file.path for file in live))
        return self._merged(change, base, moment, stale=stale)

    def _fitting(self, change: TableChange) -> list[DataFile]:
        """The sources as they are, but for those whose columns have other types by now."""
        fresh: list[DataFile] = []
        for source in change.sources:
            if fits(self.format, change.stages[source.stage], change.schema):
                fresh.append(source.file)
                continue
            with self._files(change, None) as files:
                for batch in self._source_rows(change, source, change.schema.names):
                    files.write(batch)
                fresh += files.finish()
        return fresh

    def _rewritten(self, change: TableChange, base: Snapshot, live: Sequence[DataFile]) -> list[DataFile]:
        with self._files(change, base) as files:
            for file in live:
                for batch in self._live_rows(change, base, file, change.schema.names):
                    files.write(batch)
            return files.finish()

    def _without(self, change: TableChange, base: Snapshot | None, *, stale: bool) -> TableChange:
        """A quarantine without the rows that are taken out."""
        wanted = pa.array(sorted(set(change.taken_out)), pa.utf8())
        found = 0
        removed: list[str] = []
        added = self._fitting(change)
        if base is not None:
            for file in base.files:
                ids = self._live_rows(change, base, file, ["id"])
                there = sum(pc.sum(pc.is_in(batch.column(0), value_set=wanted)).as_py() or 0 for batch in ids)
                found += there
                if not there and not stale:
                    continue
                removed.append(file.path)
                with self._files(change, base) as files:
                    for batch in self._live_rows(change, base, file, change.schema.names):
                        files.write(batch.filter(pc.invert(pc.is_in(batch.column("id"), value_set=wanted))))
                    added += files.finish()
        if found < len(wanted):
            raise TargetError(
                f"{len(wanted) - found} rows to be taken out of the quarantine `{change.table}` are not there",
                hint="another replay has taken them: list the quarantine again",
                facts={"stream": str(change.stream.id), "rows": len(wanted) - found},
            )
        return replace(change, added=tuple(added), removed=tuple(removed))

    def _merged(self, change: TableChange, base: Snapshot | None, moment: int, *, stale: bool) -> TableChange:
        schema = change.schema
        columns = Columns.of(change.stream, dict(change.columns), schema)
        activation = None if change.activation is None else (change.activation.version, change.activation.before)
        with tempfile.TemporaryDirectory(prefix="dativo-merge-", dir=self.temporary) as spill:
            merge = Merge(change.stream, columns, moment, activation, self.memory, spill, self.threads)
            try:
                names = columns.of_new_rows or schema.names[:1]
                rows = (batch for source in change.sources for batch in self._source_rows(change, source, names))
                merge.add_new(rows, _sub(schema, names))
                live = () if base is None else tuple(base.files)
                if base is not None:
                    merge.add_old(
                        self._old_rows(change, base, merge.key_ranges(), columns),
                        _sub(schema, columns.of_old_rows or schema.names[:1]),
                    )
                merge.work_out()
                changed = merge.changed_files()
                added = self._new_files(change, base, merge)
                if base is not None:
                    touched = set(range(len(live))) if stale else set(changed)
                    with self._files(change, base) as files:
                        for number in sorted(touched):
                            for batch in self._kept_rows(change, base, live[number], merge.changes(number)):
                                files.write(batch)
                        added += files.finish()
                    return replace(change, added=tuple(added), removed=tuple(live[number].path for number in sorted(touched)))
                return replace(change, added=tuple(added), removed=())
            finally:
                merge.close()

    def _old_rows(
        self, change: TableChange, base: Snapshot, ranges: dict[str, tuple[object, object]] | None, columns: Columns
    ) -> Iterator[tuple[int, Iterator[pa.RecordBatch]]]:
        wanted = columns.of_old_rows or change.schema.names[:1]
        for number, file in enumerate(base.files):
            if ranges is None or not _apart(file, ranges, base.schema, change.schema):
                yield number, self._live_rows(change, base, file, wanted)

    def _new_files(self, change: TableChange, base: Snapshot | None, merge: Merge) -> list[DataFile]:
        start = 0
        with self._files(change, base) as files:
            for source in change.sources:
                end = start + source.file.rows
                additions = merge.additions(start, end)
                positions = additions.column("pos").combine_chunks()
                places = _numbers(positions)
                for batch in self._source_rows(change, source, change.schema.names) if len(places) else ():
                    first, last = bisect_left(places, start), bisect_left(places, start + batch.num_rows)
                    if first < last:
                        chosen = batch.take(pc.subtract(positions.slice(first, last - first), start))
                        part = additions.slice(first, last - first)
                        values = {VALID_FROM: "valid_from", VALID_TO: "valid_to", DELETED_AT: "deleted_at", VERSION: "version"}
                        files.write(_filled(chosen, {name: part.column(own).combine_chunks() for name, own in values.items()}))
                    start += batch.num_rows
                start = end
            return files.finish()

    def _kept_rows(self, change: TableChange, base: Snapshot, file: DataFile, changes: pa.Table) -> Iterator[pa.RecordBatch]:
        rows = changes.column("row").combine_chunks()
        places = _numbers(rows)
        start = 0
        for batch in self._live_rows(change, base, file, change.schema.names):
            first, last = bisect_left(places, start), bisect_left(places, start + batch.num_rows)
            yield (
                _changed(batch, pc.subtract(rows.slice(first, last - first), start), changes.slice(first, last - first))
                if first < last
                else batch
            )
            start += batch.num_rows

    def _source_rows(self, change: TableChange, source: Source, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        return read_rows(self.format, source.file, change.stages[source.stage :], names, change.stream.id)

    def _live_rows(self, change: TableChange, base: Snapshot, file: DataFile, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        stages = [evolve(base.schema, stage).schema for stage in change.stages]
        return read_rows(self.format, file, [base.schema, *stages], names, change.stream.id, base)

    def _files(self, change: TableChange, base: Snapshot | None) -> _Closing:
        by = change.partition_by if base is None or change.replaces else base.partition_by
        path = self.path
        return _Closing(FileSet(self.format, change.schema, base, by, lambda: path(change.table), self.file_bytes, self.budget))


@dataclass(frozen=True)
class _Closing:
    """Drops what is not finished when an error ends the block."""

    files: FileSet

    def __enter__(self) -> FileSet:
        return self.files

    def __exit__(self, *_: object) -> None:
        self.files.drop()


def _sub(schema: pa.Schema, names: Sequence[str]) -> pa.Schema:
    return pa.schema([schema.field(name) for name in names])


def _apart(file: DataFile, ranges: dict[str, tuple[object, object]], before: pa.Schema, after: pa.Schema) -> bool:
    """Whether no row of the file can have one of the keys."""
    for name, (low, high) in ranges.items():
        known = file.ranges.get(name)
        if known is None or name not in before.names or not same_type(before.field(name), after.field(name)):
            continue
        if any(is_kind(after.field(name).type) for is_kind in _PRUNED) and (known[1] < low or high < known[0]):
            return True
    return False


def _changed(batch: pa.RecordBatch, rows: pa.Array, changes: pa.Table) -> pa.RecordBatch:
    """The batch with new values where there are any, and without the rows that are gone."""
    values = {VALID_TO: "valid_to", DELETED_AT: "deleted_at", VERSION: "version"}
    indices = pc.index_in(numbered(0, batch.num_rows), value_set=rows)
    known = {name: changes.column(own) for name, own in values.items() if name in batch.schema.names}
    # A merge without deletes and versions has none of them.
    spread = {name: column.combine_chunks().take(indices) for name, column in known.items() if column.null_count < len(column)}
    batch = _filled(batch, spread)
    gone = changes.column("gone").combine_chunks().take(indices)
    return batch.filter(pc.invert(pc.fill_null(gone, False)))


def _numbers(array: pa.Array) -> Sequence[int]:
    """The values of an array of int64 without nulls, without a copy."""
    buffer = array.buffers()[1]
    if buffer is None or not len(array):
        return []
    return memoryview(buffer).cast("q")[array.offset : array.offset + len(array)]


def _filled(batch: pa.RecordBatch, values: dict[str, pa.Array]) -> pa.RecordBatch:
    """The batch with these values in columns that it has, where they are not null."""
    for name, array in values.items():
        index = batch.schema.get_field_index(name)
        if index >= 0 and array.null_count < len(array):
            column = batch.schema.field(index)
            batch = batch.set_column(index, column, pc.coalesce(array.cast(column.type), batch.column(index)))
    return conform(batch, batch.schema)
