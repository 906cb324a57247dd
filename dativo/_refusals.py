"""Values that a target says it cannot hold, found before it gets them."""

from __future__ import annotations

import struct
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Literal

from dativo_protocols import Batch, Rejects, StreamId
from dativo_protocols.errors import ContractError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Refusals"]

_NUL_REASON = "the text has a character 0, which the target cannot hold"


class Refusals:
    """Does with such values what the job says about values that do not fit: so a target's limits end no run that may go on.

    Args:
        refused: The writer's `refuses`: see `dativo_sdk.Refusal`.
        on_bad_value: The job's. The null of a primary key would be another row's, so its row is quarantined in any case.
    """

    def __init__(self, refused: Collection[str], on_bad_value: Literal["quarantine", "null", "fail"]) -> None:
        self._nul = "nul" in refused
        self._on_bad_value = on_bad_value

    def take(self, batch: Batch, key: Sequence[str]) -> tuple[Batch, Rejects | None]:
        """The rows to write, and those for the quarantine.

        Raises:
            ContractError: There is such a value, and it is to end the run.
        """
        if not self._nul or not batch.rows:
            return batch, None
        import pyarrow as pa

        data = pa.record_batch(batch.data)
        columns = [index for index, field in enumerate(data.schema) if _is_text(field) and _may_have_nul(data.column(index))]
        return self._without_nul(batch, data, columns, key) if columns else (batch, None)

    def _without_nul(
        self, batch: Batch, data: pa.RecordBatch, columns: Sequence[int], key: Sequence[str]
    ) -> tuple[Batch, Rejects | None]:
        import pyarrow as pa

        from dativo import _compute as pc
        from dativo._split_rows import noted, split

        bad: dict[int, tuple[str | None, str]] = {}
        changes: dict[int, list[tuple[str, str]]] = {}
        kept = data
        for index in columns:
            field, array = data.schema.field(index), data.column(index)
            found = pc.fill_null(pc.match_substring(array, "\0"), False)
            rows = pc.indices_nonzero(found).to_pylist()
            if rows and self._on_bad_value == "fail":
                raise _refused(batch.stream, field.name)
            if self._on_bad_value == "null" and field.name not in key:
                kept = kept.set_column(index, field, pc.if_else(found, pa.scalar(None, array.type), array))
                for row in rows:
                    changes.setdefault(row, []).append((field.name, _NUL_REASON))
            else:
                for row in rows:
                    bad.setdefault(row, (field.name, _NUL_REASON))
        left = split(noted(kept, changes), bad, data)
        rejects = None if left.rejects is None else Rejects(batch.stream, left.rejects, left.rejects.num_rows)
        return Batch(batch.stream, left.batch, left.batch.num_rows, batch.nbytes), rejects


def _is_text(field: pa.Field) -> bool:
    """JSON is not: it writes the character with an escape."""
    import pyarrow as pa

    from dativo._exact_text import is_json

    return (pa.types.is_string(field.type) or pa.types.is_large_string(field.type)) and not is_json(field)


def _may_have_nul(array: pa.Array) -> bool:
    """Whether there is a byte 0 among the texts of a column: one search in all of them at once, rather than one in each."""
    import pyarrow as pa

    _, offsets, texts = array.buffers()
    if offsets is None or texts is None:
        return False
    kind, size = ("=i", 4) if pa.types.is_string(array.type) else ("=q", 8)
    (start,) = struct.unpack_from(kind, offsets, array.offset * size)
    (end,) = struct.unpack_from(kind, offsets, (array.offset + len(array)) * size)
    return b"\0" in texts.slice(start, end - start).to_pybytes()


def _refused(stream: StreamId, column: str) -> ContractError:
    return ContractError(
        f"column `{column}` of stream `{stream}`: {_NUL_REASON}",
        hint="give the column the type `json` in the job (`types`), which keeps an escape of it, or another `on_bad_value`",
        facts={"stream": str(stream), "column": column},
    )
