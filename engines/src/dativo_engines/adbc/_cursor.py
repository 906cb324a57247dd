"""Batches in a cursor's order, cut so that the state behind each covers exactly the rows before it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc
from dativo_protocols import ConfigError


class CursorBatches:
    """Of one stream.

    Args:
        name: The column.
        kind: Its Arrow type.
        inclusive: Whether rows at the last value are read again. Where they are not, a batch ends before the rows of its last
            value, as more of them may follow.
    """

    def __init__(self, name: str, kind: pa.DataType, *, inclusive: bool) -> None:
        self._name = name
        self._kind = kind
        self._inclusive = inclusive

    def start(self, value: object) -> pa.RecordBatch:
        """The parameter of a query that goes on from a value that a state has.

        Raises:
            ConfigError: It does not fit the column.
        """
        try:
            found = pa.array([value], pa.utf8()).cast(self._kind)
        except (pa.ArrowException, TypeError) as error:
            raise ConfigError(
                f"the state's value of `{self._name}` does not fit the column's type `{self._kind}`",
                hint="the column has changed: begin anew with `dativo state clear`",
            ) from error
        return pa.RecordBatch.from_arrays([found], ["value"])

    def cut(self, batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[pa.RecordBatch, str | None]]:
        """The rows, and the value from which reading goes on once they are durable; None where there is none yet."""
        held: pa.RecordBatch | None = None
        value: str | None = None
        for fresh in batches:
            if not fresh.num_rows:
                continue
            batch = fresh if held is None else pa.concat_batches([held, fresh])
            held = None
            if not self._inclusive:
                batch, held = self._split(batch)
            if batch.num_rows:
                value = self._last(batch) or value
                yield batch, value
        if held is not None and held.num_rows:
            yield held, self._last(held) or value

    def _split(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.RecordBatch]:
        """Before the rows of the last value, and those. Rows without a value are always complete: they are never read on from."""
        column = batch.column(self._name)
        last = column[-1]
        if not last.is_valid:
            return batch, batch.slice(batch.num_rows)
        # They stand at the end, as everything is in the cursor's order.
        end = batch.num_rows - (pc.sum(pc.equal(column, last)).as_py() or 0)
        return batch.slice(0, end), batch.slice(end)

    def _last(self, batch: pa.RecordBatch) -> str | None:
        column = batch.column(self._name).drop_null()
        if not len(column):
            return None
        text: str = column[-1:].cast(pa.utf8())[0].as_py()
        return text
