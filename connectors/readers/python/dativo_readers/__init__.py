"""Readers of files and tables in Rust, each a reader as `dativo_sdk.Reader` says: `docs/readers.md`."""

from dativo_readers._readers import Csv, JsonLines, Parquet, Postgres

__all__ = ["Csv", "JsonLines", "Parquet", "Postgres"]
