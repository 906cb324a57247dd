"""CSV files read right, whatever their dialect: the same values as Python's own module gives."""

from __future__ import annotations

import csv
import gzip
import io
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from dativo_protocols import ConfigError, ConnectorError, ContractError

from .files import Files

PIECES = ["a", "Ö", "東", "1", " ", ",", ";", "\t", "'", '"', '""', "\\", "\n", "\r\n", "#", "x" * 70]


@pytest.fixture
def files(way: Mapping[str, type[Any]], tmp_path: Path) -> Files:
    return Files(way["csv"], tmp_path)


def written(rows: list[list[str]], **dialect: Any) -> str:
    text = io.StringIO()
    csv.writer(text, **dialect).writerows(rows)
    return text.getvalue()


DIALECTS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"lineterminator": "\n"}, {}),
    ({"delimiter": ";", "lineterminator": "\n"}, {"delimiter": ";"}),
    ({"delimiter": "\t", "quotechar": "'"}, {"delimiter": "tab", "quote": "'"}),
    ({"quoting": csv.QUOTE_ALL}, {}),
    ({"doublequote": False, "escapechar": "\\", "quoting": csv.QUOTE_ALL}, {"escape": "\\", "doubled_quote": False}),
]


@pytest.mark.parametrize(("theirs", "ours"), DIALECTS, ids=lambda value: "-".join(map(str, value.values())) or "plain")
@pytest.mark.parametrize("seed", range(3))
def test_values_are_those_of_the_csv_module(files: Files, theirs: dict[str, Any], ours: dict[str, Any], seed: int) -> None:
    """Records of any length, blocks of any size: fields lie across the borders of blocks."""
    rng = random.Random(seed)
    # A first field that is never empty: no record is an empty line.
    rows = [[str(number), *("".join(rng.choices(PIECES, k=rng.randrange(6))) for _ in range(3))] for number in range(400)]
    if "quotechar" not in theirs and "escapechar" in theirs:
        rows = [[value.replace("\r", "") for value in row] for row in rows]
    path = files.write("data.csv", written([["n", "a", "b", "c"], *rows], **theirs))

    with open(path, newline="", encoding="utf-8") as text:
        expected = list(csv.reader(text, **{key: value for key, value in theirs.items() if key != "quoting"}))[1:]
    quoted = theirs.get("quoting") == csv.QUOTE_ALL
    found = files.read(path, infer=False, block_bytes=rng.choice([7, 100, 5000]), threads=2, **ours)

    assert [list(row.values()) for row in found.rows] == [
        [value if value or quoted else None for value in row] for row in expected
    ]
    assert not found.rejects


def test_types_are_inferred_as_narrow_as_loses_nothing(files: Files) -> None:
    path = files.write(
        "data.csv",
        "whole,large,huge,real,truth,day,moment,local,time,padded,text,none\n"
        "1,9223372036854775808,1e400,0.5,true,2024-02-29,2024-02-29T12:34:56.789012Z,2024-02-29 12:00:00,10:11:12,007,x,\n"
        "-7,1,2,1e3,False,0001-01-01,2024-02-29 12:34:56+02:00,1969-12-31 23:59:59.5,23:59:59.999999,1,,\n",
    )

    found = files.read(path).table

    assert {field.name: str(field.type) for field in found.schema} == {
        "whole": "int64",
        "large": "decimal128(38, 0)",
        "huge": "string",
        "real": "double",
        "truth": "bool",
        "day": "date32[day]",
        "moment": "timestamp[us, tz=UTC]",
        "local": "timestamp[us]",
        "time": "time64[us]",
        "padded": "string",
        "text": "string",
        "none": "string",
    }
    assert [str(value) for value in found.column("moment").to_pylist()] == [
        "2024-02-29 12:34:56.789012+00:00",
        "2024-02-29 10:34:56+00:00",
    ]
    assert found.column("padded").to_pylist() == ["007", "1"]


def test_numbers_are_exact(files: Files) -> None:
    rng = random.Random(1)
    floats = [rng.uniform(-1, 1) * 10 ** rng.randrange(-300, 300) for _ in range(2000)] + [5e-324, 1.7976931348623157e308, -0.0]
    whole = [rng.randrange(-(2**63), 2**63) for _ in floats]
    path = files.write("data.csv", written([["f", "i"], *[[repr(f), str(i)] for f, i in zip(floats, whole, strict=True)]]))

    found = files.read(path).table

    assert [value.hex() for value in found.column("f").to_pylist()] == [value.hex() for value in floats]
    assert found.column("i").to_pylist() == whole


def test_given_types_beat_inferred_ones(files: Files) -> None:
    path = files.write("data.csv", "id,price,code,note\n1,1.50,7,{}\n2,12345678901234567890.25,8,[1]\n")
    types = {"price": "decimal(30,2)", "code": "string", "note": "json"}

    found = files.read(path, types=types).table

    assert found.schema.field("price").type == pa.decimal128(30, 2)
    assert list(map(str, found.column("price").to_pylist())) == ["1.50", "12345678901234567890.25"]
    assert found.column("code").to_pylist() == ["7", "8"]
    with pytest.raises(ConfigError, match="there is no type `money`"):
        files.stream(path, types={"price": "money"})


