"""One stream of a connector as an Arrow stream."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from dativo_engines import Reading
from dativo_protocols import Batch, Message, Rejects, Schema, State, StreamId
from dativo_protocols.errors import ConnectorError, ContractError, DativoError

from dativo._selection import matches

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["BadValues", "Extra", "StreamReader"]

BadValues: TypeAlias = Literal["fail", "null", "quarantine"]
Extra: TypeAlias = Literal["fail", "keep", "drop"]

EXTRA = "_dativo_extra"
CHANGES = "_dativo_changes"


class StreamReader:
    """A stream of Arrow batches. pyarrow, polars and DuckDB take it as it is: it has `__arrow_c_stream__`.

    Reading goes on as fast as batches are taken, and holds a few of them at most: the connector waits for the consumer. Every
    pass over the rows runs the connector anew; asking for the schema starts the run that the next pass uses.

    The columns are those of the first schema that the connector announces, and stay the same for the whole stream: with
    `extra="keep"` there is a last column `_dativo_extra`, with `on_bad_value="null"` a column `_dativo_changes` (both JSON text),
    null where there is nothing to say. When the connector announces another schema in the middle, columns that are gone are
    null, types that fit are cast without loss, and anything else is a `ContractError`: nothing is dropped in silence.

    Iterating raises `ConnectorError` when the connector failed and `ContractError` for data that does not fit. A consumer in
    another language sees these as its own error, with the same text.
    """

    def __init__(
        self,
        stream: str,
        start: Callable[[], Reading],
        *,
        limit: int | None,
        nulled: bool,
        on_reject: Callable[[pa.RecordBatch], None] | None,
        extra: Extra,
    ) -> None:
        self.name = stream
        self._start = start
        self._limit = limit
        self._nulled = nulled
        self._on_reject = on_reject
        self._extra = extra
        self._schema: pa.Schema | None = None
        self._pending: _Pass | None = None
        self._open: list[_Pass] = []
        self._state: bytes | None = None

    @property
    def schema(self) -> pa.Schema:
        """The columns; starts the connector and waits for the stream's schema.

        Raises:
            ConnectorError: It failed, or ended without announcing the stream.
        """
        if self._schema is None:
            self._pending = self._begin()
            self._schema = self._pending.schema
        return self._schema

    @property
    def state(self) -> bytes | None:
        """The newest state that covers only rows already handed out, exactly as the connector sent it."""
        return self._state

    def __arrow_c_schema__(self) -> object:
        return self.schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        import pyarrow as pa

        return pa.RecordBatchReader.from_batches(self.schema, self.batches()).__arrow_c_stream__(requested_schema)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows, batch by batch, all of `schema`; leaving the loop early ends the connector."""
        schema = self.schema
        left = self._limit
        one, self._pending = self._pending or self._begin(), None
        try:
            while left is None or left > 0:
                batch = one.next()
                if batch is None:
                    break
                if left is not None:
                    batch = batch.slice(0, left)
                    left -= batch.num_rows
                yield _conform(batch, schema, self.name, self._extra)
                self._state = one.state
        finally:
            one.close()
            self._open.remove(one)
        if left is None or left > 0:
            self._state = one.state

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self.batches()

    def to_arrow(self) -> pa.Table:
        """All rows in memory."""
        import pyarrow as pa

        return pa.Table.from_batches(self.batches(), self.schema)

    def to_pandas(self) -> Any:
        """All rows as a pandas frame; pandas must be installed."""
        return self.to_arrow().to_pandas()

    def close(self) -> None:
        """Ends the connector, if it runs. May be called twice."""
        self._pending = None
        while self._open:
            self._open.pop().close()

    def __enter__(self) -> StreamReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()

    def _begin(self) -> _Pass:
        one = _Pass(self.name, self._start(), self._nulled, self._extra == "keep", self._on_reject)
        self._open.append(one)
        return one


