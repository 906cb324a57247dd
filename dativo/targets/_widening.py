"""May a column of files that are written already be widened? The files stay as they are; the reader converts their values.

So a value that would change must be found when the type changes, not when somebody reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import pyarrow as pa
from dativo_protocols import StreamId
from dativo_protocols.errors import ContractError

from dativo._evolution import convert, same_type, type_text
from dativo._exact_text import is_json
from dativo.targets._commit_record import DataFile
from dativo.targets._data_file import read_data_file
from dativo.targets._encryption import open_parquet
from dativo.targets._steps import conform_through, stages
from dativo.targets._store import Store

EXACT_FLOAT = 2**53


def check_widening(
    store: Store,
    before: pa.Schema | None,
    after: pa.Schema,
    files: Callable[[], Iterable[tuple[DataFile, pa.Schema]]],
    stream: StreamId,
    passed: Sequence[pa.Schema] = (),
) -> None:
    """Looks at the values of columns whose new type might not hold them: in Parquet's statistics where they say enough.

    Args:
        before: The table's schema up to now; every file's types fit into it.
        files: Gives every file of the table, with the schema it was written with; called only where files must be looked at.
        passed: The schemas that the table had before that one; see `stages`.

    Raises:
        ContractError: Some value would change.
    """
    if before is None:
        return
    doubtful = [field.name for field in before if not _certain(field, after.field(field.name))]
    if not doubtful:
        return
    for file, schema in files():
        for name in doubtful:
            if name in schema.names:
                column = schema.field(name)
                steps = stages(pa.schema([column]), [*passed, before])
                _check_column(store, file, schema, column, steps, after.field(name), stream)


def _certain(before: pa.Field, after: pa.Field) -> bool:
    """Whether every value of one type is a value of the other, by the types alone."""
    if same_type(before, after) or is_json(before):
        return True
    one, other = before.type, after.type
    if pa.types.is_string(other) or is_json(after):
        return not (pa.types.is_temporal(one) or pa.types.is_nested(one))
    if pa.types.is_integer(one) and pa.types.is_integer(other):
        return True
    if pa.types.is_floating(one) and pa.types.is_floating(other):
        return True
    return bool(pa.types.is_integer(one) and pa.types.is_floating(other) and one.bit_width <= 32)


def _check_column(
    store: Store,
    file: DataFile,
    schema: pa.Schema,
    before: pa.Field,
    steps: Sequence[pa.Schema],
    after: pa.Field,
    stream: StreamId,
) -> None:
    extremes = _extremes(store, file, before)
    target = pa.schema([after])
    if extremes is not None:
        batches: Iterable[pa.RecordBatch] = [pa.RecordBatch.from_arrays([extremes], schema=pa.schema([before]))]
    else:
        batches = read_data_file(store, file, schema, [before.name])
    for batch in batches:
        if pa.types.is_floating(after.type) and pa.types.is_integer(before.type):
            _check_exact_float(batch.column(0), before, after, stream)
        conform_through(batch, steps, target, stream=stream)


def _check_exact_float(array: pa.Array, before: pa.Field, after: pa.Field, stream: StreamId) -> None:
    """An extreme may be a float by luck while smaller values are not, so the bound decides."""
    import pyarrow.compute as pc

    extremes = pc.min_max(array).as_py()
    if extremes["min"] is not None and not -EXACT_FLOAT <= extremes["min"] <= extremes["max"] <= EXACT_FLOAT:
        raise ContractError(
            f"column `{before.name}` holds integers beyond 2^53, which would change as `{type_text(after)}`",
            hint="give the column the type `decimal` or `string` under `types` in the job, and load the stream anew",
            facts={"stream": str(stream), "column": before.name, "before": type_text(before), "after": type_text(after)},
        )


def _extremes(store: Store, file: DataFile, field: pa.Field) -> pa.Array | None:
    """Smallest and largest values of the row groups; None when the file does not tell."""
    if not file.path.endswith(".parquet") or pa.types.is_nested(field.type):
        return None
    with (
        store.source(file.path, file.bytes) as source,
        open_parquet(store, file, [field.name], source) as parquet,
    ):
        index = parquet.schema_arrow.get_field_index(field.name)
        if any(pa.types.is_nested(kind) for kind in parquet.schema_arrow.types):
            return None
        values = []
        for group in range(parquet.metadata.num_row_groups):
            column = parquet.metadata.row_group(group).column(index)
            if column.statistics is None or not column.statistics.has_min_max:
                if column.statistics is not None and column.statistics.null_count == column.num_values:
                    continue
                return None
            try:
                values += [column.statistics.min, column.statistics.max]
            except (ValueError, OverflowError):
                # A moment that Python's calendar does not have.
                return None
    return convert(pa.array(values), pa.field(field.name, pa.array(values).type), field) if values else pa.array([], field.type)
