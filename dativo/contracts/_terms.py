"""What is promised about a stream: by a contract file, or by the table that is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from dativo_protocols import frozen

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ColumnTerms", "ContractMode", "RowRule", "StreamTerms", "TableRule"]

ContractMode: TypeAlias = Literal["evolve", "freeze", "discard_value", "quarantine_row"]
"""What happens when a stream brings columns or types that its table, or its contract, does not have:

- `evolve`: the table follows.
- `freeze`: the run fails before anything of the change is written.
- `discard_value`: new columns are left out, and values that do not fit are nulled and noted in `_dativo_changes`.
- `quarantine_row`: rows with a value in a new column, or with one that does not fit, go to quarantine.
"""


@frozen
class RowRule:
    """Something that each value of a column must be.

    Attributes:
        text: What it demands, for messages: `is at least 0`.
        broken: Gives a boolean array, true where a value breaks the rule; null counts as false.
    """

    text: str
    broken: Callable[[Any], Any]


@frozen
class ColumnTerms:
    """A column's part of a contract.

    Attributes:
        kind: The field with its Arrow type, or None where the contract leaves the type open.
        accepts: Tells of an Arrow type whether it is as good as that of `kind`: a contract's `number` has many.
    """

    name: str
    kind: pa.Field | None = None
    required: bool = False
    rules: tuple[RowRule, ...] = ()
    accepts: Callable[[pa.DataType], bool] = lambda kind: False


@frozen
class TableRule:
    """Something that all rows of a run together must be.

    Attributes:
        text: What it demands, for messages.
        metric: What is measured: `rows`, `nulls`, `invalid`, `duplicates`, over `columns`.
        columns: Those that are looked at; none for `rows`.
        percent: Whether the measure is taken as a share of the rows, 0 to 100.
        holds: Whether a measure is good.
        invalid: For `invalid`: which values are.
        only_warns: Whether a broken rule is only reported.
    """

    text: str
    metric: Literal["rows", "nulls", "invalid", "duplicates"]
    holds: Callable[[float], bool]
    columns: tuple[str, ...] = ()
    percent: bool = False
    invalid: RowRule | None = None
    only_warns: bool = False


@frozen
class StreamTerms:
    """A stream's part of a contract file.

    Attributes:
        columns: By the source's names; columns besides are new ones.
        rules: Over all rows of a run.
        primary_key: In its order; empty where the contract names none.
        source: The file, for messages.
    """

    columns: Mapping[str, ColumnTerms]
    rules: tuple[TableRule, ...] = field(default=())
    primary_key: tuple[str, ...] = ()
    source: str = ""