class _Pass:
    """One run of the connector, stopped at the first schema of the stream."""

    def __init__(
        self, name: str, reading: Reading, nulled: bool, keep_extra: bool, on_reject: Callable[[pa.RecordBatch], None] | None
    ) -> None:
        self.state: bytes | None = None
        self._name = name
        self._on_reject = on_reject
        self._stream: StreamId | None = None
        self._rows = self._rejects = 0
        self._reading: Reading | None = reading
        reading.__enter__()
        try:
            self._messages: Iterator[Message] = iter(reading)
            self.schema = self._first_schema(nulled, keep_extra)
        except BaseException:
            self.close()
            raise

    def next(self) -> pa.RecordBatch | None:
        """The next batch with rows, or None at the end."""
        import pyarrow as pa

        if self._reading is None:
            raise ConnectorError(f"the reader of stream `{self._name}` is closed")
        for message in self._messages:
            if isinstance(message, Batch) and message.stream == self._stream:
                self._rows += message.rows
                if message.rows:
                    return pa.record_batch(message.data)
            else:
                self._note(message)
        self._check(self._reading)
        return None

    def close(self) -> None:
        """Ends the connector. May be called twice."""
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.__exit__(None, None, None)

    def _first_schema(self, nulled: bool, keep_extra: bool) -> pa.Schema:
        import pyarrow as pa

        for message in self._messages:
            if isinstance(message, Schema) and matches(self._name, message.stream):
                self._stream = message.stream
                schema = pa.schema(message.data)
                for name in [CHANGES] * nulled + [EXTRA] * keep_extra:
                    schema = schema.append(pa.field(name, pa.utf8(), metadata={"ARROW:extension:name": "arrow.json"}))
                return schema
            self._note(message)
        raise ConnectorError(f"the connector ended without announcing stream `{self._name}`", facts={"stream": self._name})

    def _note(self, message: Message) -> None:
        import pyarrow as pa

        if isinstance(message, State):
            self.state = message.data
        elif isinstance(message, Rejects):
            data = pa.record_batch(message.data)
            if message.stream == self._stream:
                self._rejects += message.rows
                if self._on_reject is None:
                    # Nulling was asked for, and this is a primary key.
                    raise _cannot_be_nulled(self._name, data)
            if self._on_reject is not None:
                self._on_reject(data)

    def _check(self, reading: Reading) -> None:
        rows_in = reading.rows_in.get(self._stream, 0) if self._stream is not None else 0
        if rows_in != self._rows + self._rejects:
            raise DativoError(
                f"stream `{self._name}`: {rows_in} rows came in, but {self._rows} rows and {self._rejects} rejects went out",
                hint="this is a bug in Dativo: please report it",
                facts={"stream": self._name, "rows_in": rows_in, "rows": self._rows, "rejects": self._rejects},
            )


def _cannot_be_nulled(stream: str, rejects: pa.RecordBatch) -> ContractError:
    column, reason = (rejects.column(name)[0].as_py() for name in ("column", "reason"))
    return ContractError(
        f"stream `{stream}`: a value of its primary key does not fit and cannot be null: column `{column}`, {reason}",
        hint='give the column a wider type with `types`, or set such rows aside with `on_bad_value="quarantine"` and `on_reject`',
        facts={"stream": stream, "column": column},
    )


def _conform(batch: pa.RecordBatch, schema: pa.Schema, stream: str, extra: Extra) -> pa.RecordBatch:
    import pyarrow as pa

    if extra == "fail" and EXTRA in batch.schema.names:
        _refuse_extra(batch, stream)
        batch = batch.drop_columns([EXTRA])
    if batch.schema.equals(schema):
        return batch
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    new = [name for name in columns if name not in schema.names]
    if new:
        raise ContractError(
            f"stream `{stream}` changed its schema in the middle: {', '.join(f'`{name}`' for name in new)} came new",
            hint="an Arrow stream has one schema: run a job with a target, which adds columns, or name the `fields` to read",
            facts={"stream": stream, "columns": ", ".join(new)},
        )
    arrays = []
    for field in schema:
        column = columns.get(field.name)
        if column is None:
            column = pa.nulls(batch.num_rows, field.type)
        elif column.type != field.type:
            try:
                column = column.cast(field.type)
            except pa.ArrowException as error:
                raise ContractError(
                    f"stream `{stream}` changed the type of column `{field.name}` in the middle, from `{field.type}`"
                    f" to `{column.type}`, and a value does not fit",
                    hint="an Arrow stream has one schema: give the column a wider type with `types`",
                    facts={"stream": stream, "column": field.name},
                ) from error
        arrays.append(column)
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _refuse_extra(batch: pa.RecordBatch, stream: str) -> None:
    for value in batch.column(EXTRA):
        if value.is_valid:
            names = ", ".join(f"`{name}`" for name in json.loads(str(value.as_py())))
            raise ContractError(
                f"stream `{stream}` has properties that its schema does not name: {names}",
                hint='`extra="keep"` puts them into the column `_dativo_extra`, `extra="drop"` leaves them out',
                facts={"stream": stream},
            )
