"""Frames over whole inputs: memory, order, hostile payloads, any types in any pieces."""

from __future__ import annotations

import io
import json
import os
import random
import resource
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from dativo_protocols import (
    AirbyteDecoder,
    Batch,
    Catalog,
    ConnectorError,
    ContractError,
    State,
    StreamId,
    canonical_batch,
    encode_arrow_frame,
    encode_arrow_schema,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.tests.arrow_cases import catalog, frame, ipc, line, record, state
from protocols.tests.test_canonical import TYPES
from protocols.tests.transcripts import decoding

BOTH = json.dumps(catalog("a", "b")).encode()


def pieces(text: bytes, size: int = 100_000) -> Iterator[bytes]:
    return (text[at : at + size] for at in range(0, len(text), size))


def decoded(text: bytes, **options: Any) -> pa.Table:
    with decoding(pieces(text), make=AirbyteDecoder, catalog=BOTH, **options) as decoder:
        return pa.Table.from_batches([pa.record_batch(message.data) for message in decoder if isinstance(message, Batch)])


def numbers(start: int, count: int) -> pa.RecordBatch:
    return pa.record_batch(
        {"n": pa.array(range(start, start + count)), "text": ["\n" * (number % 50) for number in range(count)]}
    )


@pytest.mark.parametrize("budget", [1 << 20, 96 << 20])
@pytest.mark.parametrize("rows", [100, 5000, 60_000])
def test_frames_of_any_size_come_whole_and_in_order(budget: int, rows: int) -> None:
    text = b"".join(frame("a", numbers(start, rows)) for start in range(0, 300_000, rows))
    table = decoded(text, memory_budget_bytes=budget)
    assert table.column("n").to_pylist() == list(range(table.num_rows))
    assert table.num_rows >= 300_000


def test_a_frame_larger_than_the_budget_passes_alone_also_while_a_state_waits() -> None:
    large = pa.record_batch({"n": pa.array(range(500_000))})
    text = frame("b", numbers(0, 10)) + frame("a", numbers(0, 10)) + state("a", 1) + frame("b", large) + frame("a", large)
    with decoding(pieces(text), make=AirbyteDecoder, catalog=BOTH, memory_budget_bytes=1 << 20) as decoder:
        assert sum(message.rows for message in decoder if isinstance(message, Batch)) == 1_000_020


def test_no_state_is_given_with_rows_that_it_does_not_cover() -> None:
    text = b"".join(
        frame("a", numbers(number, 1)) + frame("b", numbers(number, 300)) + state("a" if number % 3 else "b", number)
        for number in range(1, 2000)
    )
    rows = {"a": 0, "b": 0}
    states = 0
    with decoding(pieces(text), make=AirbyteDecoder, catalog=BOTH) as decoder:
        for message in decoder:
            if isinstance(message, Batch):
                rows[message.stream.name] += message.rows
            elif isinstance(message, State):
                states += 1
                said = {
                    each["stream"]["stream_descriptor"]["name"]: each["stream"]["stream_state"]["n"]
                    for each in json.loads(message.data)
                }
                assert rows == {"a": said.get("a", 0), "b": 300 * said.get("b", 0)}
    assert states


def test_memory_does_not_grow_with_the_input() -> None:
    one = frame("a", pa.record_batch({"n": pa.array(range(500_000))}))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with decoding((one for _ in range(200)), make=AirbyteDecoder, catalog=BOTH, memory_budget_bytes=32 << 20) as decoder:
        assert sum(message.nbytes for message in decoder if isinstance(message, Batch)) == pytest.approx(800e6, rel=0.01)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150_000


def test_a_closed_decoder_lets_go_of_a_frame_that_does_not_come() -> None:
    reader, writer = os.pipe()
    decoder = AirbyteDecoder(reader, catalog=BOTH)
    os.close(reader)
    os.write(writer, frame("a", numbers(0, 100))[:-50])
    decoder.close()
    os.close(writer)
    with pytest.raises(ConnectorError, match="closed"):
        list(decoder)


def test_values_said_once_that_would_fill_the_memory_come_in_parts() -> None:
    said_once = pa.DictionaryArray.from_arrays(pa.array([0] * 2000, pa.int8()), pa.array(["x" * 100_000]))
    with decoding(
        [frame("a", pa.record_batch({"s": said_once}))], make=AirbyteDecoder, catalog=BOTH, memory_budget_bytes=12 << 20
    ) as decoder:
        sizes = [(message.rows, message.nbytes) for message in decoder if isinstance(message, Batch)]
    assert sum(rows for rows, _ in sizes) == 2000
    assert max(nbytes for _, nbytes in sizes) < 3 << 20


def test_a_row_beyond_the_limit_is_refused_by_the_name_of_its_column() -> None:
    words = pa.DictionaryArray.from_arrays(pa.array([0] * 2000, pa.int8()), pa.array(["x" * 10_000]))
    lists = pa.ListArray.from_arrays(pa.array([0, 1000, 2000], pa.int32()), words)
    text = frame("a", pa.record_batch({"l": lists, "n": [1, 2]}))
    with pytest.raises(ContractError, match="line 1: BATCH of stream `a`: column `l` would be too large") as raised:
        decoded(text, max_record_bytes=1 << 20, memory_budget_bytes=1 << 20)
    assert raised.value.facts == {"stream": "a", "line": 1, "column": "l"}


def test_rows_without_columns_are_counted() -> None:
    batch = pa.RecordBatch.from_struct_array(pa.array([{}] * 5, pa.struct([])))
    with decoding([frame("a", batch)], make=AirbyteDecoder, catalog=BOTH) as decoder:
        assert [message.rows for message in decoder if isinstance(message, Batch)] == [5]


def test_frames_that_we_write_are_read_back() -> None:
    rows = pa.record_batch({"n": [1, None], "d": pa.array(["x", "y"]).dictionary_encode()})
    text = encode_arrow_frame(StreamId("a"), rows) + encode_arrow_frame(StreamId("a"), rows.slice(1))
    assert decoded(text).to_pylist() == rows.to_pylist() + rows.slice(1).to_pylist()


def test_a_catalog_says_the_arrow_schema_of_its_streams() -> None:
    schema = pa.schema([("n", pa.uint8())])
    streams = [{"name": "a", "json_schema": {}, "arrow_schema": encode_arrow_schema(schema)}, {"name": "b", "json_schema": {}}]
    with decoding([line(type="CATALOG", catalog={"streams": streams})], make=AirbyteDecoder) as decoder:
        (found,) = (message for message in decoder if isinstance(message, Catalog))
    assert found.streams[0].data is not None
    assert pa.schema(found.streams[0].data) == schema
    assert found.streams[1].data is None


def test_a_catalog_with_an_arrow_schema_that_is_none_is_an_error() -> None:
    said = line(type="CATALOG", catalog={"streams": [{"name": "a", "arrow_schema": "x"}]})
    with (
        decoding([said], make=AirbyteDecoder) as decoder,
        pytest.raises(ConnectorError, match=r"CATALOG message: `catalog.streams\[0\].arrow_schema`: it is not base64"),
    ):
        list(decoder)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_types_in_any_pieces_are_what_canonical_batches_are(data: st.DataObject) -> None:
    kinds = data.draw(st.lists(TYPES, min_size=1, max_size=3))
    count = data.draw(st.integers(1, 6))
    columns = {
        f"c{place}": pa.array(data.draw(st.lists(st.none() | values, min_size=count, max_size=count)), kind)
        for place, (kind, values) in enumerate(kinds)
    }
    batch = pa.record_batch(columns)
    text = frame("a", batch) + record("b", id=1) + frame("a", batch, batch.slice(1)) + frame("a", batch)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    parts = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    with decoding(parts, make=AirbyteDecoder, catalog=BOTH, nested="struct", threads=2) as decoder:
        given_back = [
            pa.record_batch(message.data) for message in decoder if isinstance(message, Batch) and message.stream.name == "a"
        ]
    wanted = pa.record_batch(canonical_batch(batch, nested="struct"))
    table = pa.Table.from_batches(given_back)
    table.validate(full=True)
    assert table == pa.Table.from_batches([wanted, wanted, wanted.slice(1), wanted])


def test_broken_payloads_are_errors_of_the_connector() -> None:
    rng = random.Random(5)
    batch = pa.record_batch({"n": [1, None], "s": ["a", "b"], "l": [[1], []], "d": pa.array(["x", "y"]).dictionary_encode()})
    good = ipc(batch)
    refused: list[object] = []
    for _ in range(400):
        payload = bytearray(good)
        for _ in range(rng.choice((1, 2, 8))):
            payload[rng.randrange(len(payload))] ^= 1 << rng.randrange(8)
        try:
            decoded(frame("a", batch, payload=bytes(payload)))
        except (ConnectorError, ContractError) as error:
            refused.append(error.facts.get("line"))
    assert refused == [1] * len(refused)
    assert len(refused) > 100


def test_a_stream_of_frames_through_an_io_buffer() -> None:
    sink = io.BytesIO()
    for start in range(3):
        sink.write(frame("a", numbers(start, 1)) + b"\n" + b"printed by the program\n")
    assert decoded(sink.getvalue()).column("n").to_pylist() == [0, 1, 2]
