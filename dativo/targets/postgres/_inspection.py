"""What a database holds for a job, read without changing anything."""

from __future__ import annotations

from collections.abc import Sequence

from dativo_protocols import StreamId
from dativo_sdk import Inspection, JobKey, TableInfo

from dativo._names import table_names
from dativo.targets.postgres._catalog import RELATIONS, Relation, describe, relations
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
        taken = [kept.quarantine for kept in ledger.tables.values() if kept.quarantine]
        fresh = table_names([stream for stream in streams if stream not in ledger.tables], ledger.names(), taken)
        present = relations(connection)
        folded = {name.casefold(): name for name, kind in present.items() if kind in RELATIONS}
        named = {stream: name if name in present else folded.get(name.casefold(), name) for stream, name in fresh.items()}
        kept = {stream: KeptTable(name) for stream, name in named.items()} | ledger.tables
        there = describe(connection, (table.name for table in kept.values()))
        tables = {stream: _info(connection, table, there.get(table.name)) for stream, table in kept.items()}
        connection.rollback()
        return Inspection(ledger.state, tables)
    finally:
        connection.close()


def _info(connection: Connection, kept: KeptTable, found: Relation | None) -> TableInfo:
    name = f"{connection.schema}.{kept.name}"
    if found is None or not found.is_table:
        return TableInfo(name, None, kept.columns)
    ((rows,),) = connection.rows(f"SELECT count(*) FROM {connection.name(kept.name)}", f"count the rows of `{kept.name}`")
    return TableInfo(name, found.schema, kept.columns, int(rows))
