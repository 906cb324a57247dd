"""What holds for all rows of a run together: counted batch by batch."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from dativo_protocols.errors import ContractError

from dativo import _compute as pc
from dativo.contracts._terms import TableRule

__all__ = ["MAX_KEYS", "Tally"]

MAX_KEYS = 20_000_000
"""Rows whose values are remembered to find duplicates, 16 bytes each."""


class Tally:
    """Counts for the rules of one stream."""

    def __init__(self, rules: Sequence[TableRule]) -> None:
        self._rules = rules
        self._rows = 0
        self._counts = dict.fromkeys(range(len(rules)), 0)
        self._seen: dict[tuple[str, ...], set[bytes]] = {rule.columns: set() for rule in rules if rule.metric == "duplicates"}

    def count(self, batch: pa.RecordBatch) -> None:
        """Takes a batch as it came.

        Raises:
            ContractError: There are too many rows to find duplicates among.
        """
        self._rows += batch.num_rows
        doubles = {columns: self._duplicates(batch, columns) for columns in self._seen}
        for number, rule in enumerate(self._rules):
            if rule.metric == "duplicates":
                self._counts[number] += doubles[rule.columns]
            elif rule.metric == "nulls":
                self._counts[number] += sum(self._nulls(batch, name) for name in rule.columns)
            elif rule.metric == "invalid" and rule.invalid is not None:
                there = [name for name in rule.columns if name in batch.schema.names]
                self._counts[number] += sum(pc.sum(rule.invalid.broken(batch.column(name))).as_py() or 0 for name in there)

    def broken(self) -> list[tuple[TableRule, str]]:
        """Rules that do not hold, each with what was found."""
        found = []
        for number, rule in enumerate(self._rules):
            measure: float = self._rows if rule.metric == "rows" else self._counts[number]
            if rule.percent:
                measure = 100 * measure / self._rows if self._rows else 0
            if not rule.holds(measure):
                unit = " %" if rule.percent else ""
                found.append((rule, f"{rule.text}, and it is {measure:g}{unit}"))
        return found

    @staticmethod
    def _nulls(batch: pa.RecordBatch, name: str) -> int:
        index = batch.schema.get_field_index(name)
        return batch.num_rows if index < 0 else int(batch.column(index).null_count)

    def _duplicates(self, batch: pa.RecordBatch, columns: tuple[str, ...]) -> int:
        """Rows whose values in the columns came before; those with a null in them are none."""
        if not set(columns) <= set(batch.schema.names):
            return 0
        seen = self._seen[columns]
        rows = batch.select(list(columns)).drop_null()
        before = len(seen)
        seen.update(_keys(rows))
        if len(seen) > MAX_KEYS:
            names = ", ".join(f"`{name}`" for name in columns)
            raise ContractError(
                f"cannot find duplicates of {names} among more than {MAX_KEYS} rows", hint="let the target's key keep it unique"
            )
        return int(rows.num_rows - (len(seen) - before))


def _keys(rows: pa.RecordBatch) -> list[bytes]:
    """16 bytes for each row: equal where the values are, and, as far as a hash can tell, nowhere else."""
    import hashlib

    from dativo_protocols import encode_json_lines

    return [hashlib.blake2b(line, digest_size=16).digest() for line in encode_json_lines(rows).splitlines()]
