"""dlt loads the records of the file as Arrow batches: `dlt_merge.py MESSAGES FOLDER TARGET append|merge TIMES`.

The file is parsed by pyarrow, which is dlt's fastest way in; `TIMES` copies get ids that go on. `TARGET` is `duckdb`, `delta`,
`iceberg`, or a URL of PostgreSQL.
"""

import sys
from collections.abc import Iterator
from typing import Any

import dlt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

messages, folder, target, disposition, times = sys.argv[1:6]
TYPES = {
    **dict.fromkeys(("customer", "name", "email", "city", "status", "note"), pa.string()),
    **dict.fromkeys(("id", "quantity"), pa.int64()),
    **dict.fromkeys(("price", "weight"), pa.float64()),
    "gift": pa.bool_(),
    "created_at": pa.timestamp("us", "UTC"),
}
MESSAGE = pa.schema({"type": pa.string(), "record": pa.struct(TYPES)})
BLOCK_BYTES = 8 << 20

is_lake = target in ("delta", "iceberg")
write: Any = {"disposition": "merge", "strategy": "upsert"} if disposition == "merge" else "append"


@dlt.resource(name="orders", write_disposition=write, primary_key="id", table_format=target if is_lake else None)
def orders() -> Iterator[pa.Table]:
    """The records of a block of the file."""
    begin = 0
    for _ in range(int(times)):
        greatest = begin
        parsing = pj.ParseOptions(explicit_schema=MESSAGE, unexpected_field_behavior="ignore")
        for batch in pj.open_json(messages, pj.ReadOptions(block_size=BLOCK_BYTES), parsing):
            records = batch.filter(pc.equal(batch["type"], "RECORD"))["record"].flatten()
            table = pa.table(dict(zip(TYPES, records, strict=True)))
            table = table.set_column(table.schema.get_field_index("id"), "id", pc.add(table["id"], begin))
            greatest = max(greatest, pc.max(table["id"]).as_py() or 0)
            yield table
        begin = greatest


if target == "duckdb":
    destination: Any = dlt.destinations.duckdb(f"{folder}/dlt.duckdb")
elif is_lake:
    catalog = {
        "iceberg_catalog_type": "sql",
        "iceberg_catalog_config": {
            "type": "sql",
            "uri": f"sqlite:///{folder}/catalog.db",
            "warehouse": f"file://{folder}/lake",
        },
    }
    dlt.config["iceberg_catalog"] = catalog
    destination = dlt.destinations.filesystem(f"file://{folder}/lake")
else:
    destination = dlt.destinations.postgres(target)
pipeline = dlt.pipeline("merge", destination=destination, dataset_name="shop", pipelines_dir=f"{folder}/pipelines")
pipeline.run(orders())