def test_a_type_for_a_column_that_is_not_there_is_an_error(files: Files) -> None:
    path = files.write("data.csv", "id\n1\n")

    with pytest.raises(ConfigError, match="prise"):
        files.stream(path, types={"prise": "int64"})


@pytest.mark.parametrize("threads", [1, 3])
def test_what_does_not_fit_goes_aside_and_the_counts_add_up(files: Files, threads: int) -> None:
    rows, bad = ["id,n"], {}
    for number in range(20_000):
        if number % 97 == 5:
            bad[number] = f"{number},many"
        elif number % 89 == 7:
            bad[number] = f"{number}"
        elif number % 83 == 9:
            bad[number] = f"{number},1,2"
        elif number % 79 == 11:
            bad[number] = f'{number},"1"2'
        rows.append(bad.get(number, f"{number},{number * 2}"))
    path = files.write("data.csv", "\n".join(rows) + "\n")

    found = files.read(path, types={"id": "int64", "n": "int64"}, threads=threads, block_bytes=9000)

    assert [row["id"] for row in found.rows] == [number for number in range(20_000) if number not in bad]
    assert all(row["n"] == row["id"] * 2 for row in found.rows)
    assert [(row["line"], row["record"].decode()) for row in found.rejected] == [
        (number + 2, text) for number, text in bad.items()
    ]
    assert len(found.rows) + len(found.rejected) == 20_000


def test_bad_values_are_null_or_end_the_run_where_that_is_asked(files: Files) -> None:
    path = files.write("data.csv", "id,n\n1,5\n2,many\n")

    nulled = files.read(path, types={"n": "int64"}, on_bad_value="null")

    assert [(row["id"], row["n"]) for row in nulled.rows] == [(1, 5), (2, None)]
    assert '"column":"n"' in nulled.rows[1]["_dativo_changes"]
    with pytest.raises((ContractError, ConnectorError), match=r"line 3, column `n`"):
        files.read(path, types={"n": "int64"}, on_bad_value="fail")


def test_a_quote_that_never_closes_costs_its_record_alone(files: Files) -> None:
    path = files.write("data.csv", 'id,a\n1,x\n2,"y\n3,z\n4,w\n')

    found = files.read(path, infer=False, block_bytes=10)

    assert [row["id"] for row in found.rows][:1] == ["1"]
    assert found.rejected[0]["line"] == 3
    assert "never closed" in found.rejected[0]["reason"]


def test_quotes_over_many_lines(files: Files) -> None:
    long = "\n".join(f'line {number}, with "quotes"' for number in range(20_000))
    path = files.write("data.csv", written([["id", "a"], ["1", long], ["2", "x"], ["3", long]]))

    found = files.read(path, block_bytes=4096, threads=3, origin=["line"])

    assert [row["a"] for row in found.rows] == [long, "x", long]
    assert [row["_dativo_line"] for row in found.rows] == [2, 20_002, 20_003]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1", "cp1252", "shift_jis", "gb18030"])
def test_encodings(files: Files, encoding: str) -> None:
    words = {"shift_jis": "あ漢字", "gb18030": "漢字€𝄞", "latin-1": "é\u0080ÿ", "cp1252": "é€ÿ"}.get(encoding, "é€𝄞東")
    text = written([["id", "wörd" if "shift" not in encoding else "語"], *[[str(n), words * n] for n in range(1, 300)]])
    path = files.write("data.csv", text.encode(encoding))
    said = {} if encoding in ("utf-8", "utf-8-sig", "utf-16") else {"encoding": encoding}

    found = files.read(path, block_bytes=1000, **said).table

    assert found.column(1).to_pylist() == [words * n for n in range(1, 300)]
    assert found.schema.names[0] == "id"


def test_text_that_is_not_in_its_encoding(files: Files) -> None:
    path = files.write("data.csv", b"id,a\n1,x\n2,\xff\xfe\n3,z\n")

    found = files.read(path, types={"a": "string"})

    assert [row["id"] for row in found.rows] == [1, 3]
    assert [row["line"] for row in found.rejected] == [3]


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [
        ("gz", gzip.compress),
        ("zst", lambda data: pa.compress(data, "zstd", asbytes=True)),
        ("gz", lambda data: gzip.compress(data[:999]) + gzip.compress(data[999:])),
    ],
)
def test_packed_files(files: Files, suffix: str, pack: Any) -> None:
    rows = [[str(number), "x" * (number % 50)] for number in range(5000)]
    data = written([["id", "a"], *rows]).encode()
    path = files.write(f"data.csv.{suffix}", pack(data))
    bare = files.write("bare", pack(data))

    assert [row["id"] for row in files.read(path).rows] == list(range(5000))
    packed = {"gz": "gzip", "zst": "zstd"}[suffix]
    assert len(files.read(bare, compression=packed, stream="data").rows) == 5000


