from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest
from dativo_protocols.errors import ConfigError, TargetError
from dativo_sdk import JobKey, WriteCatalog
from dativo_sdk.conformance import EVERY_TYPE, batch
from hypothesis import given, settings
from hypothesis import strategies as st

from dativo._dataset import dataset
from dativo.targets import _csv_text
from dativo.targets._csv_text import csv_header, csv_rows, read_csv
from dativo.targets.csv import CsvWriter

FIELDS = [field for field, _ in EVERY_TYPE]
PLAIN: dict[str, Any] = {"delimiter": ",", "header": True, "null_text": "", "quoting": "minimal"}


def written(path: Path, *tables: dict[str, Any], **config: Any) -> Path:
    writer = CsvWriter()
    writer.initialize({"path": str(path), **config}, WriteCatalog(JobKey("t", "j"), "r"))
    for columns in tables:
        writer.write_batch(batch(columns, fields=FIELDS))
    writer.commit(b"1", final=True)
    writer.close()
    return Path(dataset(path).files("orders")[0])


def test_a_file_is_what_people_expect_of_csv(tmp_path: Path) -> None:
    columns = {
        "id": [1, 2, 3],
        "real": [0.5, 2.0, None],
        "text": ['say "hi", twice', "", None],
        "at": EVERY_TYPE[9][1],
        "raw": [b"\x00\xff", b"", None],
        "list": [[1, None], [], None],
    }
    assert written(tmp_path, columns).read_text().splitlines() == [
        "id,real,text,at,raw,list",
        '1,0.5,"say ""hi"", twice",2026-11-22T01:02:03.000004Z,AP8=,"[1,null]"',
        '2,2.0,"",0001-01-01T00:00:00.000000Z,"",[]',
        "3,,,,,",
    ]


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ({}, 'a;b,"c,d",,1'),
        ({"delimiter": "semicolon"}, '"a;b";c,d;;1'),
        ({"delimiter": "tab"}, "a;b\tc,d\t\t1"),
        ({"delimiter": "pipe", "quoting": "strings"}, '"a;b"|"c,d"||1'),
        ({"quoting": "all", "null_text": "NULL"}, '"a;b","c,d",NULL,"1"'),
        ({"null_text": "1"}, 'a;b,"c,d",1,"1"'),
    ],
)
@pytest.mark.parametrize("header", [True, False])
def test_dialects_are_written_and_read(config: dict[str, Any], line: str, header: bool, tmp_path: Path) -> None:
    columns = {"a": ["a;b"], "b": ["c,d"], "c": pa.array([None], pa.utf8()), "n": [1]}
    lines = written(tmp_path, columns, header=header, **config).read_text().splitlines()
    assert (len(lines), lines[-1]) == (1 + header, line)
    assert dataset(tmp_path).to_arrow("orders").to_pylist() == [{"a": "a;b", "b": "c,d", "c": None, "n": 1}]


def test_each_file_is_read_in_the_dialect_that_it_was_written_in(tmp_path: Path) -> None:
    for number, delimiter in enumerate(("comma", "semicolon")):
        written(tmp_path, {"id": [number], "text": ["a,b;c"]}, delimiter=delimiter)
    assert dataset(tmp_path).to_arrow("orders").to_pydict() == {"id": [0, 1], "text": ["a,b;c"] * 2}


HOSTILE = st.text(st.sampled_from('ab",;|\t\r\n \x00\u00a0é😀N'), max_size=6) | st.none()


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(HOSTILE, HOSTILE), min_size=1, max_size=6), st.sampled_from("\t,;|"), st.sampled_from(["", "N", "NULL"])
)
@pytest.mark.parametrize("quoting", ["minimal", "strings", "all"])
def test_every_text_comes_back(quoting: str, rows: list[tuple[str | None, str | None]], delimiter: str, null: str) -> None:
    dialect = {"delimiter": delimiter, "header": True, "null_text": null, "quoting": quoting}
    for columns in (1, 2):
        names = ["one", "two"][:columns]
        data = pa.record_batch({name: pa.array([row[at] for row in rows], pa.utf8()) for at, name in enumerate(names)})
        text = csv_header(data.schema, dialect) + bytes(csv_rows(data, dialect))
        again = pa.Table.from_batches(read_csv(lambda text=text: pa.BufferReader(text), dialect, data.schema, names), data.schema)
        assert again.to_pylist() == data.to_pylist()
        if not null and columns == 2:
            others = list(csv.reader(io.StringIO(text.decode(), newline=""), delimiter=delimiter))
            assert others[1:] == [[cell or "" for cell in row] for row in rows]


@pytest.mark.parametrize(
    "values", [[0.1, 1e-300, 1e300, -0.0, 5e-324], [float("nan"), float("inf"), float("-inf"), 1.0], [1.0, 3e15]]
)
def test_floats_keep_every_bit(values: list[float], tmp_path: Path) -> None:
    written(tmp_path, {"real": values})
    found = dataset(tmp_path).to_arrow("orders")["real"].to_pylist()
    assert [str(value) for value in found] == [str(value) for value in values]


def test_other_tools_read_the_files(tmp_path: Path) -> None:
    texts = ["plain", 'a "b", c', "line\nfeed", "", None]
    file = written(tmp_path, {"id": [1, 2, 3, 4, 5], "text": texts, "real": [0.5, 1.0, None, 2.5, -1.0]})
    assert duckdb.sql(f"SELECT * FROM read_csv('{file}', allow_quoted_nulls=false) ORDER BY id").fetchall()[2:] == [
        (3, "line\nfeed", None),
        (4, "", 2.5),
        (5, None, -1.0),
    ]
    assert pl.read_csv(file)["text"].to_list() == texts
    options = pa_csv.ConvertOptions(strings_can_be_null=True, quoted_strings_can_be_null=False)
    table = pa_csv.read_csv(file, parse_options=pa_csv.ParseOptions(newlines_in_values=True), convert_options=options)
    assert table["text"].to_pylist() == texts


@pytest.mark.parametrize(("compression", "suffix"), [("none", ".csv"), ("gzip", ".csv.gz"), ("zstd", ".csv.zst")])
def test_compressed_files(compression: str, suffix: str, tmp_path: Path) -> None:
    parts = [{"id": list(range(start, start + 20_000))} for start in range(0, 60_000, 20_000)]
    file = written(tmp_path, *parts, compression=compression)
    assert file.name.endswith(suffix)
    if compression == "gzip":
        assert gzip.decompress(file.read_bytes()).startswith(b"id\n0\n1\n")
    assert dataset(tmp_path).to_arrow("orders")["id"].to_pylist() == list(range(60_000))


def test_a_row_longer_than_a_block_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_csv_text, "BLOCK_BYTES", 1 << 12)
    texts = ["x" * length for length in (10, 3000, 50_000, 10, 600_000, 1)]
    written(tmp_path, {"text": texts})
    assert dataset(tmp_path).to_arrow("orders")["text"].to_pylist() == texts


def test_a_null_text_that_would_be_ambiguous_is_refused(tmp_path: Path) -> None:
    for text in ('"', "a,b", " x", "\n"):
        with pytest.raises(ConfigError, match="`null_text` cannot hold"):
            written(tmp_path, {"id": [1]}, null_text=text)


@pytest.mark.parametrize("damage", [b"1\n2", b"1\n2,3\n", b"1\nx\n"])
def test_a_damaged_file_is_an_error(damage: bytes, tmp_path: Path) -> None:
    file = written(tmp_path, {"id": [1, 2]})
    file.write_bytes(b"id\n" + damage)
    with pytest.raises(TargetError):
        dataset(tmp_path).to_arrow("orders")
