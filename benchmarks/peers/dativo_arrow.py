"""The Rust reader alone: `dativo_arrow.py URL PARTS`; batches are counted and dropped."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from dativo_protocols import StreamId
from dativo_readers import PostgresReader
from dativo_sdk import ReadCatalog, Selection

ORDERS = StreamId("orders", "public")
MOST_ROWS = 65_536
PART_BYTES = 32 << 20
url, parts = sys.argv[1], int(sys.argv[2])


def opened(catalog: ReadCatalog | None) -> PostgresReader:
    reader = PostgresReader()
    reader.initialize({"url": url}, catalog, None)
    return reader


def read(partition: bytes | None) -> int:
    reader = opened(ReadCatalog(offered, {ORDERS: Selection(None, "FULL_TABLE")}, partition))
    rows = 0
    while (batch := reader.read_batch(MOST_ROWS)) is not None:
        rows += batch.rows
    reader.close()
    return rows


lead = opened(None)
offered = lead.get_schema()
lead.close()
if parts == 1:
    print(read(None))
else:
    lead = opened(ReadCatalog(offered, {ORDERS: Selection(None, "FULL_TABLE")}))
    tokens = [part.token for part in lead.partitions(parts, PART_BYTES)]
    with ThreadPoolExecutor(parts) as workers:
        print(sum(workers.map(read, tokens)), "rows by", threading.active_count() - 1, "threads")
    lead.close()
