//! The readers as Python classes.

use dativo_readers::csv::CsvReader;
use dativo_readers::jsonl::JsonlReader;
use dativo_readers::parquet::ParquetReader;
use dativo_readers::postgres::PostgresReader;

dativo_sdk::export_python!(
    _readers:
    Csv = CsvReader,
    JsonLines = JsonlReader,
    Parquet = ParquetReader,
    Postgres = PostgresReader,
);
