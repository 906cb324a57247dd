"""JSON lines without envelopes: written, read back, streamed."""

from __future__ import annotations

import datetime as dt
import gzip
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from dativo_protocols import ConnectorError, ContractError, decode_json_lines, encode_json_lines

EVERYTHING = pa.record_batch(
    {
        "int": pa.array([1, None, -(2**63)]),
        "float": pa.array([0.1, float("inf"), None]),
        "bool": pa.array([True, None, False]),
        "text": pa.array(['a\n"é😀', "", None]),
        "decimal": pa.array([Decimal("1.10"), None, Decimal("-99.99")], pa.decimal128(38, 2)),
        "date": pa.array([dt.date(2024, 2, 29), None, dt.date(1, 1, 1)]),
        "instant": pa.array([0, None, -1], pa.timestamp("us", "UTC")),
        "local": pa.array([0, None, 1], pa.timestamp("us")),
        "time": pa.array([0, None, 86_399_999_999], pa.time64("us")),
        "binary": pa.array([b"\0\xff", b"", None]),
        "list": pa.array([[1, None], [], None]),
        "struct": pa.array([{"a": 1, "b": "x"}, None, {"a": None, "b": None}]),
    }
)


def read(path: Path, schema: pa.Schema, **options: bool) -> pa.Table:
    return pa.Table.from_batches([pa.record_batch(batch) for batch in decode_json_lines(path, schema, **options)], schema)  # type: ignore[arg-type]


def test_every_type_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(encode_json_lines(EVERYTHING))
    assert read(path, EVERYTHING.schema).to_batches() == [EVERYTHING]


def test_compressed_files_of_several_members_are_read_to_their_end(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"a":1}\n') + gzip.compress(b'{"a":2}\n'))
    batches = decode_json_lines(path, pa.schema({"a": pa.int64()}), compression="gzip")
    assert [pa.record_batch(batch).to_pylist() for batch in batches] == [[{"a": 1}, {"a": 2}]]


def test_a_file_cut_short_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"a":1}\n' * 1000)[:-10])
    with pytest.raises(ConnectorError):
        list(decode_json_lines(path, pa.schema({"a": pa.int64()}), compression="gzip"))


def test_a_record_that_does_not_fit_is_named_by_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a":1}\n\n{"a":[]}\n')
    with pytest.raises(ContractError) as raised:
        list(decode_json_lines(path, pa.schema({"a": pa.int64()})))
    assert (raised.value.facts["line"], raised.value.facts["column"]) == (3, "a")


def test_coercion_is_a_choice(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a":1.10}\n')
    assert read(path, pa.schema({"a": pa.string()})).to_pylist() == [{"a": "1.10"}]
    with pytest.raises(ContractError):
        read(path, pa.schema({"a": pa.string()}), coerce=False)


def test_large_files_are_streamed_in_order(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("".join(f'{{"n": {number}, "skipped": "{"y" * 50}"}}\n' for number in range(200_000)))
    table = read(path, pa.schema({"n": pa.int64()}))
    assert table["n"].to_pylist() == list(range(200_000))
    assert table["n"].num_chunks > 1


def test_a_reader_may_stop_early(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"n": 1}\n' * 2_000_000)
    reader = decode_json_lines(path, pa.schema({"n": pa.int64()}))
    assert next(reader).num_rows > 0
    reader.close()


def test_what_cannot_be_opened_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        decode_json_lines(tmp_path / "missing", pa.schema({"a": pa.int64()}))
    with pytest.raises(ValueError, match="gzip"):
        decode_json_lines(tmp_path, pa.schema({"a": pa.int64()}), compression="zip")  # type: ignore[arg-type]
