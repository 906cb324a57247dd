"""Holds the batches of one stream to its contract: what passes, what is nulled, what goes to quarantine, what ends the run."""

from __future__ import annotations

import json
from collections.abc import Callable

import pyarrow as pa
from dativo_protocols import StreamId
from dativo_protocols.errors import ContractError

from dativo import _compute as pc
from dativo._evolution import common_field, convert, same_type, type_text
from dativo._names import EXTRA, OWN_COLUMNS
from dativo._split_rows import Split, noted, split
from dativo.contracts._tally import Tally
from dativo.contracts._terms import ColumnTerms, ContractMode, StreamTerms

__all__ = ["Enforcer"]

_FREE = OWN_COLUMNS - {EXTRA}
"""Columns that are Dativo's own, and no part of what the source says."""


class Enforcer:
    """The contract of one stream during one run.

    Args:
        expected: The columns that are promised, under the source's names: those of the table that is there. None takes what the
            stream announces first.
        terms: The stream's part of a contract file; its columns beat `expected`.
        warns: Whether what breaks `terms` is only reported.
        report: Called with a line for each thing that is reported, once per kind.
    """

    def __init__(
        self,
        stream: StreamId,
        mode: ContractMode,
        expected: pa.Schema | None,
        terms: StreamTerms | None = None,
        *,
        warns: bool = False,
        report: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._stream = stream
        self._mode = mode
        self._terms = terms
        self._warns = warns
        self._report = report
        self._reported: set[str] = set()
        self._expected = None if expected is None else {field.name: field for field in expected}
        if terms is not None:
            self._expected = {
                name: column.kind or (self._expected or {}).get(name) or pa.field(name, pa.null())
                for name, column in terms.columns.items()
            }
        self._tally = Tally(terms.rules) if terms is not None and terms.rules else None

    def announce(self, arriving: pa.Schema) -> pa.Schema:
        """What is to be announced to the writer in the place of the stream's schema.

        Raises:
            ContractError: `freeze`, and the schema has a column or type that is not promised; or it lacks a required column.
        """
        if self._expected is None:
            self._expected = {field.name: field for field in arriving}
            return arriving
        changes = self._changes(arriving)
        missing = [column.name for column in self._columns() if column.required and column.name not in arriving.names]
        lacks = [f"column `{name}` is missing" for name in missing]
        if self._warns:
            for line in (*changes, *lacks):
                self._say(line)
            return arriving
        if lacks or (changes and self._mode == "freeze"):
            raise self._broken([*changes, *lacks])
        if self._mode in ("evolve", "freeze"):
            return arriving
        return pa.schema([self._promised(field) for field in arriving if field.name in self._expected or field.name in _FREE])

    def take(self, batch: pa.RecordBatch) -> Split:
        """The batch as the contract leaves it.

        Raises:
            ContractError: It breaks the contract, and the mode says that this ends the run.
        """
        bad: dict[int, tuple[str | None, str]] = {}
        changes: dict[int, list[tuple[str, str]]] = {}
        fields: list[pa.Field] = []
        arrays: list[pa.Array] = []
        for column, array in zip(batch.schema, batch.columns, strict=True):
            if column.name in _FREE:
                fields.append(column)
                arrays.append(array)
            elif self._admits(column, array, bad):
                kept, fitting = self._fitted(column, array, bad, changes)
                fields.append(kept)
                arrays.append(self._ruled(kept, fitting, bad, changes))
        if self._tally is not None:
            self._tally.count(batch)
        taken = pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields)) if arrays else batch.select([])
        return split(noted(taken, changes), bad, batch)

    def finish(self) -> None:
        """Looks at what holds for all rows together; to be called before the last commit.

        Raises:
            ContractError: A rule is broken that does not only warn.
        """
        broken = self._tally.broken() if self._tally is not None else []
        for rule, line in broken:
            if self._warns or rule.only_warns:
                self._say(line)
        lines = [line for rule, line in broken if not (self._warns or rule.only_warns)]
        if lines:
            raise self._broken(lines)

    def _columns(self) -> list[ColumnTerms]:
        return [] if self._terms is None else list(self._terms.columns.values())

    def _changes(self, arriving: pa.Schema) -> list[str]:
        lines = []
        for field in arriving:
            promised = (self._expected or {}).get(field.name)
            if field.name in _FREE:
                continue
            if promised is None:
                lines.append(f"column `{field.name}` ({type_text(field)}) is new")
            elif not self._fits(promised, field):
                lines.append(f"column `{field.name}` is `{type_text(field)}`, not `{type_text(promised)}`")
        return lines

    def _fits(self, promised: pa.Field, field: pa.Field) -> bool:
        return self._accepts(field) or pa.types.is_null(promised.type) or same_type(common_field(promised, field), promised)

    def _accepts(self, field: pa.Field) -> bool:
        terms = None if self._terms is None else self._terms.columns.get(field.name)
        return terms is not None and terms.accepts(field.type)

    def _promised(self, field: pa.Field) -> pa.Field:
        promised = (self._expected or {}).get(field.name, field)
        return field if self._accepts(field) or pa.types.is_null(promised.type) else promised.with_name(field.name)

    def _admits(self, column: pa.Field, array: pa.Array, bad: dict[int, tuple[str | None, str]]) -> bool:
        """Whether the column is one of the stream's; of one that is not, rows with a value in it are marked."""
        if self._expected is None or column.name in self._expected or self._mode == "evolve" or self._warns:
            return True
        if array.null_count == len(array):
            return self._mode == "freeze" and column.name != EXTRA
        if self._mode == "freeze":
            raise self._broken([_unknown(column.name, array)])
        if self._mode == "quarantine_row":
            for row in _where(pc.is_valid(array)):
                bad.setdefault(row, (None if column.name == EXTRA else column.name, _unknown(column.name, array.slice(row, 1))))
        return False

    def _fitted(
        self,
        column: pa.Field,
        array: pa.Array,
        bad: dict[int, tuple[str | None, str]],
        changes: dict[int, list[tuple[str, str]]],
    ) -> tuple[pa.Field, pa.Array]:
        """The column in its promised type; values that do not fit are null in it."""
        promised = self._promised(column)
        if self._mode in ("evolve", "freeze") or self._warns or same_type(promised, column):
            return column, array
        fitting, misfits = _converted(array, column, promised)
        for row in misfits:
            reason = f"a value of type `{type_text(column)}` does not fit into `{type_text(promised)}`"
            self._break(row, column.name, reason, bad, changes)
        return promised, fitting

    def _ruled(
        self,
        column: pa.Field,
        array: pa.Array,
        bad: dict[int, tuple[str | None, str]],
        changes: dict[int, list[tuple[str, str]]],
    ) -> pa.Array:
        """The column after what the contract says about single values."""
        terms = None if self._terms is None else self._terms.columns.get(column.name)
        if terms is None:
            return array
        nulled: set[int] = set()
        for rule in terms.rules:
            try:
                rows = _where(rule.broken(array))
            except (ValueError, NotImplementedError):
                self._say(f"column `{column.name}` is `{type_text(column)}`: whether it {rule.text} cannot be told")
                continue
            if not rows:
                continue
            reason = f"the contract says that it {rule.text}"
            if self._warns:
                self._say(f"column `{column.name}`: {reason}; {len(rows)} rows of a batch break that")
            elif self._mode in ("evolve", "freeze"):
                raise self._broken([f"column `{column.name}`: {reason}, and {len(rows)} rows of a batch break that"])
            else:
                for row in rows:
                    self._break(row, column.name, reason, bad, changes)
                nulled |= set(rows)
        if nulled and self._mode == "discard_value":
            keep = pa.array([row not in nulled for row in range(len(array))])
            array = pc.if_else(keep, array, pa.nulls(len(array), array.type))
        if terms.required and array.null_count:
            self._require(column.name, _where(pc.is_null(array)), bad)
        return array

    def _require(self, column: str, rows: list[int], bad: dict[int, tuple[str | None, str]]) -> None:
        reason = "the contract requires a value"
        if self._warns:
            self._say(f"column `{column}`: {reason}; {len(rows)} rows of a batch have none")
        elif self._mode == "quarantine_row":
            for row in rows:
                bad.setdefault(row, (column, reason))
        elif left := [row for row in rows if row not in bad]:
            raise self._broken([f"column `{column}`: {reason}, and {len(left)} rows of a batch have none"])

    def _break(
        self,
        row: int,
        column: str,
        reason: str,
        bad: dict[int, tuple[str | None, str]],
        changes: dict[int, list[tuple[str, str]]],
    ) -> None:
        if self._mode == "quarantine_row":
            bad.setdefault(row, (column, reason))
        else:
            changes.setdefault(row, []).append((column, reason))

    def _say(self, line: str) -> None:
        kind = line.partition(";")[0]
        if kind not in self._reported:
            self._reported.add(kind)
            self._report(f"stream `{self._stream}` breaks its contract: {line}")

    def _broken(self, lines: list[str]) -> ContractError:
        where = f" (`{self._terms.source}`)" if self._terms is not None and self._terms.source else ""
        return ContractError(
            f"stream `{self._stream}` breaks its contract{where}: {'; '.join(lines)}",
            hint="mend the source or the contract, or choose another `contract` for the stream: `evolve`, `discard_value`, "
            "`quarantine_row`",
            facts={"stream": str(self._stream), "changes": lines},
        )


