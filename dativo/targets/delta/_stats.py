"""Statistics of a finished Parquet file, as Delta's log keeps them: for readers that skip files, and for our own merges."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["file_stats"]

COLUMNS = 32
_TEXT = 64


def file_stats(metadata: pq.FileMetaData, schema: pa.Schema) -> str:
    """Rows, and of the first 32 columns nulls, least and greatest values, where they are exact and JSON can say them.

    Args:
        schema: Logical; times and unsigned integers have other types in the file, and are left out.
    """
    least: dict[str, Any] = {}
    greatest: dict[str, Any] = {}
    nulls: dict[str, int] = {}
    indices = {metadata.schema.column(index).path: index for index in range(metadata.num_columns)}
    for field in list(schema)[:COLUMNS]:
        index = indices.get(field.name)
        if index is None or not _told(field.type):
            continue
        found = [metadata.row_group(group).column(index).statistics for group in range(metadata.num_row_groups)]
        if any(each is None or not each.has_null_count for each in found):
            continue
        nulls[field.name] = sum(each.null_count for each in found)
        ranges = [(each.min, each.max) for each in found if each.has_min_max] if _is_safe(found) else []
        if len(ranges) + sum(each.num_values == 0 for each in found) < len(found) or not ranges:
            continue
        low, high = _value(min(each for each, _ in ranges)), _value(max(each for _, each in ranges))
        if low is not None and high is not None:
            least[field.name], greatest[field.name] = low, high
    stats = {"numRecords": metadata.num_rows, "minValues": least, "maxValues": greatest, "nullCount": nulls}
    return json.dumps(stats, ensure_ascii=False)


def _told(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_signed_integer(kind) or pa.types.is_string(kind) or pa.types.is_date(kind) or pa.types.is_timestamp(kind)
    )


def _is_safe(found: list[Any]) -> bool:
    """Whether Python's calendar has the values; reading them fails otherwise."""
    try:
        for each in found:
            if each.has_min_max:
                _ = (each.min, each.max)
    except (ValueError, OverflowError):
        return False
    return True


def _value(value: Any) -> Any:
    """As Delta writes it; None for what cannot be said exactly."""
    if isinstance(value, str):
        return value if len(value) <= _TEXT and value.isprintable() else None
    if isinstance(value, datetime.datetime):
        # Delta's statistics have milliseconds, which would cut off what is behind them.
        if value.microsecond % 1000 or not 1900 <= value.year < 9999:
            return None
        return value.replace(tzinfo=None).isoformat(timespec="milliseconds") + ("" if value.tzinfo is None else "Z")
    if isinstance(value, datetime.date):
        return value.isoformat() if 1900 <= value.year < 9999 else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None
