"""Frames as pyarrow reads them, and schemas as text."""

from __future__ import annotations

import base64
import json
import os
import threading
from typing import Any

import pyarrow as pa
import pytest
from dativo_protocols import StreamId, decode_arrow_schema, encode_arrow_frame, encode_arrow_schema, write_arrow_frame

ORDERS = StreamId("orders", 'n"é')
ROWS = pa.record_batch({"id": [1, 2, None], "name": ["a", "é\n", ""], "tags": [["x"], [], None]})


def taken_apart(frame: bytes) -> tuple[dict[str, Any], pa.Table]:
    line, _, payload = frame.partition(b"\n")
    header = json.loads(line)
    assert header["bytes"] == len(payload)
    return header, pa.ipc.open_stream(payload).read_all()


def test_a_frame_is_a_header_and_an_ipc_stream() -> None:
    header, table = taken_apart(encode_arrow_frame(ORDERS, ROWS))
    assert header == {"type": "BATCH", "stream": "orders", "namespace": 'n"é', "rows": 3, "bytes": header["bytes"]}
    assert table == pa.table(ROWS)
    assert table.schema.equals(ROWS.schema, check_metadata=True)


def test_rejects_and_the_time_are_in_the_header() -> None:
    header, _ = taken_apart(encode_arrow_frame(StreamId("a"), ROWS, kind="rejects", emitted_at=1700000000123))
    assert (header["type"], header["namespace"], header["emitted_at"]) == ("REJECTS", None, 1700000000123)


def test_a_slice_is_written_without_the_rest() -> None:
    whole = pa.record_batch({"n": list(range(100_000)), "s": [str(number) for number in range(100_000)]})
    frame = encode_arrow_frame(ORDERS, whole.slice(50_000, 10))
    assert len(frame) < 2000
    assert taken_apart(frame)[1] == pa.table(whole.slice(50_000, 10))


def test_dictionaries_and_views_are_carried() -> None:
    rows = pa.record_batch(
        {"d": pa.array(["x", "y", "x"]).dictionary_encode(), "v": pa.array(["a" * 20, None, ""], pa.string_view())}
    )
    assert taken_apart(encode_arrow_frame(ORDERS, rows))[1].to_pylist() == rows.to_pylist()


def test_writing_to_a_pipe_gives_the_same_bytes() -> None:
    rows = pa.record_batch({f"c{number}": list(range(5000)) for number in range(700)})
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    read: list[bytes] = []

    def drain() -> None:
        with open(reader, "rb") as pipe:
            read.append(pipe.read())

    thread = threading.Thread(target=drain)
    thread.start()
    written = write_arrow_frame(writer, ORDERS, rows)
    os.close(writer)
    thread.join()
    assert read == [encode_arrow_frame(ORDERS, rows)]
    assert written == len(read[0])


def test_a_reader_that_is_gone_is_an_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        write_arrow_frame(writer, ORDERS, ROWS)
    os.close(writer)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="`kind` is `rows`, expected one of `batch`, `rejects`"):
        encode_arrow_frame(ORDERS, ROWS, kind="rows")  # type: ignore[arg-type]


def test_a_schema_as_text_is_one_ipc_message() -> None:
    schema = pa.schema([pa.field("id", pa.int64(), False), pa.field("j", pa.json_()), pa.field("t", pa.timestamp("ns", "UTC"))])
    text = encode_arrow_schema(schema)
    assert pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text))) == schema
    assert pa.schema(decode_arrow_schema(text)) == schema
    assert pa.schema(decode_arrow_schema(base64.b64encode(schema.serialize()).decode())) == schema


@pytest.mark.parametrize("text", ["é", "AAAA", "/////w==", base64.b64encode(b"\xff\xff\xff\xff\x08\0\0\0garbage.").decode(), ""])
def test_a_text_that_is_no_schema_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="`arrow_schema`: it is not "):
        decode_arrow_schema(text)
