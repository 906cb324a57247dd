"""One entry of a table's log: everything that a commit does to it. And what earlier entries say about its columns."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import pyarrow as pa
from dativo_protocols.errors import TargetError
from deltalake import DeltaTable

from dativo._evolution import evolve
from dativo.targets.delta._protocol import fields_of, upgraded
from dativo.targets.delta._types import arrow_type, delta_type, same_delta_type, stored_type
from dativo.targets.lakehouse import DataFile, TableCommit

__all__ = ["Entry", "table_columns"]

_SCHEMA = "dativo.schema"
_COLUMNS = "dativo.columns"


def table_columns(delta: DeltaTable, table: str) -> tuple[pa.Schema, dict[str, str]]:
    """The table's logical schema, and the kept names of its columns.

    What is kept of a column's type counts as long as Delta's is the one that it was given; others may have changed the table.

    Raises:
        TargetError: A type is of a Delta newer than this.
    """
    configuration = delta.metadata().configuration
    kept: dict[str, pa.Field] = {}
    if _SCHEMA in configuration:
        payload = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(configuration[_SCHEMA])))
        kept = {field.name: field for field in evolve(payload, pa.schema([])).schema}
    found = []
    for each in fields_of(delta):
        name, kind = each["name"], each["type"]
        if name in kept and same_delta_type(delta_type(stored_type(kept[name].type)), kind):
            found.append(kept[name])
            continue
        try:
            found.append(pa.field(name, arrow_type(kind)))
        except ValueError as error:
            raise TargetError(
                f"column `{name}` of Delta table `{table}` has a type that Dativo does not know: {error}", facts={"table": table}
            ) from error
    schema = evolve(pa.schema(found), pa.schema([])).schema
    names: dict[str, str] = json.loads(configuration.get(_COLUMNS, "{}"))
    return schema, names


class Entry:
    """A commit as a log entry.

    Args:
        delta: The table before it, or None for its first entry.
        app: The transaction's application.
        now: Milliseconds since 1970 UTC.
    """

    def __init__(self, table: str, delta: DeltaTable | None, commit: TableCommit, app: str, now: int) -> None:
        self._table = table
        self._delta = delta
        self._commit = commit
        self._app = app
        self._now = now

    def encode(self) -> bytes:
        """As JSON lines."""
        lines = (json.dumps(action, ensure_ascii=False, separators=(",", ":")) for action in self._actions())
        return ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass")

    def _actions(self) -> Iterator[dict[str, Any]]:
        commit, delta = self._commit, self._delta
        info = {key: value for key, value in commit.info.items() if value}
        yield {
            "commitInfo": {
                "timestamp": self._now,
                "operation": "CREATE TABLE" if delta is None else "WRITE",
                "operationParameters": {"mode": "Overwrite" if commit.replaces else "Append"},
                "engineInfo": "dativo",
                "dativo": {**info, "number": commit.mark.number, "app": commit.mark.app},
            }
        }
        stored = pa.schema([pa.field(field.name, stored_type(field.type)) for field in commit.schema])
        protocol = upgraded(delta, stored)
        if protocol is not None:
            yield {"protocol": protocol}
        yield from self._metadata(stored)
        yield {"txn": {"appId": self._app, "version": commit.mark.number, "lastUpdated": self._now}}
        if commit.removed and delta is not None and delta.metadata().configuration.get("delta.appendOnly", "").lower() == "true":
            raise TargetError(
                f"Delta table `{self._table}` only takes appended rows: `delta.appendOnly`",
                hint="use `write: append`",
                facts={"table": self._table},
            )
        for file in commit.removed:
            yield {"remove": self._remove(file)}
        for file in commit.added:
            yield {"add": self._add(file)}

    def _metadata(self, stored: pa.Schema) -> Iterator[dict[str, Any]]:
        commit, delta = self._commit, self._delta
        there = {} if delta is None or commit.replaces else {each["name"]: each for each in fields_of(delta)}
        fields = []
        for field in stored:
            kind = delta_type(field.type)
            old = there.get(field.name)
            new = {"name": field.name, "type": kind, "nullable": True, "metadata": {}}
            fields.append(new if old is None or not same_delta_type(old["type"], kind) else old)
        before = None if delta is None else delta.metadata()
        configuration = {} if before is None else dict(before.configuration)
        configuration[_SCHEMA] = base64.b64encode(commit.schema.serialize().to_pybytes()).decode()
        configuration[_COLUMNS] = json.dumps(dict(commit.columns), ensure_ascii=True, sort_keys=True)
        partitions = list(commit.partition_by) if before is None or commit.replaces else list(before.partition_columns)
        if (
            before is not None
            and delta is not None
            and configuration == before.configuration
            and partitions == list(before.partition_columns)
            and fields == fields_of(delta)
        ):
            return
        data: dict[str, Any] = {
            "id": str(uuid.uuid4()) if before is None else str(before.id),
            "format": {"provider": "parquet", "options": {}},
            "schemaString": json.dumps({"type": "struct", "fields": fields}, ensure_ascii=False, separators=(",", ":")),
            "partitionColumns": partitions,
            "configuration": configuration,
            "createdTime": self._now if before is None else before.created_time,
        }
        if before is not None and before.name:
            data["name"] = before.name
        if before is not None and before.description:
            data["description"] = before.description
        yield {"metaData": data}

    def _add(self, file: DataFile) -> dict[str, Any]:
        return {
            "path": quote(file.path.removeprefix(f"{self._table}/")),
            "partitionValues": _values(file.partition),
            "size": file.bytes,
            "modificationTime": self._now,
            "dataChange": True,
            "stats": file.details["stats"],
        }

    def _remove(self, file: DataFile) -> dict[str, Any]:
        return {
            "path": file.details["path"],
            "deletionTimestamp": self._now,
            "dataChange": True,
            "extendedFileMetadata": True,
            "partitionValues": _values(file.partition),
            "size": file.bytes,
        }


def _values(partition: Mapping[str, str | None]) -> dict[str, str | None]:
    return dict(partition)
