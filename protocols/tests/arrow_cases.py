"""Writes the transcripts of `protocols/conformance/arrow`: what programs of the Arrow protocol write, frames made by pyarrow.

`python -m protocols.tests.arrow_cases` writes all of them, and what the decoder gives for each; read the difference before you
commit it.
"""

from __future__ import annotations

import datetime as dt
import io
import json
from decimal import Decimal
from typing import Any

import pyarrow as pa
from dativo_protocols import encode_arrow_schema

from protocols.tests.transcripts import CASES, write_expectations

ROWS = pa.record_batch({"id": [1, 2, 3], "name": ["a", "line\nbreak", None]})
OTHER = pa.record_batch({"id": [4], "price": pa.array([Decimal("1.10")], pa.decimal64(10, 2))})
NANOS = pa.record_batch({"at": pa.array([1000, 1001, None], pa.timestamp("ns")), "n": [1, 2, 3]})
JSON_SCHEMA = {"properties": {"id": {"type": "integer"}, "name": {"type": "string"}}}
LONG = pa.record_batch({"id": pa.array([7] * 200, pa.int64())})
REJECTED = pa.record_batch(
    {
        "line": [7, 9],
        "column": ["id", None],
        "reason": ["is no number", "the record does not parse"],
        "record": pa.array([b'{"id":"\\n\xff"}', b"{"], pa.large_binary()),
    }
)


def ipc(*batches: pa.RecordBatch, **options: Any) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, batches[0].schema, options=pa.ipc.IpcWriteOptions(**options)) as stream:
        for batch in batches:
            stream.write_batch(batch)
    return sink.getvalue()


def stretched(payload: bytes, length: int, said: int) -> bytes:
    """With another length at the start of a compressed buffer."""
    before, after = (number.to_bytes(8, "little") for number in (length, said))
    assert payload.count(before) == 1
    return payload.replace(before, after)


def frame(stream: str, *batches: pa.RecordBatch, kind: str = "BATCH", payload: bytes | None = None, **header: Any) -> bytes:
    payload = ipc(*batches) if payload is None else payload
    rows = sum(batch.num_rows for batch in batches)
    said = {"type": kind, "stream": stream, "namespace": None, "rows": rows, "bytes": len(payload)} | header
    return json.dumps(said).encode() + b"\n" + payload


def line(**message: Any) -> bytes:
    return json.dumps(message).encode() + b"\n"


def record(stream: str, **data: Any) -> bytes:
    return line(type="RECORD", record={"stream": stream, "data": data, "emitted_at": 1700000000000})


def state(stream: str, number: int, count: int | None = None) -> bytes:
    said: dict[str, Any] = {
        "type": "STREAM",
        "stream": {"stream_descriptor": {"name": stream}, "stream_state": {"n": number}},
    }
    return line(type="STATE", state=said | ({} if count is None else {"sourceStats": {"recordCount": count}}))


def catalog(*streams: str, **more: Any) -> dict[str, Any]:
    described = [{"name": name, "json_schema": JSON_SCHEMA} | more for name in streams]
    return {"streams": [{"stream": stream, "sync_mode": "incremental"} for stream in described]}


def every_type() -> pa.RecordBatch:
    moment = dt.datetime(2026, 11, 22, 1, 2, 3, 4, dt.UTC)
    columns: dict[str, pa.Array] = {
        "small": pa.array([1, None], pa.int8()),
        "unsigned": pa.array([2**64 - 1, None], pa.uint64()),
        "half": pa.array([0.5, None], pa.float16()),
        "single": pa.array([0.1, None], pa.float32()),
        "large": pa.array(["é", None], pa.large_utf8()),
        "view": pa.array(["longer than twelve bytes", None], pa.string_view()),
        "chosen": pa.array(["x", None]).dictionary_encode(),
        "run": pa.RunEndEncodedArray.from_arrays(pa.array([2], pa.int16()), pa.array(["r"])),
        "raw": pa.array([b"\n\xff", None], pa.binary(2)),
        "zoned": pa.array([moment.replace(microsecond=0), None], pa.timestamp("s", "Europe/Berlin")),
        "nanos": pa.array([moment, None], pa.timestamp("ns", "UTC")),
        "local": pa.array([dt.datetime(1, 1, 1), None], pa.timestamp("us")),
        "day": pa.array([dt.date(9999, 12, 31), None], pa.date64()),
        "clock": pa.array([dt.time(23, 59, 59), None], pa.time32("s")),
        "span": pa.array([dt.timedelta(seconds=-1), None], pa.duration("ms")),
        "wide": pa.array([Decimal("9" * 40 + ".5"), None], pa.decimal256(41, 1)),
        "nothing": pa.nulls(2),
        "list": pa.array([[1, None], None], pa.large_list(pa.int16())),
        "struct": pa.array([{"a": moment, "b": {"c": "\n"}}, None]),
        "map": pa.array([[("k", 1)], None], pa.map_(pa.utf8(), pa.int8())),
    }
    return pa.record_batch(columns)


