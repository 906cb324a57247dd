"""Iceberg as a `Format`: tables of one catalog's namespace, one snapshot a commit."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
from dativo_protocols.errors import TargetError

from dativo._evolution import evolve, same_type
from dativo._exact_text import is_json
from dativo.targets.iceberg._catalog import IcebergCatalog
from dativo.targets.iceberg._data_files import entry_of, file_details, is_misfit
from dativo.targets.iceberg._files import SnapshotFiles, TableFiles
from dativo.targets.iceberg._partitions import PartitionRule, new_spec, rules, split
from dativo.targets.iceberg._refit import refit
from dativo.targets.iceberg._schema import change_schema, new_schema, planned_schema, with_field_ids, without_partitions
from dativo.targets.iceberg._types import iceberg_type, is_writable, stored, widens
from dativo.targets.lakehouse._format import DataFile, Snapshot, TableCommit
from dativo.targets.lakehouse._storage import Input, Output, Storage

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile as Entry
    from pyiceberg.partitioning import PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.table import FileScanTask, Table, Transaction

__all__ = ["IcebergFormat"]

_COLUMNS = "dativo.columns"
_TYPES = "dativo.types"
_MARK = "dativo.mark."
_SHOWN_STATE = 4096
_NEW_TABLE = {
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
    "commit.manifest-merge.enabled": "true",
    "commit.manifest.min-count-to-merge": "20",
}


class IcebergFormat:
    """See `Format`. A commit is one snapshot; its summary names the job's commit, and so do the table's properties.

    Args:
        properties: Of tables that are made, over Dativo's own.
    """

    name = "iceberg"

    def __init__(self, catalog: IcebergCatalog, storage: Storage, properties: Mapping[str, str]) -> None:
        self.catalog = catalog
        self.storage = storage
        self.uri = catalog.uri
        self._properties = {**_NEW_TABLE, **properties}
        self._files = TableFiles(catalog, storage)

    def tables(self) -> Sequence[str]:
        """See `Format.tables`."""
        return self.catalog.tables()

    def load(self, table: str) -> Snapshot | None:
        """See `Format.load`."""
        native = self.catalog.table(table)
        if native is None:
            return None
        self._files.found(table, native)
        with self.catalog.failures("read", table):
            schema = _logical(native, self.catalog.full_name(table))
            columns: dict[str, str] = json.loads(native.properties.get(_COLUMNS, "{}"))
            partitions = tuple(str(rule) for rule in rules(native.spec(), native.schema()))
        files = SnapshotFiles(self._files, native, schema)

        def mark_of(app: str) -> int:
            return int(native.properties.get(f"{_MARK}{app}", "0"))

        return Snapshot(
            native.metadata_location,
            schema,
            columns,
            partitions,
            files,
            mark_of,
            native,
        )

    def commit(self, table: str, base: Snapshot | None, commit: TableCommit) -> bool:
        """See `Format.commit`."""
        from pyiceberg.exceptions import CommitFailedException, TableAlreadyExistsError

        with self.catalog.failures("commit to", table):
            columns = pa.schema([stored(column) for column in commit.schema])
            removed = [_task(base, file) for file in commit.removed]
            if base is None:
                transaction = self._creation(table, columns, commit)
            else:
                transaction = base.native.transaction()
                if removed and not _keeps_partition_columns(base.native, columns):
                    # Entries of a spec can only be written while the columns are there that it refers to.
                    _put(transaction, commit, removed, [])
                    removed = []
                _change(transaction, base.native, columns, commit)
            transaction.set_properties(_kept(commit))
            schema, spec = transaction.table_metadata.schema(), transaction.table_metadata.spec()
            added, replaced = self._fitted(table, commit, schema, spec)
            _put(transaction, commit, removed, [entry_of(file, schema, spec, self.catalog.full_name(table)) for file in added])
            try:
                transaction.commit_transaction()
            except (CommitFailedException, TableAlreadyExistsError):
                self._files.delete([file.path for file in added if file not in commit.added])
                return False
        self._files.delete(replaced)
        return True

    def stored(self, column: pa.Field) -> pa.Field:
        """See `Format.stored`."""
        return stored(column)

    def promotes(self, before: pa.Field, after: pa.Field) -> bool:
        """See `Format.promotes`."""
        if is_json(before) != is_json(after):
            return False
        return widens(iceberg_type(stored(before).type), iceberg_type(stored(after).type))

    def parquet_schema(self, schema: pa.Schema, base: Snapshot | None) -> pa.Schema:
        """The columns with the field ids that they have, or will get unless somebody else changes the table first."""
        if base is None:
            return with_field_ids(schema, planned_schema(None, schema))
        with self.catalog.failures("fit the columns of", base.native.name()[-1]):
            return with_field_ids(schema, planned_schema(base.native, schema))

    def split(
        self, rows: pa.RecordBatch, partition_by: Sequence[str], base: Snapshot | None
    ) -> Iterator[tuple[Mapping[str, str | None], pa.RecordBatch]]:
        """See `Format.split`."""
        wanted = [PartitionRule.parse(text) for text in partition_by]
        return split(rows, wanted, {rule.column: iceberg_type(rows.schema.field(rule.column).type) for rule in wanted})

    def data_path(self, table: str, name: str) -> str:
        """See `Format.data_path`."""
        return self._files.path(table, name)

    def details(self, metadata: pq.FileMetaData, schema: pa.Schema) -> Mapping[str, Any]:
        """See `Format.details`."""
        return file_details(metadata)

    def output(self, path: str) -> Output:
        """See `Format.output`."""
        return self._files.output(path)

    def input(self, path: str) -> Input:
        """See `Format.input`."""
        return self._files.input(path)

    def read(self, file: DataFile, schema: pa.Schema, columns: Sequence[str], base: Snapshot | None) -> Iterator[pa.RecordBatch]:
        """See `Format.read`."""
        if base is None:
            return self._files.read_new(file.path, columns)
        with self.catalog.failures("read"):
            return self._files.read(_task(base, file), base.native, columns)

    def own_files(self, table: str, prefix: str) -> Sequence[str]:
        """See `Format.own_files`."""
        return self._files.listed(table, prefix)

    def delete(self, paths: Sequence[str]) -> None:
        """See `Format.delete`."""
        self._files.delete(paths)

    def maintain(self, table: str, base: Snapshot | None) -> None:
        """Nothing: old metadata files go with the commits, and snapshots are for the table's owner to expire."""

    def close(self) -> None:
        """Frees the catalog's connections."""
        self.catalog.close()

    def _creation(self, table: str, columns: pa.Schema, commit: TableCommit) -> Transaction:
        schema = new_schema(columns)
        spec = new_spec([PartitionRule.parse(text) for text in commit.partition_by], schema)
        return self.catalog.creation(table, schema, spec, self._files.location(table), self._properties)

    def _fitted(self, table: str, commit: TableCommit, schema: Schema, spec: PartitionSpec) -> tuple[list[DataFile], list[str]]:
        """The commit's files as the table needs them by now, and the paths of those that others took the place of."""
        added: list[DataFile] = []
        replaced: list[str] = []
        for file in commit.added:
            if is_misfit(file, schema, spec):
                added += refit(self, table, file, commit.schema, schema, spec)
                replaced.append(file.path)
            else:
                added.append(file)
        return added, replaced


