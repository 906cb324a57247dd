"""One commit of a file target as data: what it adds and removes, and the picture that all commits together give.

`docs/files.md` describes the JSON. A record that this version does not understand is refused, never guessed at.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from dativo_protocols import StreamId, frozen
from dativo_sdk import JobKey

VERSION = 1


@frozen
class DataFile:
    """A finished file.

    Attributes:
        path: Relative to the dataset, with `/`.
        bytes: Its size.
        schema: Id of the Arrow schema it was written with.
        reading: What a reader must know besides that and the end of the name, such as the dialect of a CSV file.
        instead_of: The file whose place in the order it takes, in the record that removes that one.
    """

    path: str
    rows: int
    bytes: int
    schema: str
    reading: dict[str, Any] = field(default_factory=dict, hash=False)
    instead_of: str | None = None


@dataclass(slots=True)
class TableChange:
    """What one commit does to one stream's table and to its quarantine.

    Attributes:
        schema: Id of the table's schema after the commit; None for a stream that has a quarantine only.
        passed: Ids of the schemas that it had before, oldest first, as far as a type was another; complete.
        columns: Original to safe name, complete.
        removed: Paths of files that are replaced.
        quarantine: Name of the quarantine table, once there is one.
    """

    stream: StreamId
    table: str
    schema: str | None
    passed: list[str] = field(default_factory=list)
    columns: dict[str, str] = field(default_factory=dict)
    added: list[DataFile] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    quarantine: str | None = None
    rejects_added: list[DataFile] = field(default_factory=list)
    rejects_removed: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Record:
    """One commit.

    Attributes:
        time: Seconds since the epoch.
        state: Exactly as the source gave it; None keeps the job's older one.
        generation: On stores without locks, the number of the record that opened the run: of the job's runs only the one that
            was opened last commits.
        opening: Some random text in the record that opens a run; None in others.
        schemas: Arrow schemas new in this commit: id to IPC bytes.
    """

    number: int
    time: int
    job: JobKey
    run: str
    state: bytes | None
    final: bool
    generation: int | None = None
    opening: str | None = None
    tables: list[TableChange] = field(default_factory=list)
    schemas: dict[str, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class Table:
    """A stream's table as the commits left it. `schema` is None while there is only a quarantine."""

    table: str
    schema: str | None = None
    passed: list[str] = field(default_factory=list)
    columns: dict[str, str] = field(default_factory=dict)
    files: dict[str, DataFile] = field(default_factory=dict)
    quarantine: str | None = None
    rejects: dict[str, DataFile] = field(default_factory=dict)


@dataclass(slots=True)
class Picture:
    """What all commits up to `number` give.

    Attributes:
        removed: Files that were replaced, with the time of the commit that did it; deleted later, for the sake of readers.
        generations: Of each job that writes to a store without locks, the run that was opened last.
    """

    number: int = 0
    states: dict[JobKey, bytes] = field(default_factory=dict)
    tables: dict[StreamId, Table] = field(default_factory=dict)
    schemas: dict[str, bytes] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    generations: dict[JobKey, int] = field(default_factory=dict)

    def apply(self, record: Record) -> None:
        """Makes this the picture after the record."""
        self.number = record.number
        self.schemas.update(record.schemas)
        if record.state is not None:
            self.states[record.job] = record.state
        if record.opening is not None:
            self.generations[record.job] = record.number
        for change in record.tables:
            table = self.tables.setdefault(change.stream, Table(change.table))
            table.schema, table.passed, table.columns = change.schema, list(change.passed), dict(change.columns)
            table.quarantine = change.quarantine
            table.files = _exchanged(table.files, change.removed, change.added)
            table.rejects = _exchanged(table.rejects, change.rejects_removed, change.rejects_added)
            self.removed.update(dict.fromkeys((*change.removed, *change.rejects_removed), record.time))

    def paths(self) -> set[str]:
        """Every file that a reader may need: those of the tables and those replaced a short while ago."""
        live = {path for table in self.tables.values() for path in (*table.files, *table.rejects)}
        return live | set(self.removed)


def _exchanged(files: dict[str, DataFile], removed: list[str], added: list[DataFile]) -> dict[str, DataFile]:
    gone, found = set(removed), {}
    for path, file in files.items():
        if path not in gone:
            found[path] = file
        else:
            found.update((new.path, new) for new in added if new.instead_of == path)
    found.update((new.path, new) for new in added)
    return found


