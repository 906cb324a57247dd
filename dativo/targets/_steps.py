"""Files keep the types that they were written with; their values take every step that the table's columns have taken since.

A target that rewrites its values, like DuckDB, converts them at each widening. Reading an old file goes the same way, so both end
with the same text: an integer that became a string and then JSON is `"1"`, not `1`.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from dativo_protocols import StreamId

from dativo._evolution import common_field, conform, same_type


def widens(before: pa.Schema, after: pa.Schema) -> bool:
    """Whether a column has another type after it than before it."""
    return any(not same_type(field, after.field(field.name)) for field in before if field.name in after.names)


def stages(written: pa.Schema, passed: Sequence[pa.Schema]) -> list[pa.Schema]:
    """The schemas that a file's batches go through, one after the other, before the table's schema of today.

    Args:
        written: The file's, or some of its columns.
        passed: Those that the table has had, oldest first. A column's way begins at the first type that holds the file's: another
            job may have widened the table while the file was written.
    """
    found: list[pa.Schema] = []
    current = written
    for schema in passed:
        following = pa.schema([_step(field, schema) for field in current])
        if widens(current, following):
            found.append(following)
            current = following
    return found


def conform_through(
    batch: pa.RecordBatch, steps: Sequence[pa.Schema], schema: pa.Schema, *, stream: StreamId | None = None
) -> pa.RecordBatch:
    """Like `conform`, by way of `steps`: what `stages` gives for the batch's columns."""
    for step in steps:
        batch = conform(batch, step, stream=stream)
    return conform(batch, schema, stream=stream)


def _step(field: pa.Field, schema: pa.Schema) -> pa.Field:
    if field.name not in schema.names:
        return field
    after = schema.field(field.name)
    return after if same_type(common_field(after, field), after) else field
