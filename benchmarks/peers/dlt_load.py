"""dlt loads the records of the file: `dlt_load.py MESSAGES OUT_FOLDER duckdb|parquet`."""

import sys
from collections.abc import Iterator
from typing import Any

import dlt
from dlt.common.json import json

messages, folder, target = sys.argv[1:4]


@dlt.resource(name="rows", write_disposition="append")
def records() -> Iterator[list[dict[str, Any]]]:
    """Lists of 10,000 records, parsed by dlt's own parser."""
    page: list[dict[str, Any]] = []
    with open(messages, "rb") as lines:
        for line in lines:
            message = json.loadb(line)
            if message["type"] == "RECORD":
                page.append(message["record"])
            if len(page) == 10_000:
                yield page
                page = []
    yield page


destination = (
    dlt.destinations.duckdb(f"{folder}/dlt.duckdb") if target == "duckdb" else dlt.destinations.filesystem(f"file://{folder}/dlt")
)
pipeline = dlt.pipeline("benchmark", destination=destination, dataset_name="rows", pipelines_dir=f"{folder}/pipelines")
pipeline.run(records(), loader_file_format="parquet")
