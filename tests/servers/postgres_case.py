"""The target `postgres` as the conformance kit sees it: a schema of its own for each directory, read with psycopg."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import pyarrow as pa
from dativo_sdk import Counting, Inspecting, Naming, Quarantining, Replaying, Versioning
from dativo_sdk.conformance import WriterCase
from psycopg import sql
from psycopg.types.string import TextLoader

from dativo.targets.postgres import PostgresWriter
from tests.servers.postgres import PostgresServer


class PostgresCase(WriterCase):
    """JSON is read as the text that is there."""

    powers = frozenset({Quarantining, Versioning, Counting, Naming, Inspecting, Replaying})
    skips: ClassVar[Mapping[str, str]] = {
        "every_type_comes_back_unchanged": "structs are JSON text, and text has no character 0: see `test_postgres.py`"
    }

    def __init__(self, server: PostgresServer, url: str | None = None) -> None:
        self.server = server
        self.url = url

    def make(self, path: Path) -> tuple[PostgresWriter, dict[str, Any]]:
        schema = hashlib.sha256(str(path).encode()).hexdigest()[:16]
        return PostgresWriter(), {"url": self.url or self.server.url(), "schema": schema}

    def read_table(self, config: Mapping[str, Any], table: str) -> pa.Table | None:
        with self.server.connect() as connection:
            connection.adapters.register_loader("json", TextLoader)
            connection.execute("SET TimeZone = 'UTC'")
            name = sql.Identifier(config["schema"], table)
            try:
                cursor = connection.execute(sql.SQL("SELECT * FROM {}").format(name))
            except psycopg.errors.UndefinedTable:
                return None
            names = [column.name for column in cursor.description or ()]
            rows = cursor.fetchall()
        columns = [pa.array([row[index] for row in rows]) for index in range(len(names))]
        return pa.Table.from_arrays(columns, names=names)
