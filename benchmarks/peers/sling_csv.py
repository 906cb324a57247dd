"""The records of the file as CSV, for Sling: `sling_csv.py MESSAGES TIMES OUT.csv`; ids of a copy go on."""

import sys

import duckdb

messages, times, out = sys.argv[1:4]
rows = f"select record.* from read_json('{messages}', format = 'newline_delimited') where type = 'RECORD'"
with duckdb.connect() as connection:
    connection.execute("set timezone = 'UTC'")
    connection.execute(f"create temp table once as {rows}")
    copies = f"select once.* replace (id + copy * (select max(id) from once) as id) from range({times}) copies(copy), once"
    connection.execute(f"copy ({copies}) to '{out}' (header, timestampformat '%Y-%m-%d %H:%M:%S.%f')")