def encode(record: Record, picture: Picture | None = None) -> bytes:
    """The record as JSON; with the picture after it when given."""
    document: dict[str, Any] = {
        "version": VERSION,
        "number": record.number,
        "time": datetime.fromtimestamp(record.time, UTC).isoformat().replace("+00:00", "Z"),
        "tenant": record.job.tenant,
        "job": record.job.job,
        "run": record.run,
        "final": record.final,
        "state": pack_state(record.state),
        "tables": [_change_out(change) for change in record.tables],
        "schemas": _schemas_out(record.schemas),
    }
    if record.generation is not None:
        document |= {"generation": record.generation, "opening": record.opening}
    if picture is not None:
        document["picture"] = _picture_out(picture)
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def decode(payload: bytes) -> tuple[Record, Picture | None]:
    """The inverse of `encode`.

    Raises:
        ValueError: The payload is damaged, or was written by a newer version.
    """
    try:
        document = json.loads(payload)
        if document["version"] != VERSION:
            raise ValueError(f"version {document['version']} is not known; this Dativo knows version {VERSION}")
        record = Record(
            number=document["number"],
            time=int(datetime.fromisoformat(document["time"].replace("Z", "+00:00")).timestamp()),
            job=JobKey(document["tenant"], document["job"]),
            run=document["run"],
            state=unpack_state(document["state"]),
            final=document["final"],
            generation=document.get("generation"),
            opening=document.get("opening"),
            tables=[_change_in(change) for change in document["tables"]],
            schemas=_schemas_in(document["schemas"]),
        )
        return record, _picture_in(document["picture"], record.number) if "picture" in document else None
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a commit record: {error!r}") from error


def pack_state(state: bytes | None) -> dict[str, str] | None:
    """Text where it is UTF-8, so that people can read it; the bytes come back exactly either way."""
    if state is None:
        return None
    try:
        return {"text": state.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(state).decode()}


def unpack_state(state: dict[str, str] | None) -> bytes | None:
    """The inverse of `pack_state`."""
    if state is None:
        return None
    return state["text"].encode() if "text" in state else base64.b64decode(state["base64"])


def _schemas_out(schemas: dict[str, bytes]) -> dict[str, str]:
    return {name: base64.b64encode(schema).decode() for name, schema in schemas.items()}


def _schemas_in(schemas: dict[str, str]) -> dict[str, bytes]:
    return {name: base64.b64decode(schema) for name, schema in schemas.items()}


def _files_out(files: list[DataFile]) -> list[dict[str, Any]]:
    return [
        {"path": file.path, "rows": file.rows, "bytes": file.bytes, "schema": file.schema}
        | ({"reading": file.reading} if file.reading else {})
        | ({"instead_of": file.instead_of} if file.instead_of else {})
        for file in files
    ]


def _files_in(files: list[dict[str, Any]]) -> list[DataFile]:
    return [
        DataFile(file["path"], file["rows"], file["bytes"], file["schema"], file.get("reading", {}), file.get("instead_of"))
        for file in files
    ]


def _change_out(change: TableChange) -> dict[str, Any]:
    return {
        "stream": change.stream.name,
        "namespace": change.stream.namespace,
        "table": change.table,
        "schema": change.schema,
        "passed": change.passed,
        "columns": change.columns,
        "added": _files_out(change.added),
        "removed": change.removed,
        "quarantine": change.quarantine,
        "rejects_added": _files_out(change.rejects_added),
        "rejects_removed": change.rejects_removed,
    }


def _change_in(change: dict[str, Any]) -> TableChange:
    return TableChange(
        stream=StreamId(change["stream"], change["namespace"]),
        table=change["table"],
        schema=change["schema"],
        passed=change.get("passed", []),
        columns=change["columns"],
        added=_files_in(change["added"]),
        removed=change["removed"],
        quarantine=change["quarantine"],
        rejects_added=_files_in(change["rejects_added"]),
        rejects_removed=change["rejects_removed"],
    )


def _picture_out(picture: Picture) -> dict[str, Any]:
    return {
        "states": [{"tenant": job.tenant, "job": job.job, "state": pack_state(state)} for job, state in picture.states.items()],
        "tables": [
            {
                "stream": stream.name,
                "namespace": stream.namespace,
                "table": table.table,
                "schema": table.schema,
                "passed": table.passed,
                "columns": table.columns,
                "files": _files_out(list(table.files.values())),
                "quarantine": table.quarantine,
                "rejects": _files_out(list(table.rejects.values())),
            }
            for stream, table in picture.tables.items()
        ],
        "schemas": _schemas_out(picture.schemas),
        "removed": picture.removed,
        "generations": [{"tenant": job.tenant, "job": job.job, "number": number} for job, number in picture.generations.items()],
    }


def _picture_in(picture: dict[str, Any], number: int) -> Picture:
    return Picture(
        number=number,
        states={JobKey(entry["tenant"], entry["job"]): unpack_state(entry["state"]) or b"" for entry in picture["states"]},
        tables={
            StreamId(entry["stream"], entry["namespace"]): Table(
                table=entry["table"],
                schema=entry["schema"],
                passed=entry.get("passed", []),
                columns=entry["columns"],
                files={file.path: file for file in _files_in(entry["files"])},
                quarantine=entry["quarantine"],
                rejects={file.path: file for file in _files_in(entry["rejects"])},
            )
            for entry in picture["tables"]
        },
        schemas=_schemas_in(picture["schemas"]),
        removed=picture["removed"],
        generations={JobKey(entry["tenant"], entry["job"]): entry["number"] for entry in picture.get("generations", [])},
    )