def _where(mask: pa.Array) -> list[int]:
    """Rows at which the mask is true."""
    return [] if mask is None else pc.indices_nonzero(pc.fill_null(mask, False)).to_pylist()


def _unknown(name: str, array: pa.Array) -> str:
    if name != EXTRA:
        return f"the contract has no column `{name}`"
    found: dict[str, None] = {}
    for text in array.drop_null().slice(0, 100).to_pylist():
        found.update(dict.fromkeys(json.loads(text)))
    return f"the contract does not have {', '.join(f'`{each}`' for each in list(found)[:10])}"


def _converted(array: pa.Array, before: pa.Field, after: pa.Field) -> tuple[pa.Array, list[int]]:
    """The array in another type, and the rows whose value does not fit, which are null. They are found by halving."""
    bad: list[int] = []

    def halves(start: int, length: int) -> list[pa.Array]:
        part = array.slice(start, length)
        try:
            return [convert(part, before, after)]
        except (ValueError, NotImplementedError):
            if length == 1:
                bad.append(start)
                return [pa.nulls(1, after.type)]
        middle = length // 2
        return [*halves(start, middle), *halves(start + middle, length - middle)]

    parts = halves(0, len(array))
    return (parts[0] if len(parts) == 1 else pa.concat_arrays(parts)), bad
