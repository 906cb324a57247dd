"""Prints the tables of a DuckDB file with their first rows: `show_tables.py FILE`."""

from __future__ import annotations

import sys

import duckdb


def main(path: str) -> None:
    with duckdb.connect(path, read_only=True) as connection:
        tables = connection.sql("select table_name from duckdb_tables() where not starts_with(table_name, '_dativo')").fetchall()
        for (table,) in sorted(tables):
            rows = connection.table(f'"{table}"')
            print(f"\n{table}: {len(rows)} rows")
            rows.limit(5).show()


if __name__ == "__main__":
    main(sys.argv[1])
