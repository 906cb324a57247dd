"""Partition specs as jobs write them: `country`, `day(created_at)`, `bucket(16, id)`, and rows split by them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from dativo_protocols import frozen
from dativo_protocols.errors import ConfigError

if TYPE_CHECKING:
    from pyiceberg.partitioning import PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.transforms import Transform
    from pyiceberg.types import IcebergType

__all__ = ["PartitionRule", "new_spec", "record_values", "rules", "split"]

_RULE = re.compile(r"(?:(?P<name>[a-z]+)\(\s*(?:(?P<number>\d+)\s*,\s*)?(?P<inner>.*?)\s*\))|(?P<plain>.*)", re.DOTALL)
_PLAIN = ("identity", "year", "month", "day", "hour")
_NUMBERED = ("bucket", "truncate")


@frozen
class PartitionRule:
    """One part of a partition spec.

    Attributes:
        column: A table's column.
        transform: As the specification writes it: `identity`, `day`, `bucket[16]`…
    """

    column: str
    transform: str

    @property
    def field_name(self) -> str:
        """The name of the partition field."""
        name, _, width = self.transform.partition("[")
        suffix = {"identity": "", "truncate": f"_trunc_{width.rstrip(']')}", "bucket": f"_bucket_{width.rstrip(']')}"}
        return f"{self.column}{suffix.get(name, f'_{name}')}"

    @classmethod
    def parse(cls, text: str) -> PartitionRule:
        """The rule that a job writes.

        Raises:
            ConfigError: It is none.
        """
        match = _RULE.fullmatch(text.strip())
        name = None if match is None else match["name"]
        if match is None or (name is None and not match["plain"]):
            raise _wrong(text)
        if name is None:
            return cls(match["plain"], "identity")
        numbered = match["number"] is not None
        if not match["inner"] or name not in (_NUMBERED if numbered else _PLAIN) or (numbered and int(match["number"]) < 1):
            raise _wrong(text)
        return cls(match["inner"], f"{name}[{int(match['number'])}]" if numbered else name)

    def __str__(self) -> str:
        name, _, width = self.transform.partition("[")
        inside = f"{width.rstrip(']')}, {self.column}" if width else self.column
        return self.column if name == "identity" else f"{name}({inside})"


def rules(spec: PartitionSpec, schema: Schema) -> tuple[PartitionRule, ...]:
    """A table's partition spec as rules; fields that are void are left out."""
    found = []
    for field in spec.fields:
        column = schema.find_column_name(field.source_id)
        if column is not None and str(field.transform) != "void":
            found.append(PartitionRule(column, str(field.transform)))
    return tuple(found)


def new_spec(wanted: Sequence[PartitionRule], schema: Schema) -> PartitionSpec:
    """The spec of a new table.

    Raises:
        ConfigError: A column is not there, or its type cannot be partitioned so.
    """
    from pyiceberg.partitioning import PARTITION_FIELD_ID_START, PartitionField, PartitionSpec

    fields = []
    for place, rule in enumerate(wanted):
        source = schema.find_field(rule.column) if rule.column in schema.column_names else None
        if source is None:
            raise ConfigError(f"there is no column `{rule.column}` to partition by", hint="check `partition_by`")
        transform = _transform(rule, source.field_type)
        fields.append(PartitionField(source.field_id, PARTITION_FIELD_ID_START + place, transform, rule.field_name))
    return PartitionSpec(*fields)


def split(
    rows: pa.RecordBatch, wanted: Sequence[PartitionRule], kinds: Mapping[str, IcebergType]
) -> Iterator[tuple[dict[str, str | None], pa.RecordBatch]]:
    """The rows by partition, each in their order.

    Args:
        rows: In stored types.
        kinds: The Iceberg types of the columns.

    Yields:
        The values of the partition fields, as hexadecimal digits of their serialization, and the rows.
    """
    from pyiceberg.conversions import to_bytes

    columns: dict[str, pa.Array] = {}
    results: dict[str, Any] = {}
    for rule in wanted:
        kind = kinds[rule.column]
        transform = _transform(rule, kind)
        results[rule.field_name] = transform.result_type(kind)
        columns[rule.field_name] = _physical(transform.pyarrow_transform(kind)(rows.column(rule.column)))
    places = pa.array(range(rows.num_rows), pa.int64())
    groups = pa.table({**columns, "": places}).group_by(list(columns), use_threads=False).aggregate([("", "list")])
    found = groups["_list"].combine_chunks()
    for number in range(groups.num_rows):
        values = {name: groups[name][number].as_py() for name in columns}
        texts = {name: None if value is None else to_bytes(results[name], value).hex() for name, value in values.items()}
        yield texts, rows.take(found[number].values)


def _physical(array: pa.Array) -> pa.Array:
    """Moments as the numbers that Iceberg keeps."""
    if pa.types.is_temporal(array.type):
        return array.cast(pa.int32() if array.type.bit_width == 32 else pa.int64())
    return array


def record_values(partition: Mapping[str, str | None], spec: PartitionSpec, schema: Schema) -> list[Any]:
    """The values of `split` as a manifest keeps them, in the order of the spec's fields.

    Raises:
        KeyError: The file was not written for this spec.
    """
    from pyiceberg.conversions import from_bytes

    values: list[Any] = []
    for field in spec.fields:
        text = None if str(field.transform) == "void" else partition[field.name]
        kind: Any = field.transform.result_type(schema.find_type(field.source_id))
        values.append(None if text is None else from_bytes(kind, bytes.fromhex(text)))
    return values


def _transform(rule: PartitionRule, kind: IcebergType) -> Transform[Any, Any]:
    from pyiceberg.transforms import parse_transform

    transform = parse_transform(rule.transform)
    if not transform.can_transform(kind):
        raise ConfigError(
            f"cannot partition by `{rule}`: column `{rule.column}` is of the type `{kind}`", hint="check `partition_by`"
        )
    return transform


def _wrong(text: str) -> ConfigError:
    return ConfigError(
        f"`{text}` in `partition_by` is no partition",
        hint="write a column, or one of `year(c)`, `month(c)`, `day(c)`, `hour(c)`, `bucket(16, c)`, `truncate(4, c)`",
        facts={"key": "partition_by"},
    )
