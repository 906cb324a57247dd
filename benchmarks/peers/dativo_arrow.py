"""A table of PostgreSQL by `dativo.source`, in this process: `dativo_arrow.py URL PARTS`; its batches are counted and dropped."""

import sys

import dativo

url, parts = sys.argv[1], int(sys.argv[2])
source = dativo.source("postgres-native", {"url": url}, streams={"orders": {"mode": "full_refresh"}}, parallel=parts)
print(sum(batch.num_rows for batch in source.read("orders")))
