"""What the benchmark of merges is made of: rows, their expected sum, and a page that keeps the tables of other cases."""

from __future__ import annotations

from pathlib import Path

import duckdb

from benchmarks.generate import messages, write
from benchmarks.measure import Measurement
from benchmarks.merge import TIMES, Rows, changed
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
