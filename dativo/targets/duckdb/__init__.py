"""The target `duckdb`: tables in one embedded DuckDB file. What it keeps there, and how a commit works: `docs/duckdb.md`."""

from dativo.targets.duckdb._writer import DuckDBWriter

__all__ = ["DuckDBWriter"]
