"""DuckDB reads the file of messages as JSON with two threads: `duckdb_json.py MESSAGES OUT.parquet|OUT.duckdb`."""

import sys

import duckdb

messages, out = sys.argv[1:3]
with duckdb.connect(out if out.endswith(".duckdb") else ":memory:") as connection:
    connection.execute("set threads = 2")
    rows = f"select record.* from read_json('{messages}', format = 'newline_delimited') where type = 'RECORD'"
    if out.endswith(".duckdb"):
        connection.execute(f"create table rows as {rows}")
    else:
        connection.execute(f"copy ({rows}) to '{out}' (format parquet, compression zstd)")