def _put(transaction: Transaction, commit: TableCommit, removed: Sequence[FileScanTask], added: Sequence[Entry]) -> None:
    """Stages a snapshot."""
    summary = {f"dativo.{key}": value for key, value in commit.info.items()}
    summary |= {"dativo.app": commit.mark.app, "dativo.record": str(commit.mark.number), **_shown_state(commit.state)}
    update = transaction.update_snapshot(snapshot_properties=summary)
    with update.overwrite() if removed else update.merge_append() as producer:
        for task in removed:
            producer.delete_data_file(task.file)
        for entry in added:
            producer.append_data_file(entry)


def _shown_state(state: bytes | None) -> dict[str, str]:
    """The state for a snapshot's summary; a large one would be kept again with every snapshot."""
    if state is None or len(state) > _SHOWN_STATE:
        return {} if state is None else {"dativo.state-bytes": str(len(state))}
    return {"dativo.state": state.decode("utf-8", "backslashreplace")}


def _keeps_partition_columns(native: Table, columns: pa.Schema) -> bool:
    """Whether each column that the table is partitioned by keeps its field id."""
    kept = {field.name: field.field_type for field in native.schema().fields}
    return all(
        rule.column in columns.names and widens(kept[rule.column], iceberg_type(columns.field(rule.column).type))
        for rule in rules(native.spec(), native.schema())
    )


