"""What a commit does to one table, as the intent keeps it: enough to apply it, and to work it out anew when the table has
changed."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from dativo_protocols import StreamId, frozen
from dativo_sdk import ConfiguredStream

from dativo._evolution import evolve
from dativo.targets.lakehouse._format import DataFile

__all__ = ["Activation", "Source", "TableChange", "pack_change", "unpack_change"]


@frozen
class Source:
    """A file of rows as they came, in logical types but stored as the format holds them.

    Attributes:
        stage: Index of its schema in `TableChange.stages`.
    """

    file: DataFile
    stage: int


@frozen
class Activation:
    """Of the rows that are there and the first `before` new ones, those whose `_dativo_version` is another are obsolete."""

    version: int
    before: int


@frozen
class TableChange:
    """One table's part of a commit.

    Attributes:
        stream: How it is written; for a quarantine, in the mode `append`.
        table: Its name.
        quarantine: Whether it is the stream's quarantine.
        base: `Snapshot.version` of the table that `added` and `removed` were worked out for, or None for a new one.
        stages: Logical schemas that the stream's columns went through in this commit, oldest first; the last one is the table's.
        columns: Original to table column names, complete.
        partition_by: Of a new or replaced table.
        sources: All new rows, in order. Where they can be added as they are, the same files as `added`.
        activation: Of a version, or None.
        taken_out: Of a quarantine: ids of rows that are to go.
        added: Files to add.
        removed: Paths of the base's files to remove.
    """

    stream: ConfiguredStream
    table: str
    quarantine: bool
    base: str | None
    stages: tuple[pa.Schema, ...]
    columns: Mapping[str, str]
    partition_by: tuple[str, ...]
    sources: tuple[Source, ...]
    activation: Activation | None
    taken_out: tuple[str, ...]
    added: tuple[DataFile, ...]
    removed: tuple[str, ...]

    @property
    def schema(self) -> pa.Schema:
        """The table's logical schema after the commit."""
        return self.stages[-1]

    @property
    def replaces(self) -> bool:
        """Whether the table's old rows all go."""
        return self.stream.write_mode == "overwrite"


def pack_schema(schema: pa.Schema) -> str:
    """As text."""
    return base64.b64encode(schema.serialize().to_pybytes()).decode()


def unpack_schema(text: str) -> pa.Schema:
    """The inverse; JSON comes as marked utf8, where pyarrow makes a type of its own of it."""
    return evolve(pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text))), pa.schema([])).schema


def pack_change(change: TableChange) -> dict[str, Any]:
    """As JSON values."""
    stream = change.stream
    return {
        "stream": stream.id.name,
        "namespace": stream.id.namespace,
        "mode": stream.write_mode,
        "key": list(stream.primary_key),
        "cursor": stream.cursor,
        "deletes": stream.deletes,
        "delete_mark": stream.delete_mark,
        "table": change.table,
        "quarantine": change.quarantine,
        "base": change.base,
        "stages": [pack_schema(schema) for schema in change.stages],
        "columns": dict(change.columns),
        "partition_by": list(change.partition_by),
        "sources": [{**_pack_file(source.file), "stage": source.stage} for source in change.sources],
        "activation": None if change.activation is None else [change.activation.version, change.activation.before],
        "taken_out": list(change.taken_out),
        "added": [_pack_file(file) for file in change.added],
        "removed": list(change.removed),
    }


def unpack_change(data: Mapping[str, Any]) -> TableChange:
    """The inverse.

    Raises:
        KeyError: Something is missing.
    """
    stream = ConfiguredStream(
        StreamId(data["stream"], data["namespace"]),
        data["mode"],
        tuple(data["key"]),
        data["cursor"],
        data["deletes"],
        data["delete_mark"],
    )
    return TableChange(
        stream,
        data["table"],
        data["quarantine"],
        data["base"],
        tuple(unpack_schema(text) for text in data["stages"]),
        data["columns"],
        tuple(data["partition_by"]),
        tuple(Source(_unpack_file(source), source["stage"]) for source in data["sources"]),
        None if data["activation"] is None else Activation(*data["activation"]),
        tuple(data["taken_out"]),
        tuple(_unpack_file(file) for file in data["added"]),
        tuple(data["removed"]),
    )


def _pack_file(file: DataFile) -> dict[str, Any]:
    return {
        "path": file.path,
        "rows": file.rows,
        "bytes": file.bytes,
        "partition": dict(file.partition),
        "details": dict(file.details),
    }


def _unpack_file(data: Mapping[str, Any]) -> DataFile:
    return DataFile(data["path"], data["rows"], data["bytes"], data["partition"], data["details"])
