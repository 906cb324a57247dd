"""What a reader says of its streams, and whether its batches are like that."""

from __future__ import annotations

import pyarrow as pa
from dativo_protocols import CatalogStream

from dativo_sdk.conformance._check import CheckSkipped
from dativo_sdk.conformance._expect import same
from dativo_sdk.conformance.readers._bench import ReaderBench
from dativo_sdk.conformance.readers._check import reader_check


@reader_check()
def each_stream_is_named_once(bench: ReaderBench) -> None:
    names = [stream.id for stream in bench.catalog.streams]
    if not names:
        raise AssertionError("expected streams, found none")
    same(len(set(names)), len(names), f"streams with names of their own among {[str(name) for name in names]}")


@reader_check()
def keys_and_cursors_are_columns(bench: ReaderBench) -> None:
    for stream in bench.catalog.streams:
        known = columns(stream)
        for name in (*stream.primary_key, *stream.cursor):
            if known and name.partition(".")[0] not in known and name not in known:
                raise AssertionError(f"expected `{name}`, key or cursor of `{stream.id}`, to be one of its columns: {known}")


@reader_check()
def what_is_offered_is_the_same_each_time(bench: ReaderBench) -> None:
    with bench.opened(None) as reader:
        again = [reader.get_schema(), reader.get_schema()]
    for catalog in again:
        same([described(stream) for stream in catalog.streams], [described(stream) for stream in bench.catalog.streams])


@reader_check()
def batches_have_the_schema_that_was_said(bench: ReaderBench) -> None:
    bench.needs_rows()
    for step in bench.whole:
        if step.is_rejects:
            continue
        stream = bench.stream(step.stream)
        if stream.data is not None:
            said, found = pa.schema(stream.data), step.data.schema
            same(
                [(each.name, each.type) for each in found], [(each.name, each.type) for each in said], f"columns of `{stream.id}`"
            )
        elif known := columns(stream):
            more = [name for name in step.data.schema.names if name not in known]
            same(more, [], f"columns of `{stream.id}` beyond those in its JSON Schema")


@reader_check()
def keys_are_never_null(bench: ReaderBench) -> None:
    bench.needs_rows()
    keyed = {stream.id: stream.primary_key for stream in bench.catalog.streams if stream.primary_key}
    if not keyed:
        raise CheckSkipped("no stream has a key")
    for step in bench.whole:
        for name in keyed.get(step.stream, ()):
            if not step.is_rejects and name in step.data.schema.names:
                same(step.data.column(name).null_count, 0, f"nulls in the key `{name}` of `{step.stream}`")


@reader_check()
def rejected_rows_have_their_columns(bench: ReaderBench) -> None:
    rejected = [step for step in bench.whole if step.is_rejects]
    if not rejected:
        raise CheckSkipped("with this configuration the reader rejects no row")
    for step in rejected:
        found = {each.name: str(each.type) for each in step.data.schema}
        same(found, {"line": "int64", "column": "string", "reason": "string", "record": "binary"}, "columns of rejected rows")


def columns(stream: CatalogStream) -> list[str]:
    """As far as the catalog says."""
    return list(pa.schema(stream.data).names) if stream.data is not None else list(stream.json_schema.get("properties") or ())


def described(stream: CatalogStream) -> tuple[object, ...]:
    """What can be compared."""
    data = None if stream.data is None else pa.schema(stream.data)
    return stream.id, stream.json_schema, stream.primary_key, stream.cursor, stream.replication_methods, data
