"""The smallest Parquet target that the Singer SDK allows: batches of 10,000 records, one row group each."""

from decimal import Decimal
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
from singer_sdk import Target
from singer_sdk import typing as th
from singer_sdk.sinks import BatchSink

ARROW = {"integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_(), "string": pa.string()}


class ParquetSink(BatchSink):
    """Writes each batch of the stream as a row group of one file."""

    max_size = 10_000
    writer: pq.ParquetWriter | None = None

    def arrow_schema(self) -> pa.Schema:
        """What the records become; date-times are parsed by the SDK."""
        fields = []
        for name, property_schema in self.schema["properties"].items():
            kinds = property_schema["type"]
            kind = next(k for k in (kinds if isinstance(kinds, list) else [kinds]) if k != "null")
            is_time = property_schema.get("format") == "date-time"
            fields.append(pa.field(name, pa.timestamp("us", "UTC") if is_time else ARROW[kind]))
        return pa.schema(fields)

    def preprocess_record(self, record: dict[str, Any], context: dict[str, Any]) -> dict[str, Any]:
        """Numbers come from the SDK as `Decimal`, which Arrow does not take for a double."""
        del context
        return {name: float(value) if isinstance(value, Decimal) else value for name, value in record.items()}

    def process_batch(self, context: dict[str, Any]) -> None:
        """Writes the records that the SDK collected."""
        schema = self.arrow_schema()
        if self.writer is None:
            self.writer = pq.ParquetWriter(self.config["path"], schema, compression="zstd")
        self.writer.write_table(pa.Table.from_pylist(context["records"], schema=schema))

    def clean_up(self) -> None:
        """Ends the file."""
        super().clean_up()
        if self.writer is not None:
            self.writer.close()


class ParquetTarget(Target):
    """A target with one setting."""

    name = "target-parquet-benchmark"
    config_jsonschema: ClassVar[dict[str, Any]] = th.PropertiesList(th.Property("path", th.StringType, required=True)).to_dict()
    default_sink_class = ParquetSink


if __name__ == "__main__":
    ParquetTarget.cli()
