"""JSON lines read right: the same values as Python's own module gives."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from dativo_protocols import ConfigError, ConnectorError, ContractError

from .files import Files


@pytest.fixture
def files(way: Mapping[str, type[Any]], tmp_path: Path) -> Files:
    return Files(way["jsonl"], tmp_path)


def lines(records: list[Any], **options: Any) -> str:
    return "".join(json.dumps(record, **options) + "\n" for record in records)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("ascii_only", [True, False])
def test_values_are_those_of_the_json_module(files: Files, seed: int, ascii_only: bool) -> None:
    rng = random.Random(seed)
    texts = ["", "a", 'a"b\\c', "Ö東\U0001d11e", "\n\t\u0000", "x" * 3000]
    records = [
        {
            "id": number,
            "text": rng.choice(texts),
            "whole": rng.randrange(-(2**63), 2**63),
            "real": rng.uniform(-1, 1) * 10 ** rng.randrange(-300, 300),
            "truth": rng.random() < 0.5,
            "maybe": rng.choice([None, 1, 2]),
        }
        for number in range(3000)
    ]
    path = files.write("data.jsonl", lines(records, ensure_ascii=ascii_only))

    found = files.read(path, threads=2, block_bytes=rng.choice([100, 5000]))

    assert found.rows == records
    assert not found.rejects


def test_types_are_inferred(files: Files) -> None:
    path = files.write(
        "data.jsonl",
        lines(
            [
                {"whole": 1, "real": 1, "large": 2**64, "moment": "2024-02-29T12:34:56Z", "day": "2024-02-29", "inner": {"a": 1}},
                {
                    "whole": 2,
                    "real": 0.5,
                    "large": 1,
                    "moment": "2024-03-01T00:00:00+01:00",
                    "day": "2024-03-01",
                    "list": [1, "a"],
                },
                {"mixed": 1},
                {"mixed": "a"},
            ]
        ),
    )

    found = files.read(path).table
    types = {field.name: str(field.type) for field in found.schema}

    assert types["whole"] == "int64"
    assert types["real"] == "double"
    assert found.column("large").to_pylist()[:2] == [Decimal(2**64), Decimal(1)]
    assert types["moment"] == "timestamp[us, tz=UTC]"
    assert types["day"] == "date32[day]"
    assert json.loads(found.column("inner")[0].as_py()) == {"a": 1}
    assert json.loads(found.column("list")[1].as_py()) == [1, "a"]
    assert found.column("mixed").to_pylist()[2:] in (["1", '"a"'], ["1", "a"])


def test_nested_values_can_be_structs_and_lists(files: Files) -> None:
    records = [{"id": 1, "in": {"a": [1, 2], "b": {"c": "x"}}}, {"id": 2, "in": {"a": None, "b": None}}, {"id": 3, "in": None}]
    path = files.write("data.jsonl", lines(records))

    assert files.read(path, nested="struct").rows == records


def test_given_types_beat_inferred_ones(files: Files) -> None:
    path = files.write("data.jsonl", '{"id": 1, "price": 12345678901234567890.25}\n{"id": 2, "price": 1e-1}\n')

    found = files.read(path, types={"price": "decimal(30,2)", "id": "string"}).table

    assert found.column("price").to_pylist() == [Decimal("12345678901234567890.25"), Decimal("0.10")]
    assert found.column("id").to_pylist() == ["1", "2"]
    with pytest.raises(ConfigError, match="money"):
        files.stream(path, types={"price": "money"})


@pytest.mark.parametrize("threads", [1, 3])
def test_what_does_not_fit_goes_aside_and_the_counts_add_up(files: Files, threads: int) -> None:
    made, bad = [], {}
    for number in range(20_000):
        text = json.dumps({"id": number, "n": number * 2})
        if number > 10_500:
            for every, instead in [(97, f'{{"id": {number}, "n": "many"}}'), (89, text[:-1]), (83, "[1]"), (79, "nonsense")]:
                if number % every == 5:
                    text = bad[number] = instead
        made.append(text)
    path = files.write("data.jsonl", "\n".join(made))

    found = files.read(path, threads=threads, block_bytes=9000)

    assert [row["id"] for row in found.rows] == [number for number in range(20_000) if number not in bad]
    assert [(row["line"], row["record"].decode()) for row in found.rejected] == [
        (number + 1, text) for number, text in bad.items()
    ]
    assert all(row["n"] == row["id"] * 2 for row in found.rows)


def test_bad_values_are_null_or_end_the_run_where_that_is_asked(files: Files) -> None:
    path = files.write("data.jsonl", '{"id": 1, "n": 5}\n{"id": 2, "n": "many"}\n')

    nulled = files.read(path, types={"n": "int64"}, on_bad_value="null")
    assert [row["n"] for row in nulled.rows] == [5, None]
    assert '"column":"n"' in nulled.rows[1]["_dativo_changes"]
    with pytest.raises((ContractError, ConnectorError), match="line 2"):
        files.read(path, types={"n": "int64"}, on_bad_value="fail")


def test_properties_that_the_sample_had_not_are_kept(files: Files) -> None:
    path = files.write("data.jsonl", '{"id": 1}\n{"id": 2, "new": {"a": 1.10}}\n')

    kept = files.read(path, sample_rows=1)
    assert [row.get("_dativo_extra") for row in kept.rows] == [None, '{"new":{"a": 1.10}}']
    assert files.read(path, sample_rows=1, extra="drop").rows == [{"id": 1}, {"id": 2}]


def test_blank_lines_and_ends_of_lines(files: Files) -> None:
    path = files.write("data.jsonl", '\n{"id": 1}\r\n  \r\n\t{"id": 2} \n{"id": 3}')

    assert [row["id"] for row in files.read(path).rows] == [1, 2, 3]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_encodings_and_packed_files(files: Files, encoding: str, suffix: str) -> None:
    records = [{"id": number, "a": "é" * (number % 50)} for number in range(5000)]
    data = lines(records, ensure_ascii=False).encode(encoding)
    pack = {"": bytes, ".gz": gzip.compress, ".zst": lambda data: pa.compress(data, "zstd", asbytes=True)}[suffix]
    path = files.write(f"data.jsonl{suffix}", pack(data))

    assert files.read(path, **({"encoding": "latin-1"} if encoding == "latin-1" else {})).rows == records


def test_many_files_are_one_stream(files: Files) -> None:
    files.write("in/1.jsonl", '{"id": 1}\n')
    files.write("in/2.jsonl", '{"id": 2, "a": "x"}\n')
    files.write("in/empty.jsonl", "")

    found = files.read(str(files.folder / "in" / "*.jsonl"), stream="data")

    assert found.table.select(["id", "a"]).to_pylist() == [{"id": 1, "a": None}, {"id": 2, "a": "x"}]


def test_only_wanted_columns_are_read(files: Files) -> None:
    path = files.write("data.jsonl", '{"id": 1, "a": "x", "b": "y"}\n')

    assert files.read(path, fields=["b"]).rows == [{"b": "y"}]
    assert files.read(path, fields=["b"], primary_key=["id"]).rows == [{"id": 1, "b": "y"}]


@pytest.mark.parametrize("max_rows", [1, 7, 1000])
def test_batches_are_no_larger_than_asked_for(files: Files, max_rows: int) -> None:
    path = files.write("data.jsonl", "".join(f'{{"id": {n}}}\n' for n in range(2000)))

    found = files.read(path, max_rows=max_rows, block_bytes=500)

    assert max(batch.num_rows for batch in found.batches) <= max_rows
    assert [row["id"] for row in found.rows] == list(range(2000))