def test_a_cut_archive_is_an_error(files: Files) -> None:
    path = files.write("data.csv.gz", gzip.compress(written([["id"], *[[str(n)] for n in range(100_000)]]).encode())[:-5000])

    with pytest.raises(ConnectorError, match=r"data\.csv\.gz"):
        files.read(path)


def test_headers_comments_and_skipped_lines(files: Files) -> None:
    path = files.write("data.csv", "made by X\n\n# note\nid|a|a\n1|2|3\n# more\n4|5|6\n")
    names = files.read(path, delimiter="|", comment="#", skip_rows=1).table.schema.names
    assert names[0] == "id"
    assert len(set(names)) == 3

    bare = files.write("bare.csv", "1,x\n2,y\n")
    assert files.read(bare, header=False, stream="data").table.to_pydict().keys() == {"column_1", "column_2"}
    assert files.read(bare, header=False, columns=["id", "a"], stream="data").rows[1] == {"id": 2, "a": "y"}


def test_nulls_empties_and_spaces(files: Files) -> None:
    path = files.write("data.csv", 'n,a,b\n 1 ,NA,""\nNA,x,\n3,"NA",\n')

    found = files.read(path, nulls=["NA"], trim=True)
    assert [row["n"] for row in found.rows] == [1, None, 3]
    assert [row["a"] for row in found.rows] == [None, "x", "NA"]
    assert [row["b"] for row in found.rows] == ["", None, None]
    assert [row["b"] for row in files.read(path, nulls=["NA"], trim=True, empty="text").rows] == ["", "", ""]


def test_short_records_and_trailing_delimiters(files: Files) -> None:
    path = files.write("data.csv", "id,a,b\n1,x,y\n2,x\n3\n")
    assert [row["b"] for row in files.read(path, short_records="null").rows] == ["y", None, None]

    path = files.write("trailing.csv", "id,a,\n1,x,\n2,y,\n")
    assert files.read(path, stream="data").rows == [{"id": 1, "a": "x"}, {"id": 2, "a": "y"}]


def test_carriage_returns_end_records(files: Files) -> None:
    path = files.write("data.csv", "id,a\r1,x\r2,y\r")

    assert files.read(path, line_end="cr").rows == [{"id": 1, "a": "x"}, {"id": 2, "a": "y"}]


def test_many_files_are_one_stream(files: Files) -> None:
    files.write("in/a/1.csv", "id,a\n1,x\n")
    files.write("in/a/2.csv", "a,id,b\ny,2,new\n")
    files.write("in/b/3.csv", "id\n3\n")
    files.write("in/b/not.txt", "nothing")
    files.write("in/b/empty.csv", "")
    pattern = str(files.folder / "in" / "**" / "*.csv")

    found = files.read(pattern, stream="data", origin=["file", "line"])

    assert [(row["id"], row["a"], row["b"]) for row in found.rows] == [(1, "x", None), (2, "y", "new"), (3, None, None)]
    assert [Path(row["_dativo_file"]).name for row in found.rows] == ["1.csv", "2.csv", "3.csv"]
    assert [row["_dativo_line"] for row in found.rows] == [2, 2, 2]
    listed = [str(files.folder / "in/a/2.csv"), str(files.folder / "in/a/1.csv")]
    assert [row["id"] for row in files.read(listed, stream="data").rows] == [2, 1]


def test_only_wanted_columns_are_read(files: Files) -> None:
    path = files.write("data.csv", "id,a,b\n1,x,y\n2,z,w\n")

    assert files.read(path, fields=["b"]).rows == [{"b": "y"}, {"b": "w"}]
    assert files.read(path, fields=["b", "a"], primary_key=["id"]).table.schema.names == ["id", "a", "b"]


@pytest.mark.parametrize("max_rows", [1, 7, 1000])
def test_batches_are_no_larger_than_asked_for(files: Files, max_rows: int) -> None:
    path = files.write("data.csv", "id\n" + "".join(f"{n}\n" for n in range(2000)))

    found = files.read(path, max_rows=max_rows, block_bytes=500)

    assert max(batch.num_rows for batch in found.batches) <= max_rows
    assert [row["id"] for row in found.rows] == list(range(2000))


def test_what_is_wrong_is_said(files: Files) -> None:
    path = files.write("data.csv", "id\n1\n")
    for settings, said in [
        ({"path": str(files.folder / "no.csv")}, r"no\.csv"),
        ({"path": str(files.folder / "no*.csv")}, "no file matches"),
        ({"path": path, "delimiter": ";;"}, "`delimiter` must be one ASCII character"),
        ({"path": path, "delimeter": ";"}, "delimeter"),
        ({"path": path, "encoding": "klingon"}, "klingon"),
        ({"path": path, "compression": "gzip"}, "data.csv"),
        ({}, "there is nothing to read"),
    ]:
        with pytest.raises((ConfigError, ConnectorError), match=said):
            files.stream(**{"path": None, **settings})  # type: ignore[arg-type]
