"""The decoder and encoder in Rust (`protocols/python`, over the crates `dativo-stream` and `dativo-codec`)."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Literal, final

from dativo_protocols._messages import ArrowArrayExportable, ArrowSchemaExportable, Control, Message, StreamId

__all__ = [
    "AirbyteDecoder",
    "ArrowBatch",
    "ArrowSchema",
    "JsonLinesDecoder",
    "SingerDecoder",
    "arrow_json_schema",
    "canonical_batch",
    "canonical_rows",
    "canonical_schema",
    "decode_arrow_schema",
    "decode_json_lines",
    "encode_arrow_frame",
    "encode_arrow_schema",
    "encode_json_lines",
    "load_ahead",
    "split_states",
    "write_arrow_frame",
]

@final
class ArrowBatch:
    """An Arrow record batch, handed over without a copy (the batch stays valid after this object is gone).

    `pyarrow.record_batch`, `polars.from_arrow`, DuckDB and others take it as it is.
    """

    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]: ...
    def __arrow_c_schema__(self) -> object: ...
    @property
    def num_rows(self) -> int: ...
    @property
    def nbytes(self) -> int:
        """Bytes it holds in memory."""

@final
class ArrowSchema:
    """An Arrow schema; `pyarrow.schema` and others take it as it is."""

    def __arrow_c_schema__(self) -> object: ...

@final
class SingerDecoder:
    """Decodes what a Singer tap writes: an iterator of messages, decoded on threads of its own without the GIL.

    Order: a `Schema` comes before the `Batch`es it describes, and after those of the schema it replaces. A stream's rows keep
    their order. A `State` covers exactly the batches already given. Not every state is given: one that a later state covers may
    be left out (see `superseded_states`), and rows of different streams between two states may change places.

    Memory is bounded by `memory_budget_bytes`; only one record that is itself larger exceeds it, alone. When the consumer is
    slow, the decoder stops reading.

    Args:
        fd: What to read: a pipe, a socket or a file. It is duplicated; the caller keeps and closes his own.
        on_bad_value: `quarantine` (a bad row comes as `Rejects`), `null` (a bad cell becomes null, noted in `_dativo_changes`)
            or `fail`.
        nested: `json` (objects and arrays as JSON text, exact as sent) or `struct` for those with a known shape.
        extra: `keep` properties outside the schema in `_dativo_extra`, or `drop` them.
        metadata: Columns beside those of the record. `extracted_at`: each batch has `_dativo_extracted_at`, timestamp[us, UTC],
            the record's `time_extracted`; null where that is absent or no date-time. `version`: batches have `_dativo_version`,
            int64, null where a record has none; a batch of which no record has one goes without.
        fields: Per stream, the properties to keep; a stream that is missing keeps all. Key properties are always kept.
        types: Per stream and column, a type that beats the schema's, such as `decimal(38,10)`, `json`, `string`.
        max_record_bytes: A longer line is an error that names the stream and this limit.
        memory_budget_bytes: For everything between the input and the caller.
        threads: Decoder threads; 0 takes as many as there are cores, but not more than four.

    Raises:
        ValueError: An option has no such value.
        OSError: `fd` is not open.
    """

    def __new__(
        cls,
        fd: int,
        *,
        on_bad_value: Literal["quarantine", "null", "fail"] = "quarantine",
        nested: Literal["json", "struct"] = "json",
        extra: Literal["keep", "drop"] = "keep",
        metadata: Sequence[Literal["extracted_at", "version"]] | None = None,
        fields: Mapping[str, Sequence[str]] | None = None,
        types: Mapping[str, Mapping[str, str]] | None = None,
        max_record_bytes: int = 134_217_728,
        memory_budget_bytes: int = 100_663_296,
        threads: int = 0,
    ) -> SingerDecoder: ...
    def __iter__(self) -> SingerDecoder: ...
    def __next__(self) -> Message:
        """The next message; waits for it without the GIL, and reacts to signals meanwhile.

        Raises:
            StopIteration: The input ended well, and everything was given.
            ConnectorError: The input breaks the protocol, ends in the middle of a line, or the decoder was closed before its
                end. Raised once, after all messages before that place. Facts: `stream`, `line`.
            ContractError: A bad value or record, and `on_bad_value` is `fail`. Facts: `stream`, `line`, `column`.
            ConfigError: `types` or `fields` name what the stream does not have. Facts: `stream`, `line`.
        """

    def close(self) -> None:
        """Ends the threads and closes the duplicate of `fd`; from any thread, also while another one waits in `__next__`."""

    @property
    def rows_in(self) -> dict[StreamId, int]:
        """Records seen per stream, broken ones (`_unknown` where they do not say) and those of BATCH files decoded here too."""

    @property
    def bytes_in(self) -> int:
        """Bytes read."""

    @property
    def lines_in(self) -> int:
        """Lines read, blank ones too."""

    @property
    def idle_seconds(self) -> float:
        """For how long there has been nothing to read; 0.0 while there is, and while a slow caller holds the input back."""

    @property
    def superseded_states(self) -> int:
        """States that were not given because a later one covers more."""

@final
class AirbyteDecoder:
    """Decodes what an Airbyte source writes, with the order, bounds and options of `SingerDecoder`.

    Streams are those of the configured catalog, whose schemas give the columns. Every column may be null, keys too, because
    sources leave nulls out. The `Schema` of a stream comes before its first batch; those of streams that sent no record come
    at the end of an input that ended well. A key with properties within others is no key of columns: such a `Schema` has none.

    A `State` holds all that the source must be given the next time: `state`, with every state merged that it has said since. A
    stream's own state covers that stream's rows. So rows of streams that are read incrementally, which come in turns, wait for
    their states; where memory does not allow that, states wait instead, until there is one that covers all rows given. The last
    state of an input that ends well is always given.

    LOG, TRACE, CONTROL, SPEC, CATALOG and CONNECTION_STATUS become messages as soon as their turn comes; rows sent before them
    may come later. A CONTROL can be had before that: `next_control`. Changes that the source says it made to a record
    (`meta.changes`) are in `_dativo_changes`, its file reference is in `_dativo_extra` as `_airbyte_file_reference`.

    BATCH and REJECTS frames (docs/arrow-protocol.md) are decoded like RECORD lines, with the same order, counts and bounds;
    their batches have canonical types (`canonical_batch`), without a copy where they had them. A frame whose schema is not
    that of the one before has a new `Schema` before its batch. What a stream that sent nothing is announced with is the
    `arrow_schema` of its catalog entry, if any. `types` and `fields` hold for frames too; a type that a column cannot have is
    a ConfigError. A value that would be changed is a bad value: its row's `line` is its number among the stream's rows, its
    record is the row as JSON. The key must be among a frame's columns.

    Args:
        fd: As in `SingerDecoder`.
        catalog: The ConfiguredAirbyteCatalog as handed to the source. None or empty where it is not to read: a RECORD is an
            error then.
        state: The state handed to the source: a list of states, or a bare LEGACY one.
        metadata: As in `SingerDecoder`; `extracted_at` is the record's `emitted_at`, and there are no versions.
        fields: Per stream, the properties to keep; a stream that is missing keeps all.
        types: Per stream and column, a type that beats the schema's.

    Raises:
        ValueError: An option has no such value.
        OSError: `fd` is not open.
        ConfigError: `catalog` or `state` is none, or `types` name an unknown type.
        ConnectorError: A schema of the catalog refers to nothing. Facts: `stream`.
    """

    def __new__(
        cls,
        fd: int,
        *,
        catalog: bytes | None = None,
        state: bytes | None = None,
        on_bad_value: Literal["quarantine", "null", "fail"] = "quarantine",
        nested: Literal["json", "struct"] = "json",
        extra: Literal["keep", "drop"] = "keep",
        metadata: Sequence[Literal["extracted_at", "version"]] | None = None,
        fields: Mapping[StreamId, Sequence[str]] | None = None,
        types: Mapping[StreamId, Mapping[str, str]] | None = None,
        max_record_bytes: int = 134_217_728,
        memory_budget_bytes: int = 100_663_296,
        threads: int = 0,
    ) -> AirbyteDecoder: ...
    def __iter__(self) -> AirbyteDecoder: ...
    def __next__(self) -> Message:
        """The next message; waits for it without the GIL, and reacts to signals meanwhile.

        Raises:
            StopIteration: The input ended well, and everything was given. Whether the source is done, its exit status says.
            ConnectorError: The input breaks the protocol, ends in the middle of a line, has a RECORD of a stream that is
                not in the catalog, or a state whose `sourceStats` do not agree with the records that came; a frame is cut,
                is no Arrow IPC stream, or has not the rows that its header says; or the decoder was closed before its end.
                Raised once, after all messages before that place. Facts: `stream`, `line`.
            ContractError: A bad value or record, and `on_bad_value` is `fail`; or a value of a frame that would be changed.
                Facts: `stream`, `line`, `column`.
            ConfigError: `types` name a type that a frame's column cannot have. Facts: `stream`, `line`, `column`.
        """

    def next_control(self) -> Control | None:
        """Waits, without the GIL, for the source's next new configuration; None when no other can come, also after `close`.

        For a thread of its own: it is there as soon as it is read, while `__next__` gives it again when its turn comes. Of
        several that nobody waited for, only the last.

        Raises:
            ConnectorError: It cannot be parsed.
        """

    def close(self) -> None:
        """Ends the threads and closes the duplicate of `fd`; from any thread, also while another one waits in `__next__`."""

    @property
    def rows_in(self) -> dict[StreamId, int]:
        """Records seen per stream, and broken ones (`_unknown` where they do not say)."""

    @property
    def bytes_in(self) -> int:
        """Bytes read."""

    @property
    def lines_in(self) -> int:
        """Lines read, blank ones too."""

    @property
    def idle_seconds(self) -> float:
        """For how long there has been nothing to read; 0.0 while there is, and while a slow caller holds the input back."""

    @property
    def superseded_states(self) -> int:
        """States that were not given because a later one covers more."""

@final
class JsonLinesDecoder:
    """Batches of a JSON lines file, decoded on threads of its own; memory stays bounded."""

    def __iter__(self) -> JsonLinesDecoder: ...
    def __next__(self) -> ArrowBatch:
        """The next batch.

        Raises:
            StopIteration: The file was read to its end.
            ContractError: A record does not fit the schema. Facts: `line`, `column`.
            ConnectorError: The file cannot be read, or a record is longer than 128 MiB.
        """

    def close(self) -> None:
        """Ends the threads and closes the file; from any thread."""

def decode_json_lines(
    path: str | PathLike[str],
    schema: ArrowSchemaExportable,
    *,
    compression: Literal["gzip"] | None = None,
    coerce: bool = True,
) -> JsonLinesDecoder:
    """Reads a file of JSON objects, one a line, as batches of `schema`, in the file's order.

    Properties outside the schema are skipped; absent ones are null.

    Args:
        path: A local file.
        schema: Arrow types as the decoder makes them.
        compression: `gzip`, or None.
        coerce: Text columns take numbers and booleans as their exact text, columns of numbers take text that holds a number.

    Raises:
        OSError: The file cannot be opened.
        TypeError: The schema has a type that JSON lines cannot give.
    """

def encode_json_lines(batch: ArrowArrayExportable) -> bytes:
    """One JSON object and a line feed per row of a record batch; what `decode_json_lines` reads back as the same values.

    Raises:
        TypeError: The batch has a type, or a date, that has no JSON form.
    """

def split_states(data: bytes) -> tuple[dict[StreamId, bytes], bytes | None]:
    """The states of streams, and what all share, in an array of Airbyte's states; each with the bytes that it has there.

    Raises:
        ValueError: It is neither a list of states nor a JSON object; a bare object is a LEGACY state, shared by all.
    """

def encode_arrow_frame(
    stream: StreamId,
    data: ArrowArrayExportable,
    *,
    kind: Literal["batch", "rejects"] = "batch",
    emitted_at: int | None = None,
) -> bytes:
    """A BATCH or REJECTS message of the Arrow protocol: its header line, and the batch as an Arrow IPC stream.

    Args:
        data: A record batch; its buffers are copied once.
        kind: `rejects`: rows that could not be read as rows of their stream; columns as in `Rejects`.
        emitted_at: When the rows were read, in milliseconds since the epoch.

    Raises:
        TypeError: The batch has a type that Arrow IPC cannot carry.
        ValueError: There is no such kind.
    """

def write_arrow_frame(
    fd: int,
    stream: StreamId,
    data: ArrowArrayExportable,
    *,
    kind: Literal["batch", "rejects"] = "batch",
    emitted_at: int | None = None,
) -> int:
    """Writes what `encode_arrow_frame` gives to a pipe, socket or file, all of it, without copying buffers and without the GIL.

    Whoever writes lines to the same descriptor through a buffer flushes that one first.

    Returns:
        The number of bytes written.

    Raises:
        TypeError: The batch has a type that Arrow IPC cannot carry. Nothing was written.
        ValueError: There is no such kind. Nothing was written.
        OSError: It cannot be written; `BrokenPipeError` where nobody reads any more.
    """

def encode_arrow_schema(schema: ArrowSchemaExportable) -> str:
    """A schema as catalogs have it under `arrow_schema`: an Arrow IPC schema message in base64.

    Raises:
        TypeError: The schema has a type that Arrow IPC cannot carry.
    """

def decode_arrow_schema(text: str) -> ArrowSchema:
    """The schema that `encode_arrow_schema`, or another library, wrote.

    Raises:
        ValueError: It is no base64, or no schema message.
    """

def canonical_batch(batch: ArrowArrayExportable, *, nested: Literal["json", "struct"] = "json") -> ArrowBatch:
    """The batch with the types that targets take, without loss; columns that have them already are not copied.

    Columns keep their names and order, but for those that are named like Dativo's own (`_dativo_extra` and the like), which get a
    `_` at their end. Types: the table in docs/types.md. Metadata is dropped, but for the mark of JSON text.

    Args:
        nested: What lists, structs and maps become: `json` text, exact, or `struct` (and lists of them).

    Raises:
        ContractError: A value would be changed, such as a nanosecond that is no whole microsecond, a type has no form
            without loss, or a column has more than 2 GiB of text. Facts: `column`.
        ConnectorError: Two columns have one name. Facts: `column`.
        ValueError: There is no such `nested`.
    """

def canonical_rows(
    batch: ArrowArrayExportable,
    *,
    on_bad_value: Literal["quarantine", "null", "fail"] = "quarantine",
    nested: Literal["json", "struct"] = "json",
    fields: set[str] | frozenset[str] | None = None,
    types: dict[str, str] | None = None,
    key: set[str] | frozenset[str] | None = None,
) -> tuple[ArrowBatch, ArrowBatch | None]:
    """`canonical_batch`, with what a job says about columns, and about values that would be changed.

    Args:
        on_bad_value: `quarantine` sets the row aside, `null` nulls the value and notes that in `_dativo_changes` (JSON text, as
            decoders do), `fail` raises. A null in the `key`, or in a column that is not nullable, sets the row aside.
        fields: Columns to keep; None keeps all.
        types: Types that beat the batch's, by column.
        key: Columns of the primary key.

    Returns:
        The rows, and those that were set aside, if any: `line` int64, the row's place in the batch from 0 on, `column`,
        `reason`, `record`: the row as a JSON object.

    Raises:
        ConfigError: A column cannot have the type that `types` names. Facts: `column`.
        ContractError: As `canonical_batch`; of values only with `fail`.
        ConnectorError: Two columns have one name. Facts: `column`.
        ValueError: There is no such choice.
    """

def canonical_schema(
    schema: ArrowSchemaExportable,
    *,
    nested: Literal["json", "struct"] = "json",
    fields: set[str] | frozenset[str] | None = None,
    types: dict[str, str] | None = None,
) -> ArrowSchema:
    """The schema of what `canonical_batch` makes of batches of this one, or `canonical_rows` with the same `fields` and `types`.

    Raises:
        ContractError: A type has no form without loss. Facts: `column`.
        ConnectorError: Two columns have one name. Facts: `column`.
        ValueError: There is no such `nested`.
    """

def arrow_json_schema(schema: ArrowSchemaExportable) -> dict[str, Any]:
    """A JSON Schema for rows of an Arrow schema, as Airbyte catalogs have it; the decoders make the same columns of it,
    as near as JSON Schema can say them. What has no JSON form has a schema that allows everything.
    """

def load_ahead(libraries: Sequence[str | PathLike[str]]) -> None:
    """Begins to load shared libraries, in their order, on a thread that does not hold the GIL.

    An import of one that is not there yet waits for it; one that cannot be loaded fails when it is imported.
    """
