"""What a connector says, whatever protocol it speaks.

Messages are made per batch, never per record. `Batch.data` and `Schema.data` hand Arrow data over through the
[Arrow PyCapsule interface](https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html), without a copy.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

from dativo_protocols._frozen import frozen

__all__ = [
    "ArrowArrayExportable",
    "ArrowSchemaExportable",
    "Batch",
    "BatchFiles",
    "Catalog",
    "CatalogStream",
    "ConnectionStatus",
    "Control",
    "Estimate",
    "Log",
    "Message",
    "Rejects",
    "Schema",
    "Spec",
    "State",
    "StreamId",
    "StreamStatus",
    "Trace",
    "TraceError",
    "Version",
]


class StreamId(NamedTuple):
    """A stream's identity: one name in two namespaces is two streams."""

    name: str
    namespace: str | None = None

    def __str__(self) -> str:
        return self.name if self.namespace is None else f"{self.namespace}.{self.name}"


class ArrowArrayExportable(Protocol):
    """An Arrow record batch by the PyCapsule interface."""

    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]: ...


class ArrowSchemaExportable(Protocol):
    """An Arrow schema by the PyCapsule interface."""

    def __arrow_c_schema__(self) -> object: ...


@frozen
class Spec:
    """What a connector can be configured with.

    Attributes:
        config_schema: JSON Schema of the configuration; empty when the connector has none to offer.
        raw: What the connector said, as parsed.
    """

    config_schema: dict[str, Any]
    raw: dict[str, Any] = field(default_factory=dict)


@frozen
class ConnectionStatus:
    """Whether a configuration works."""

    succeeded: bool
    message: str = ""


@frozen
class CatalogStream:
    """One stream a connector offers.

    Attributes:
        id: Its identity in messages.
        json_schema: JSON Schema of its records.
        primary_key: Property names, possibly none. A property within another one is named by its path, joined with `.`.
        cursor: Property names that order its changes, possibly none; likewise.
        replication_methods: Any of `FULL_TABLE`, `INCREMENTAL`, `LOG_BASED`; empty when the connector does not say.
        raw: The catalog entry as the connector wrote it; handed back to it with the selection filled in.
        data: The exact Arrow schema of its batches, where the connector speaks Arrow and knows it.
    """

    id: StreamId
    json_schema: dict[str, Any]
    primary_key: tuple[str, ...] = ()
    cursor: tuple[str, ...] = ()
    replication_methods: tuple[str, ...] = ()
    raw: dict[str, Any] = field(default_factory=dict)
    data: ArrowSchemaExportable | None = None


@frozen
class Catalog:
    """The streams a connector offers, in its own order."""

    streams: tuple[CatalogStream, ...]
    raw: dict[str, Any] = field(default_factory=dict)


@frozen
class Schema:
    """A stream was announced, or its schema changed. Comes before the batches it describes.

    Attributes:
        data: The Arrow schema of the batches that follow. `_dativo_extra` and `_dativo_changes` (JSON text) are not in it:
            a batch has them only where needed, behind these columns, and so `_dativo_version`. `_dativo_extracted_at` is in it
            where it was asked for; a batch has it behind `_dativo_changes`.
        json_schema: The JSON Schema exactly as sent; of Airbyte sources, as it stands in the configured catalog.
        primary_key: Singer's `key_properties`; the configured catalog's primary key, else the source's own.
        cursor: `bookmark_properties`; the configured catalog's cursor, else the source's default.
    """

    stream: StreamId
    data: ArrowSchemaExportable
    json_schema: bytes
    primary_key: tuple[str, ...] = ()
    cursor: tuple[str, ...] = ()


@frozen
class Batch:
    """Rows of one stream, in the order the connector sent them.

    Attributes:
        data: An Arrow record batch; original column names, which may be any text.
        rows: Its number of rows.
        nbytes: Its size in memory, in bytes.
    """

    stream: StreamId
    data: ArrowArrayExportable
    rows: int
    nbytes: int


@frozen
class Rejects:
    """Rows that went to quarantine instead of a batch.

    Attributes:
        stream: Their stream; `StreamId("_unknown")` where a broken line does not say.
        data: Columns `line` int64 (1-based line of the connector's output), `column` utf8 (null when the whole record is bad),
            `reason` utf8, `record` binary (the record's JSON exactly as sent; the whole line when it does not parse).
        rows: Its number of rows.
    """

    stream: StreamId
    data: ArrowArrayExportable
    rows: int


@frozen
class State:
    """A barrier: covers all rows that came before it, and none that come after.

    Attributes:
        data: What the connector is to be given the next time, as JSON. Of Singer taps, the state exactly as sent. Of Airbyte
            sources, the array of states merged per stream, with the bytes of each state as sent (a LEGACY one is bare).
        stream: The stream it covers, or None for all.
    """

    data: bytes
    stream: StreamId | None = None


@frozen
class Version:
    """ACTIVATE_VERSION: rows of older versions of the stream are obsolete."""

    stream: StreamId
    version: int


@frozen
class BatchFiles:
    """BATCH: rows of a stream in files, in order, to be removed once they are durable.

    Attributes:
        format: `jsonl`, `parquet` or `arrow`.
        compression: `gzip`, or None.
        files: URLs or paths as in the manifest.
        decoded: Whether their rows came as batches before this message. Otherwise the reader of this message decodes them.
    """

    stream: StreamId
    format: str
    compression: str | None
    files: tuple[str, ...]
    decoded: bool = False


@frozen
class Log:
    """A log line: an unknown message, or noise on stdout (without its secrets only after the engine masked it)."""

    level: Literal["debug", "info", "warning", "error"]
    message: str


@frozen
class TraceError:
    """The connector says that it, or one of its streams, has failed.

    Attributes:
        message: For the user.
        internal_message: What failed, in the connector's own words, or None.
        stack_trace: Or None.
        failure_type: Who can mend it: the user (`config_error`), the connector's makers (`system_error`), or time
            (`transient_error`). None where the connector does not say, or says something else.
        stream: The stream concerned, or None.
    """

    message: str
    internal_message: str | None = None
    stack_trace: str | None = None
    failure_type: Literal["config_error", "system_error", "transient_error"] | None = None
    stream: StreamId | None = None


@frozen
class Estimate:
    """How much the connector thinks it will send in this run.

    Attributes:
        stream: The stream meant; None for the run as a whole.
        rows: Or None.
        nbytes: Or None.
        kind: `STREAM`, or `SYNC` for the run as a whole.
    """

    stream: StreamId | None
    rows: int | None
    nbytes: int | None
    kind: Literal["STREAM", "SYNC"]


@frozen
class StreamStatus:
    """How far the connector is with a stream.

    Attributes:
        rate_limited_until: When the quota that holds the stream up is reset, in seconds since the epoch; `inf` where the
            connector waits for a quota and does not say until when; None when it does not wait.
    """

    stream: StreamId
    status: Literal["STARTED", "RUNNING", "COMPLETE", "INCOMPLETE"]
    rate_limited_until: float | None = None


@frozen
class Control:
    """The connector has changed its configuration, and needs the new one the next time it is started.

    Attributes:
        config: The new configuration, as parsed.
        emitted_at: When it was sent, in seconds since the epoch, or None.
        raw: The new configuration exactly as sent.
    """

    config: dict[str, Any]
    emitted_at: float | None
    raw: bytes


Trace: TypeAlias = TraceError | Estimate | StreamStatus
Message: TypeAlias = (
    Schema | Batch | Rejects | State | Version | BatchFiles | Log | Spec | ConnectionStatus | Catalog | Trace | Control
)
