"""What a dataset holds, read from its commit log alone."""

from __future__ import annotations

from collections.abc import Sequence

from dativo_protocols import StreamId
from dativo_sdk import Inspection, JobKey, TableInfo

from dativo._names import table_names
from dativo.targets._commit_log import read_picture
from dativo.targets._commit_record import Picture, Table
from dativo.targets._kept_schema import load_schema
from dativo.targets._store import Store


def inspect_files(store: Store, job: JobKey, streams: Sequence[StreamId]) -> Inspection:
    """See `Inspecting`; a table's name is that of its directory."""
    picture = read_picture(store) if store.exists() else Picture()
    taken = {stream: table.table for stream, table in picture.tables.items()}
    quarantines = {table.quarantine for table in picture.tables.values() if table.quarantine}
    names = table_names([*taken, *streams], taken, quarantines)
    tables = {stream: _info(name, picture.tables.get(stream), picture) for stream, name in names.items()}
    return Inspection(picture.states.get(job), tables)


def count_rows(table: Table | None) -> int | None:
    """Rows in the committed files, or None when there is no table."""
    return None if table is None or table.schema is None else sum(file.rows for file in table.files.values())


def _info(name: str, table: Table | None, picture: Picture) -> TableInfo:
    if table is None or table.schema is None:
        return TableInfo(name, None)
    return TableInfo(name, load_schema(picture.schemas[table.schema]), dict(table.columns), count_rows(table))
