"""Others read a file into Parquet: `file_copy.py polars|pyarrow|duckdb|dlt csv|jsonl FILE OUT`."""

import sys

who, kind, path, out = sys.argv[1:]

if who == "polars":
    import polars

    frame = polars.scan_csv(path, try_parse_dates=True) if kind == "csv" else polars.scan_ndjson(path)
    frame.sink_parquet(out, compression="zstd", compression_level=1)
elif who == "pyarrow":
    import pyarrow.csv
    import pyarrow.json
    import pyarrow.parquet

    reader = pyarrow.csv.open_csv(path) if kind == "csv" else pyarrow.json.open_json(path)
    with reader, pyarrow.parquet.ParquetWriter(out, reader.schema, compression="zstd") as writer:
        for batch in reader:
            writer.write_batch(batch)
elif who == "duckdb":
    import duckdb

    read = f"read_csv('{path}')" if kind == "csv" else f"read_json('{path}', format = 'newline_delimited')"
    with duckdb.connect(config={"threads": 2}) as connection:
        connection.execute(f"COPY (SELECT * FROM {read}) TO '{out}' (FORMAT parquet, COMPRESSION zstd)")
else:
    import os

    import dlt
    from dlt.sources.filesystem import filesystem, read_csv_duckdb, read_jsonl

    files = filesystem(f"file://{os.path.dirname(path)}", file_glob=os.path.basename(path))
    rows = files | (read_csv_duckdb(use_pyarrow=True) if kind == "csv" else read_jsonl())
    destination = dlt.destinations.filesystem(f"file://{out}/dlt")
    pipeline = dlt.pipeline("benchmark", destination=destination, dataset_name="rows", pipelines_dir=f"{out}/pipelines")
    pipeline.run(rows.with_name("orders"), loader_file_format="parquet")
