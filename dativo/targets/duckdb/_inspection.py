"""What a file holds for a job, read without changing anything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dativo_protocols import StreamId
from dativo_sdk import Inspection, JobKey, TableInfo

from dativo._names import table_names
from dativo.targets.duckdb._config import DuckDBConfig
from dativo.targets.duckdb._database import Database
from dativo.targets.duckdb._failure import failures
from dativo.targets.duckdb._ledger import KeptTable, Ledger

__all__ = ["count", "inspect"]


def inspect(config: DuckDBConfig, job: JobKey, streams: Sequence[StreamId]) -> Inspection:
    """State and tables as they are; see `Inspecting`."""
    database = Database(config)
    if not Path(config.path).exists():
        named = table_names(streams, {})
        return Inspection(None, {stream: TableInfo(_qualified(database, name), None) for stream, name in named.items()})
    try:
        database.open_to_look()
        ledger = Ledger(database, job, "")
        ledger.load()
        relations = database.relations()
        taken = [kept.quarantine for kept in ledger.tables.values() if kept.quarantine]
        there = {name.casefold(): name for name in relations}
        named = table_names([stream for stream in streams if stream not in ledger.tables], ledger.names(), taken)
        tables = {stream: KeptTable(there.get(name.casefold(), name)) for stream, name in named.items()} | ledger.tables
        return Inspection(ledger.state, {stream: _info(database, kept, relations) for stream, kept in tables.items()})
    finally:
        database.close()


def count(database: Database, table: str) -> int:
    """Committed rows of a table, from what DuckDB notes about it."""
    with failures(database.path, f"count the rows of `{table}`"):
        return int(database.look(f"SELECT count(*) FROM {database.table(table)}").column(0)[0].as_py())


def _info(database: Database, kept: KeptTable, relations: dict[str, str]) -> TableInfo:
    name = _qualified(database, kept.name)
    if relations.get(kept.name) != "table":
        return TableInfo(name, None, kept.columns)
    return TableInfo(name, database.arrow_schema(kept.name), kept.columns, count(database, kept.name))


def _qualified(database: Database, table: str) -> str:
    return f"{database.schema}.{table}"
