"""What a database holds for a job, read without changing anything."""

from __future__ import annotations

from collections.abc import Sequence

from dativo_protocols import StreamId
from dativo_sdk import Inspection, JobKey, TableInfo

from dativo._names import table_names
from dativo.targets.postgres._catalog import Relation, describe
from dativo.targets.postgres._config import PostgresConfig
from dativo.targets.postgres._connection import Connection
from dativo.targets.postgres._ledger import KeptTable, Ledger

__all__ = ["inspect"]


def inspect(config: PostgresConfig, job: JobKey, streams: Sequence[StreamId]) -> Inspection:
    """State and tables as of one moment; see `Inspecting`."""
    connection = Connection(config)
    try:
        connection.begin("ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        ledger = Ledger(connection, job, "")
        ledger.look()
        fresh = table_names(streams, ledger.names(), [kept.quarantine for kept in ledger.tables.values() if kept.quarantine])
        kept = {stream: KeptTable(name) for stream, name in fresh.items()} | ledger.tables
        there = describe(connection, (table.name for table in kept.values()))
        tables = {stream: _info(connection, table, there.get(table.name)) for stream, table in kept.items()}
        connection.rollback()
        return Inspection(ledger.state, tables)
    finally:
        connection.close()


def _info(connection: Connection, kept: KeptTable, found: Relation | None) -> TableInfo:
    name = f"{connection.schema}.{kept.name}"
    if found is None:
        return TableInfo(name, None, kept.columns)
    ((rows,),) = connection.rows(f"SELECT count(*) FROM {connection.name(kept.name)}", f"count the rows of `{kept.name}`")
    return TableInfo(name, found.schema, kept.columns, int(rows))
