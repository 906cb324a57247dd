"""What is in a table after a merge, read by the technology's own library."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc


@dataclass(frozen=True)
class Facts:
    """Of a table of orders: its rows, and the sum of their quantities."""

    rows: int
    quantities: int


COUNTED = "select count(*), sum(quantity) from {}"


def in_duckdb(file: Path, table: str) -> Facts:
    import duckdb

    with duckdb.connect(str(file), read_only=True) as connection:
        return of_row(connection.execute(COUNTED.format(table)).fetchone())


def in_postgres(url: str, table: str) -> Facts:
    import psycopg

    with psycopg.connect(url) as connection:
        return of_row(connection.execute(COUNTED.format(table)).fetchone())


def in_delta(folder: Path) -> Facts:
    from deltalake import DeltaTable

    return of_column(DeltaTable(str(folder)).to_pyarrow_dataset().to_table(columns=["quantity"])["quantity"])


def in_iceberg(folder: Path, catalog_name: str, table: str) -> Facts:
    """A table of the SQLite catalog in `folder`."""
    from pyiceberg.catalog.sql import SqlCatalog

    catalog = SqlCatalog(catalog_name, uri=f"sqlite:///{folder / 'catalog.db'}")
    try:
        return of_column(catalog.load_table(table).scan(selected_fields=("quantity",)).to_arrow()["quantity"])
    finally:
        catalog.close()


def of_column(quantities: Any) -> Facts:
    return Facts(len(quantities), pc.sum(quantities).as_py())


def of_row(row: Any) -> Facts:
    return Facts(int(row[0]), int(row[1]))
