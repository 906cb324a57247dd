"""Others read the table `orders`: `postgres_copy.py adbc|connectorx|duckdb|dlt arrow|parquet URL OUT [PARTS]`."""

import sys
from collections.abc import Iterator
from typing import Any

who, target, url, out, *parts = sys.argv[1:]
QUERY = "SELECT * FROM orders"


def keep(schema: Any, batches: Iterator[Any]) -> None:
    """Batches to a Parquet file, or counted and dropped."""
    import pyarrow.parquet as pq

    if target == "arrow":
        print(sum(batch.num_rows for batch in batches))
        return
    with pq.ParquetWriter(out, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)


if who == "adbc":
    import adbc_driver_postgresql.dbapi as adbc

    with adbc.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(QUERY)
        reader = cursor.fetch_record_batch()
        keep(reader.schema, iter(reader))
elif who == "connectorx":
    import connectorx

    how: dict[str, Any] = {"partition_on": "id", "partition_num": int(parts[0])} if parts else {}
    table = connectorx.read_sql(url, QUERY, return_type="arrow", protocol="binary", **how)
    keep(table.schema, iter(table.to_batches()))
elif who == "duckdb":
    import glob
    import os

    import duckdb

    with duckdb.connect(config={"threads": 2}) as connection:
        folder = os.path.dirname(os.path.dirname(duckdb.__file__))
        (extension,) = glob.glob(f"{folder}/duckdb_extension*/**/postgres_scanner.duckdb_extension", recursive=True)
        connection.execute(f"LOAD '{extension}'")
        connection.execute(f"ATTACH '{url}' AS shop (TYPE postgres, READ_ONLY)")
        if target == "parquet":
            connection.execute(f"COPY (SELECT * FROM shop.public.orders) TO '{out}' (FORMAT parquet, COMPRESSION zstd)")
        else:
            reader = connection.execute("SELECT * FROM shop.public.orders").to_arrow_reader(65_536)
            keep(reader.schema, iter(reader))
else:
    import dlt
    from dlt.sources.sql_database import sql_table

    orders = sql_table(
        url.replace("postgresql://", "postgresql+psycopg2://"),
        table="orders",
        backend="connectorx",
        reflection_level="full_with_precision",
    )
    destination = dlt.destinations.filesystem(f"file://{out}/dlt")
    pipeline = dlt.pipeline("benchmark", destination=destination, dataset_name="rows", pipelines_dir=f"{out}/pipelines")
    pipeline.run(orders, loader_file_format="parquet")