def _task(base: Snapshot | None, file: DataFile) -> FileScanTask:
    return cast("SnapshotFiles", base.files if base is not None else None).task(file.path)


def _change(transaction: Transaction, native: Table, columns: pa.Schema, commit: TableCommit) -> None:
    """Columns, and the partitions where the table is replaced, or a column that they are made of."""
    now = list(rules(native.spec(), native.schema()))
    wanted = [PartitionRule.parse(text) for text in commit.partition_by] if commit.replaces else now
    respec = now != wanted or not _keeps_partition_columns(native, columns)
    if respec:
        without_partitions(transaction)
    with transaction.update_schema(allow_incompatible_changes=True) as changes:
        anew = change_schema(changes, native.schema(), columns, replaces=commit.replaces)
    if anew:
        # In an update of its own: names of columns stand for the old ones until it is staged.
        with transaction.update_schema() as changes:
            for name, previous in anew:
                _ = changes.move_first(name) if previous is None else changes.move_after(name, previous)
    if respec:
        with transaction.update_spec() as update:
            for rule in wanted:
                update.add_field(rule.column, rule.transform, rule.field_name)


def _kept(commit: TableCommit) -> dict[str, str]:
    """What the table's properties keep of a commit."""
    from pyiceberg.io.pyarrow import schema_to_pyarrow

    native = schema_to_pyarrow(new_schema(pa.schema([stored(column) for column in commit.schema])), include_field_ids=False)
    plain = evolve(None, native).schema
    own = [column for column in commit.schema if not same_type(column, plain.field(column.name))]
    types = base64.b64encode(pa.schema(own).serialize().to_pybytes()).decode() if own else ""
    mark = {f"{_MARK}{commit.mark.app}": str(commit.mark.number)}
    return {_COLUMNS: json.dumps(dict(commit.columns), ensure_ascii=False), _TYPES: types, **mark}


def _logical(native: Table, name: str) -> pa.Schema:
    """The table's columns in Dativo's types: those that were kept, where Iceberg's say less."""
    from pyiceberg.io.pyarrow import schema_to_pyarrow

    for field in native.schema().fields:
        if not is_writable(field.field_type):
            raise TargetError(
                f"table `{name}` has a column `{field.name}` of the type `{field.field_type}`, which Dativo does not write",
                hint="load the stream into another table",
                facts={"table": name, "column": field.name},
            )
    plain = evolve(None, schema_to_pyarrow(native.schema(), include_field_ids=False)).schema
    text = native.properties.get(_TYPES)
    # JSON comes back as an extension type, where batches have marked text.
    kept = evolve(None, pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text)))).schema if text else pa.schema([])
    own = {column.name: column for column in kept}
    fields = []
    for column in plain:
        known = own.get(column.name)
        fits = known is not None and stored(known).type.equals(stored(column).type)
        fields.append(known if fits else column)
    return pa.schema(fields)
