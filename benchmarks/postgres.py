"""The case `postgres`: a table of twelve columns, read to Parquet and to Arrow.

To Arrow means: every batch was there once, as those who give batches hand them on, or the whole table, as ConnectorX gives it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.contenders import DLT, PEERS, environment, own
from benchmarks.copiers import Copier, alone, job, python_program, run_copiers, sling
from benchmarks.merge import databases
from benchmarks.mergers import SLING
from benchmarks.report import Results

TABLE = """
CREATE TABLE orders AS SELECT i AS id, CAST(i % 50000 AS int) AS customer, 'SKU-' || lpad(CAST(i % 9973 AS text), 6, '0') AS sku,
    'Name of item ' || i AS name, 'user' || i || '@example.com' AS email, CAST(i % 17 AS int) AS quantity,
    CAST((i * 7919) % 1000000 / 100.0 AS numeric(12,2)) AS price, CAST(i % 1000 AS float8) / 997 AS discount, i % 3 = 0 AS paid,
    date '2020-01-01' + CAST(i % 2000 AS int) AS day, timestamptz '2024-01-01 00:00:00+00' + i * interval '1.234567 s' AS created,
    CASE WHEN i % 5 = 0 THEN NULL ELSE repeat('note ', CAST(i % 7 AS int)) END AS note
FROM generate_series(1, CAST({rows} AS bigint)) AS i;
ALTER TABLE orders ADD PRIMARY KEY (id);
"""

ADBC = ("adbc-driver-postgresql==1.13.0", "pyarrow==26.0.1")
CONNECTORX = ("connectorx==0.4.6", "pyarrow==26.0.1")
DUCKDB = ("duckdb==1.5.5", "duckdb-extension-postgres-scanner==1.5.5", "pyarrow==26.0.1")


def psql(url: str, folder: Path) -> list[str]:
    return ["psql", url, "-qc", r"\copy (select * from orders) to '/dev/null' (format binary)"]


def to_arrow(parts: int) -> Callable[[str, Path], list[str]]:
    return lambda url, folder: [sys.executable, str(PEERS / "dativo_arrow.py"), url, str(parts)]


# In full: what is read incrementally has an order, which costs the server a sort.
STREAMS = {"orders": {"mode": "full_refresh"}}


def dativo(parts: int) -> Callable[[str, Path], list[str]]:
    source = {"connector": "postgres-native", "streams": STREAMS, **({"parallel": parts} if parts > 1 else {})}
    return lambda url, folder: job(folder, {**source, "config": {"url": url}})


def honest(url: str, folder: Path) -> list[str]:
    reader = f"native:{PEERS / 'python_postgres_reader.py'}:PostgresRows"
    return job(folder, {"connector": reader, "isolation": "in_process", "streams": STREAMS, "config": {"url": url}})


def peer(requirements: tuple[str, ...], name: str, target: str, *more: str) -> Callable[[str, Path], list[str]]:
    return lambda url, folder: [
        str(environment(requirements) / "python"),
        str(PEERS / "postgres_copy.py"),
        *(name, target, url, str(folder / "out.parquet"), *more),
    ]


def dlt(url: str, folder: Path) -> list[str]:
    return [str(environment((*DLT, *CONNECTORX)) / "python"), str(PEERS / "postgres_copy.py"), "dlt", "parquet", url, str(folder)]


def by_sling(url: str, folder: Path) -> list[str]:
    return sling(folder, ["--src-conn", "SHOP", "--src-stream", "public.orders"], {"SHOP": url})


COPIERS = [
    Copier("psql, binary COPY", "nowhere", psql),
    Copier("dativo-postgres alone", "nowhere", lambda url, folder: alone([own("dativo-postgres")], {"url": url}, folder)),
    Copier(
        "a reader in Python alone",
        "nowhere",
        lambda url, folder: alone(python_program("python_postgres_reader.py", "PostgresRows"), {"url": url}, folder),
        slow=True,
    ),
    Copier("dativo", "arrow", to_arrow(1)),
    Copier("dativo, 2 parts", "arrow", to_arrow(2)),
    Copier("ADBC", "arrow", peer(ADBC, "adbc", "arrow"), ADBC),
    Copier("ConnectorX", "arrow", peer(CONNECTORX, "connectorx", "arrow"), CONNECTORX),
    Copier("ConnectorX, 2 parts", "arrow", peer(CONNECTORX, "connectorx", "arrow", "2"), CONNECTORX),
    Copier("DuckDB's scanner, 2 threads", "arrow", peer(DUCKDB, "duckdb", "arrow"), DUCKDB),
    Copier("dativo", "parquet", dativo(1)),
    Copier("dativo, 2 parts", "parquet", dativo(2)),
    Copier("ADBC", "parquet", peer(ADBC, "adbc", "parquet"), ADBC),
    Copier("ConnectorX", "parquet", peer(CONNECTORX, "connectorx", "parquet"), CONNECTORX),
    Copier("DuckDB's scanner, 2 threads", "parquet", peer(DUCKDB, "duckdb", "parquet"), DUCKDB),
    Copier("Sling", "parquet", by_sling, SLING),
    Copier("dlt, by ConnectorX", "parquet", dlt, (*DLT, *CONNECTORX), slow=True),
    Copier("a reader in Python", "parquet", honest, slow=True),
]
"""In the order of a round; the next round goes backwards."""


def run_postgres(copiers: list[Copier], count: int, rounds: int, cache: Path, results: Results) -> None:
    with databases(True) as server:
        if server is None:
            return
        server.make("shop", "template0")
        url = server.url("shop")
        subprocess.run(["psql", url, "-qc", TABLE.format(rows=count)], check=True)
        server.settle("shop")
        scratch = cache / "postgres"
        how: dict[str, Any] = {"rows": count, "size": 0, "rounds": rounds, "scratch": scratch, "results": results}
        run_copiers("postgres", copiers, url, server=server.pid, **how)