BOTH = catalog("a", "b")
RECORDS_AND_FRAMES = b"".join(
    [
        record("a", id=1, name="x"),
        frame("a", ROWS),
        frame("a", ROWS),
        record("a", id=2),
        record("a", id=3),
        state("a", 1, 9),
        frame("a", OTHER),
    ]
)
CASES_MADE: dict[str, tuple[str, dict[str, Any], bytes]] = {
    "basic": (
        "frames and states in turns; counts are verified",
        {"catalog": BOTH},
        frame("a", ROWS) + state("a", 1, 3) + frame("b", ROWS, ROWS) + frame("a", ROWS) + state("b", 1, 6) + state("a", 2, 3),
    ),
    "types": ("every type, nested ones as JSON", {"catalog": BOTH}, frame("a", every_type())),
    "types_struct": (
        "every type, nested ones as structs and lists",
        {"catalog": BOTH, "nested": "struct"},
        frame("a", every_type()),
    ),
    "schema_changed": (
        "a schema that differs is announced before its batch, one that does not is not",
        {"catalog": BOTH},
        frame("a", ROWS) + frame("a", ROWS) + frame("a", OTHER) + frame("a", ROWS),
    ),
    "mixed": ("RECORD lines and frames of one stream", {"catalog": BOTH}, RECORDS_AND_FRAMES),
    "rejects": (
        "rejected rows count as rows, and the catalog says the schema of their stream",
        {"catalog": catalog("a", arrow_schema=encode_arrow_schema(ROWS.schema))},
        frame("a", REJECTED, kind="REJECTS") + frame("a", ROWS) + state("a", 1, 5),
    ),
    "rejects_fail": (
        "a rejected row fails the run that wants no bad values",
        {"catalog": BOTH, "on_bad_value": "fail"},
        frame("a", ROWS) + frame("a", REJECTED, kind="REJECTS"),
    ),
    "rejects_columns": (
        "rejects have columns of their own",
        {"catalog": BOTH},
        frame("a", ROWS, kind="REJECTS"),
    ),
    "empty_streams": (
        "streams without a batch are announced at the end, by the catalog's Arrow schema",
        {
            "catalog": {
                "streams": catalog("a", arrow_schema=encode_arrow_schema(OTHER.schema))["streams"] + catalog("b")["streams"]
            }
        },
        b"",
    ),
    "fields": (
        "columns that were not chosen are dropped, keys stay",
        {"catalog": catalog("a", source_defined_primary_key=[["id"]]), "fields": [[["a", None], ["name"]]]},
        frame("a", pa.record_batch({"id": [1], "other": [2], "name": ["x"]})),
    ),
    "names": (
        "columns named like Dativo's own are moved, in keys too",
        {"catalog": catalog("a", source_defined_primary_key=[["_dativo_extra"]], default_cursor_field=["_dativo_version"])},
        frame("a", pa.record_batch({"_dativo_extra": [1], "_dativo_version": [2]})),
    ),
    "namespaces": (
        "one name in two namespaces is two streams",
        {"catalog": {"streams": [catalog("a", namespace=space)["streams"][0] for space in ("x", "y")]}},
        frame("a", ROWS, namespace="y") + frame("a", OTHER, namespace="x"),
    ),
    "extracted_at": (
        "the header says when rows were read",
        {"catalog": BOTH, "metadata": ["extracted_at"]},
        frame("a", ROWS, emitted_at=1700000000123) + frame("a", ROWS),
    ),
    "empty_frames": (
        "a frame without rows, and one without batches",
        {"catalog": BOTH},
        frame("a", ROWS.slice(0, 0)) + frame("b", payload=ipc(ROWS.slice(0, 0))) + state("a", 1, 0),
    ),
    "count_wrong": ("a count that is not that of the rows", {"catalog": BOTH}, frame("a", ROWS) + state("a", 1, 4)),
    "rows_wrong": (
        "a header that does not say the rows of its frame",
        {"catalog": BOTH},
        frame("a", ROWS) + frame("b", ROWS, rows=2) + state("b", 1, 2),
    ),
    "cut": ("the input ends within a frame", {"catalog": BOTH}, frame("a", ROWS) + frame("b", ROWS)[:-9]),
    "cut_header": ("the input ends within a header", {"catalog": BOTH}, frame("a", ROWS) + frame("b", ROWS).partition(b"\n")[0]),
    "garbage": (
        "a frame that is no IPC stream",
        {"catalog": BOTH},
        frame("a", ROWS) + state("a", 1) + frame("b", rows=1, payload=b"not \n Arrow"),
    ),
    "cut_payload": ("a frame whose IPC stream is cut", {"catalog": BOTH}, frame("a", rows=3, payload=ipc(ROWS)[:-60])),
    "compressed": (
        "compressed buffers",
        {"catalog": BOTH},
        frame("a", rows=3, payload=ipc(ROWS, compression="zstd")) + frame("a", rows=3, payload=ipc(ROWS, compression="lz4")),
    ),
    "compressed_wrongly": (
        "a compressed buffer that says another length",
        {"catalog": BOTH},
        frame("a", rows=200, payload=stretched(ipc(LONG, compression="lz4"), 1600, 1 << 20)),
    ),
    "compressed_beyond_memory": (
        "a compressed buffer that says more than there is memory",
        {"catalog": BOTH},
        frame("a", rows=200, payload=stretched(ipc(LONG, compression="zstd"), 1600, 1 << 40)),
    ),
    "header_broken": ("a header without rows", {"catalog": BOTH}, line(type="BATCH", stream="a", bytes=3) + b"abc"),
    "too_large": (
        "a frame beyond the limit of a message",
        {"catalog": BOTH, "max_record_bytes": 4096},
        frame("a", ROWS) + frame("a", pa.record_batch({"id": list(range(1000))})),
    ),
    "unknown_stream": ("a stream that is not in the catalog", {"catalog": BOTH}, frame("a", ROWS) + frame("c", ROWS)),
    "no_catalog": ("a frame where nothing was to be read", {}, frame("a", ROWS)),
    "key_missing": (
        "a batch without its stream's key",
        {"catalog": catalog("a", source_defined_primary_key=[["key"]])},
        frame("a", ROWS),
    ),
    "nanoseconds": (
        "a nanosecond value that is no whole microsecond",
        {"catalog": BOTH},
        frame("a", ROWS) + frame("b", NANOS) + frame("b", NANOS),
    ),
    "nanoseconds_nulled": (
        "the same, nulled",
        {"catalog": BOTH, "on_bad_value": "null"},
        frame("b", NANOS) + frame("b", NANOS.slice(0, 1)),
    ),
    "nanoseconds_fail": ("the same, which is to fail", {"catalog": BOTH, "on_bad_value": "fail"}, frame("b", NANOS)),
    "nanoseconds_in_a_key": (
        "the same in a key, which is not nulled",
        {"catalog": catalog("b", source_defined_primary_key=[["at"]]), "on_bad_value": "null"},
        frame("b", NANOS),
    ),
    "nanoseconds_as_text": (
        "types of the job beat those of the batch",
        {"catalog": BOTH, "types": [[["b", None], {"at": "string", "n": "decimal(20,2)", "l": "string", "s": "json"}]]},
        frame(
            "b",
            pa.record_batch(
                {"at": pa.array([1000, 1001], pa.timestamp("ns", "UTC")), "n": [1, -2], "l": [[1], []], "s": ['"', None]}
            ),
        ),
    ),
    "type_impossible": (
        "a type that a column cannot have",
        {"catalog": BOTH, "types": [[["a", None], {"name": "int64"}]]},
        frame("a", ROWS),
    ),
    "catalog": (
        "a catalog says the Arrow schema of its streams",
        {},
        line(
            type="CATALOG", catalog={"streams": [{"name": "a", "arrow_schema": encode_arrow_schema(OTHER.schema)}, {"name": "b"}]}
        ),
    ),
    "arrow_schema_broken": (
        "a catalog whose Arrow schema is none",
        {"catalog": catalog("a", arrow_schema="AAAA")},
        b"",
    ),
    "column_twice": (
        "two columns of one name",
        {"catalog": BOTH},
        frame("a", pa.RecordBatch.from_arrays([pa.array([1]), pa.array([2])], ["id", "id"])),
    ),
}


def main() -> None:
    folder = CASES / "arrow"
    folder.mkdir(exist_ok=True)
    for name, (about, options, transcript) in CASES_MADE.items():
        (folder / f"{name}.bin").write_bytes(transcript)
        (folder / f"{name}.expected.json").write_text(json.dumps({"about": about, "options": options, "result": None}) + "\n")
    write_expectations("arrow")


if __name__ == "__main__":
    main()
