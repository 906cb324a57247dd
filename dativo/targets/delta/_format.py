"""Delta tables as a lakehouse format: `deltalake` reads their logs, and each commit is one log entry of our own.

`deltalake` has no call that adds and removes files, changes the schema, and marks the transaction, all in one version of the
table; the log's protocol is a file of JSON lines, put if absent: https://github.com/delta-io/delta/blob/master/PROTOCOL.md
"""

from __future__ import annotations

import contextlib
import datetime
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from dativo_protocols.errors import TargetError
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from dativo.targets.delta._entry import Entry, table_columns
from dativo.targets.delta._partitions import partition_array, partition_text, split
from dativo.targets.delta._protocol import check_protocol
from dativo.targets.delta._stats import file_stats
from dativo.targets.delta._types import stored_type
from dativo.targets.lakehouse import DataFile, Input, Output, Snapshot, Storage, TableCommit, read_parquet

__all__ = ["DeltaFormat"]

_APP = "dativo-"
_MILLISECOND = datetime.timedelta(milliseconds=1)


class DeltaFormat:
    """A `Format`: each table is a folder below one path.

    Args:
        uri: Of that path.
        options: For `deltalake`.
        checkpoint_every: Versions between two checkpoints of a table's log.
    """

    name = "delta"

    def __init__(self, uri: str, storage: Storage, options: Mapping[str, str], checkpoint_every: int) -> None:
        self.uri = uri
        self.storage = storage
        self._options = dict(options)
        self._checkpoint_every = checkpoint_every

    def tables(self) -> Sequence[str]:
        return self.storage.folders()

    def load(self, table: str) -> Snapshot | None:
        try:
            delta = self._table(table)
        except TableNotFoundError:
            return None
        except Exception as error:
            raise self._failed("read", table, error) from error
        check_protocol(delta, table)
        schema, columns = table_columns(delta, table)
        partition_by = tuple(delta.metadata().partition_columns)
        try:
            files = tuple(self._files(delta, table, schema, partition_by))
        except Exception as error:
            raise self._failed("read", table, error) from error
        return Snapshot(
            str(delta.version()),
            schema,
            columns,
            partition_by,
            files,
            lambda app: delta.transaction_version(f"{_APP}{app}") or 0,
            delta,
        )

    def commit(self, table: str, base: Snapshot | None, commit: TableCommit) -> bool:
        version = 0 if base is None else int(base.version) + 1
        entry = Entry(table, None if base is None else base.native, commit, f"{_APP}{commit.mark.app}", int(time.time() * 1000))
        return self.storage.put_new(f"{table}/_delta_log/{version:020}.json", entry.encode())

    def stored(self, column: pa.Field) -> pa.Field:
        return pa.field(column.name, stored_type(column.type))

    def promotes(self, before: pa.Field, after: pa.Field) -> bool:
        """Files keep their types in Delta: only a column that others read in the same way may stay."""
        return (
            self.stored(before).type.equals(self.stored(after).type)
            and before.type.equals(after.type)
            and not _quotes(before, after)
        )

    def parquet_schema(self, schema: pa.Schema, base: Snapshot | None) -> pa.Schema:
        return schema

    def split(
        self, rows: pa.RecordBatch, partition_by: Sequence[str], base: Snapshot | None
    ) -> Iterator[tuple[Mapping[str, str | None], pa.RecordBatch]]:
        return split(rows, partition_by)

    def data_path(self, table: str, name: str) -> str:
        return f"{table}/{name}"

    def details(self, metadata: pq.FileMetaData, schema: pa.Schema) -> Mapping[str, Any]:
        return {"stats": file_stats(metadata, schema)}

    def output(self, path: str) -> Output:
        return self.storage.output(path)

    def input(self, path: str) -> Input:
        return self.storage.input(path)

    def read(self, file: DataFile, schema: pa.Schema, columns: Sequence[str], base: Snapshot | None) -> Iterator[pa.RecordBatch]:
        for batch in read_parquet(self.input(file.path), columns, path=file.path):
            if not any(name in file.partition for name in columns):
                yield batch
                continue
            arrays, names = [], []
            for name in columns:
                if name in file.partition:
                    kind = stored_type(schema.field(name).type)
                    arrays.append(partition_array(file.partition[name], kind, batch.num_rows))
                elif name in batch.schema.names:
                    arrays.append(batch.column(name))
                else:
                    continue
                names.append(name)
            yield pa.RecordBatch.from_arrays(arrays, names=names)

    def own_files(self, table: str, prefix: str) -> Sequence[str]:
        return [f"{table}/{name}" for name in self.storage.names(table, prefix)]

    def delete(self, paths: Sequence[str]) -> None:
        self.storage.delete(paths)

    def maintain(self, table: str, base: Snapshot | None) -> None:
        if base is not None and (int(base.version) + 1) % self._checkpoint_every == 0:
            # Only readers' speed is at stake.
            with contextlib.suppress(Exception):
                self._table(table).create_checkpoint()

    def _table(self, table: str) -> DeltaTable:
        return DeltaTable(f"{self.uri}/{table}", storage_options=self._options or None)

    def _files(self, delta: DeltaTable, table: str, schema: pa.Schema, partition_by: Sequence[str]) -> Iterator[DataFile]:
        actions = pa.table(delta.get_add_actions(flatten=True))
        names = set(actions.schema.names)
        ranges = {
            name: found for name in schema.names if {f"min.{name}", f"max.{name}"} <= names and (found := _ranges(actions, name))
        }
        kept = [name for name in actions.schema.names if not name.startswith(("min.", "max.", "null_count."))]
        for index, action in enumerate(actions.select(kept).to_pylist()):
            path = str(action["path"])
            if "://" in path or path.startswith("/"):
                raise TargetError(
                    f"table `{table}` has files outside its folder", hint="copy it into one of its own", facts={"table": table}
                )
            place = f"{table}/{unquote(path)}"
            rows = action.get("num_records")
            if rows is None:
                with pq.ParquetFile(self.input(place)) as parquet:
                    rows = parquet.metadata.num_rows
            partition = {name: partition_text(action.get(f"partition.{name}")) for name in partition_by}
            known = {name: found[index] for name, found in ranges.items() if None not in found[index]}
            yield DataFile(place, rows, action["size_bytes"], partition, {"path": path}, known)

    def _failed(self, action: str, table: str, error: Exception) -> TargetError:
        if isinstance(error, TargetError):
            return error
        text = str(error).strip()
        first = text.splitlines()[0].rstrip(".") if text else type(error).__name__
        return TargetError(
            f"cannot {action} Delta table `{table}` in `{self.uri}`: {first}",
            retryable=isinstance(error, OSError) and not isinstance(error, (PermissionError, FileNotFoundError)),
            facts={"table": table, "path": self.uri, "error": type(error).__name__},
        )


def _quotes(before: pa.Field, after: pa.Field) -> bool:
    """Whether text becomes JSON text: its values get quotes."""
    return bool(before.metadata) != bool(after.metadata)


def _ranges(actions: pa.Table, name: str) -> list[tuple[Any, Any]]:
    """Least and greatest value by file; empty where Python's calendar does not have one."""
    try:
        least, greatest = (actions.column(f"{which}.{name}").to_pylist() for which in ("min", "max"))
    except (ValueError, OverflowError):
        return []
    # Moments are cut to milliseconds in the log.
    greatest = [value + _MILLISECOND if isinstance(value, datetime.datetime) else value for value in greatest]
    return list(zip(least, greatest, strict=True))
