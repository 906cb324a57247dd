"""What the benchmark of merges is made of: rows, their expected sum, and a page that keeps the tables of other cases."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
from dativo_sdk.testing import read_all

from benchmarks.copiers import job
from benchmarks.files import made
from benchmarks.generate import messages, write
from benchmarks.measure import Measurement
from benchmarks.merge import TIMES, Rows, changed
from benchmarks.peers.python_csv_reader import CsvRows
from benchmarks.report import TITLES, Results, sections, tables, updated
from benchmarks.stretch import stretched


def test_copies_of_messages_get_ids_that_go_on(tmp_path: Path) -> None:
    file = write(tmp_path / "messages", "orders", 30)
    lines = b"".join(stretched(file, 3)).decode().splitlines()
    assert lines[1] == list(messages("orders", 30, "singer"))[1]
    records = [line for line in lines if '"RECORD"' in line]
    assert [int(line.split('"id":')[1].split(",")[0]) for line in records] == list(range(1, 91))


def test_half_of_the_merged_rows_are_in_the_table_all_over_it() -> None:
    ids = [changed(n, 10_000) for n in range(1, 10_001)]
    old, new = sorted(i for i in ids if i <= TIMES * 10_000), [i for i in ids if i > TIMES * 10_000]
    assert old == list(range(1, TIMES * 10_000, 20))
    assert new == list(range(TIMES * 10_000 + 1, TIMES * 10_000 + 5_001))


def test_what_a_merged_table_must_hold_is_what_a_merge_gives(tmp_path: Path) -> None:
    rows = Rows.made(tmp_path, 1_000)
    (tmp_path / "base").write_bytes(b"".join(stretched(rows.base, TIMES)))
    read = "select record.id, record.quantity from read_json('{}', format = 'newline_delimited') where type = 'RECORD'"
    changes = read.format(rows.changes)
    merged = (
        f"({changes} union all select * from ({read.format(tmp_path / 'base')}) where id not in (select id from ({changes})))"
    )
    facts = rows.expected()
    with duckdb.connect() as connection:
        found = connection.execute(f"select count(*), count(distinct id), sum(quantity) from {merged}").fetchall()
    assert found == [(facts.rows, facts.rows, facts.quantities)]


def test_tables_of_cases_that_did_not_run_stay_on_the_page() -> None:
    before, after = Results(), Results()
    for case in ("orders", "orders-x10", "merge"):
        before.put(case, 10, 5_000_000, "dativo → duckdb", [Measurement(1.0, 1.0, 1)])
    after.put("orders", 10, 5_000_000, "dativo → duckdb", [Measurement(2.0, 1.0, 1)])
    page = updated(f"machine; day\n\n{tables(before)}", tables(after))
    assert [part.split("\n")[0] for part in sections(page)] == [
        f"### 10 {TITLES[case]} (5 MB)" for case in ("orders", "orders-x10", "merge")
    ]
    assert "| dativo → duckdb | 2.00 |" in page


def test_files_that_are_read_have_the_same_rows(tmp_path: Path) -> None:
    csv, lines = made(tmp_path, "csv", 1_000), made(tmp_path, "jsonl", 1_000)
    # The texts that end with a blank are kept by both; what is empty in one is null in both.
    columns = "id, customer, sku, name, email, quantity, price, discount, paid, day, created::timestamp, nullif(note, '')"
    with duckdb.connect() as connection:
        rows = [connection.execute(f"select {columns} from '{file}' order by id").fetchall() for file in (csv, lines)]
    assert len(rows[0]) == 1_000
    assert rows[0] == rows[1]


def test_the_reader_in_python_reads_what_duckdb_reads_whole_and_in_parts(tmp_path: Path) -> None:
    path = made(tmp_path, "csv", 1_000)
    (whole,) = read_all(CsvRows, {"path": str(path)}).values()
    reader = CsvRows()
    reader.initialize(CsvRows.Config(path=str(path)), None, None)
    begins = [json.loads(part.token)[0] for part in reader.partitions(3, 1 << 30)]
    reader.close()
    with duckdb.connect() as connection:
        expected = connection.execute(f"select name, created from read_csv('{path}') order by id").fetchall()
    rows = whole.select(["name", "created"])
    assert [(row["name"], row["created"]) for row in rows.to_pylist()] == expected
    lines = path.read_bytes()
    assert begins[0] == lines.index(b"\n") + 1
    assert all(lines[begin - 1 : begin] == b"\n" for begin in begins)


def test_a_copier_is_told_its_job_by_a_file(tmp_path: Path) -> None:
    command = job(tmp_path, {"connector": "csv"}, metadata=True)
    assert command[1:] == ["run", "job.yaml"]
    target = json.loads((tmp_path / "job.yaml").read_text())["target"]
    assert (target["connector"], target["metadata"]) == ("parquet", True)
