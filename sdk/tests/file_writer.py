"""The writer over Python lists, whose store is kept in a file: as another process can have it."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from dativo_protocols import Batch, ContractError, StreamId, TargetError
from dativo_sdk import Inspection, JobKey, Receipt, TableInfo, WriteCatalog

# Beside this file: a plugin's directory is on its path.
from memory_writer import Contents, MemoryWriter, Store


class FileWriter(MemoryWriter):
    """Every power there is; what goes wrong on demand."""

    write_modes = frozenset({"append", "overwrite", "merge"})

    def initialize(self, config: Mapping[str, Any], catalog: WriteCatalog) -> bytes | None:
        print("a line that is no reply")
        if config.get("fail") == "initialize":
            raise TargetError("the target is away", hint="wait for it", retryable=True, facts={"host": "db"})
        self.path, self.fail = Path(config["path"]), config.get("fail")
        self.versions: dict[str, int] = {}
        state: bytes | None = super().initialize({"store": stored(self.path)}, catalog)
        return state

    def write_batch(self, batch: Batch) -> None:
        if self.fail == "batch":
            raise ContractError("the batch does not fit", facts={"stream": str(batch.stream)})
        if self.fail == "exit":
            os._exit(9)
        super().write_batch(batch)

    def commit(self, state: bytes | None, *, final: bool = False) -> Receipt:
        receipt: Receipt = super().commit(state, final=final)
        keep(self.path, self.store.contents)
        return receipt

    def activate_version(self, stream: StreamId, version: int) -> None:
        if version < 0:
            raise ZeroDivisionError("no such version")

    def count_rows(self, stream: StreamId) -> int | None:
        table = self.store.contents.tables.get(stream)
        return None if table is None else len(table.rows)

    def column_names(self, stream: StreamId) -> Mapping[str, str]:
        return {"Über": "n_1"}

    def inspect(self, config: Mapping[str, Any], job: JobKey, streams: Sequence[StreamId]) -> Inspection:
        contents = stored(Path(config["path"])).contents
        tables = {each: TableInfo(each.name, table.schema, {}, len(table.rows)) for each, table in contents.tables.items()}
        return Inspection(contents.states.get(job), {**{each: TableInfo(each.name, None) for each in streams}, **tables})

    def rejected(self) -> Mapping[StreamId, int]:
        return {stream: len(rows) for stream, rows in self.store.contents.rejected.items()}

    def read_rejects(self, stream: StreamId) -> Iterator[pa.RecordBatch]:
        yield from pa.Table.from_pylist(list(self.store.contents.rejected.get(stream, ()))).to_batches()

    def remove_rejects(self, stream: StreamId, ids: Sequence[str]) -> None:
        if ids == ["none"]:
            raise TargetError("there is no row `none`")


def stored(path: Path) -> Store:
    """The store that the file has."""
    store = Store()
    if path.exists():
        store.contents = pickle.loads(path.read_bytes())
    return store


def keep(path: Path, contents: Contents) -> None:
    path.with_suffix(".new").write_bytes(pickle.dumps(contents))
    path.with_suffix(".new").rename(path)
