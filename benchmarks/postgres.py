"""The case `postgres`: a table of twelve columns, read to Parquet and to Arrow.

To Arrow means: every batch was there once, as those who give batches hand them on, or the whole table, as ConnectorX gives it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.contenders import DLT, PEERS, ROOT, environment, own
from benchmarks.measure import Measurement, OverdueError, measure
from benchmarks.merge import databases
from benchmarks.mergers import SLING, sling_home
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
LIMIT_SECONDS = 900.0
PROGRAM = str(ROOT / "target" / "release" / "dativo-postgres")
"""Made by `make readers`."""

ADBC = ("adbc-driver-postgresql==1.13.0", "pyarrow==26.0.1")
CONNECTORX = ("connectorx==0.4.6", "pyarrow==26.0.1")
DUCKDB = ("duckdb==1.5.5", "duckdb-extension-postgres-scanner==1.5.5", "pyarrow==26.0.1")


@dataclass(frozen=True)
class Copier:
    """One way to read the table.

    Attributes:
        target: `parquet`, `arrow`, or `nowhere`.
        command: Given the database's URL and a folder, what is timed.
    """

    name: str
    target: str
    command: Callable[[str, Path], list[str]]
    requirements: tuple[str, ...] = ()
    slow: bool = False

    @property
    def key(self) -> str:
        return f"{self.name} → {self.target}"


def psql(url: str, folder: Path) -> list[str]:
    return ["psql", url, "-qc", r"\copy (select * from orders) to '/dev/null' (format binary)"]


def to_arrow(parts: int) -> Callable[[str, Path], list[str]]:
    return lambda url, folder: [sys.executable, str(PEERS / "dativo_arrow.py"), PROGRAM, url, str(parts)]


def dativo(url: str, folder: Path) -> list[str]:
    return job(folder, {"connector": f"program:{PROGRAM}", "config": {"url": url}})


def honest(url: str, folder: Path) -> list[str]:
    reader = f"native:{PEERS / 'python_postgres_reader.py'}:PostgresRows"
    return job(folder, {"connector": reader, "isolation": "in_process", "config": {"url": url}})


def job(folder: Path, source: dict[str, Any]) -> list[str]:
    target = {"connector": "parquet", "config": {"path": str(folder / "out")}, "write": "append"}
    # In full: what is read incrementally has an order, which costs the server a sort.
    whole = {"name": "benchmark", "source": {**source, "streams": {"orders": {"mode": "full_refresh"}}}, "target": target}
    (folder / "job.yaml").write_text(json.dumps(whole))
    return [own("dativo"), "run", "job.yaml"]


def peer(requirements: tuple[str, ...], name: str, target: str, *more: str) -> Callable[[str, Path], list[str]]:
    return lambda url, folder: [
        str(environment(requirements) / "python"),
        str(PEERS / "postgres_copy.py"),
        *(name, target, url, str(folder / "out.parquet"), *more),
    ]


def dlt(url: str, folder: Path) -> list[str]:
    return [str(environment((*DLT, *CONNECTORX)) / "python"), str(PEERS / "postgres_copy.py"), "dlt", "parquet", url, str(folder)]


def sling(url: str, folder: Path) -> list[str]:
    home = sling_home()
    program = next(home.parent.glob("lib/*/site-packages/sling_linux_amd64/bin/sling-linux-amd64"))
    program.chmod(0o755)
    settings = {"HOME": home, "SLING_HOME_DIR": home, "SLING_DISABLE_TELEMETRY": "true", "DUCKDB_VERSION": "1.5.5", "SHOP": url}
    words = [f"{key}={value}" for key, value in settings.items()]
    source = ["--src-conn", "SHOP", "--src-stream", "public.orders"]
    return ["env", *words, str(program), "run", *source, "--tgt-object", f"file://{folder}/out.parquet"]


COPIERS = [
    Copier("psql, binary COPY", "nowhere", psql),
    Copier("dativo", "arrow", to_arrow(1)),
    Copier("dativo, 2 parts", "arrow", to_arrow(2)),
    Copier("ADBC", "arrow", peer(ADBC, "adbc", "arrow"), ADBC),
    Copier("ConnectorX", "arrow", peer(CONNECTORX, "connectorx", "arrow"), CONNECTORX),
    Copier("ConnectorX, 2 parts", "arrow", peer(CONNECTORX, "connectorx", "arrow", "2"), CONNECTORX),
    Copier("DuckDB's scanner, 2 threads", "arrow", peer(DUCKDB, "duckdb", "arrow"), DUCKDB),
    Copier("dativo", "parquet", dativo),
    Copier("ADBC", "parquet", peer(ADBC, "adbc", "parquet"), ADBC),
    Copier("ConnectorX", "parquet", peer(CONNECTORX, "connectorx", "parquet"), CONNECTORX),
    Copier("DuckDB's scanner, 2 threads", "parquet", peer(DUCKDB, "duckdb", "parquet"), DUCKDB),
    Copier("Sling", "parquet", sling, SLING),
    Copier("dlt, by ConnectorX", "parquet", dlt, (*DLT, *CONNECTORX), slow=True),
    Copier("a reader in Python", "parquet", honest, slow=True),
]
"""In the order of a round; the next round goes backwards."""


def run_postgres(copiers: list[Copier], count: int, rounds: int, cache: Path, results: Results) -> None:
    runs: dict[str, list[Measurement]] = {}
    scratch = cache / "postgres"
    with databases(True) as server:
        if server is None:
            return
        server.make("shop", "template0")
        url = server.url("shop")
        subprocess.run(["psql", url, "-qc", TABLE.format(rows=count)], check=True)
        server.settle("shop")
        results.begin("postgres", count, 0)
        if not Path(PROGRAM).exists():
            for copier in copiers:
                if copier.name.startswith("dativo"):
                    results.put_absent("postgres", copier.key, "`make readers` was not run")
            copiers = [copier for copier in copiers if not copier.name.startswith("dativo")]
        for copier in copiers:
            if copier.requirements:
                environment(copier.requirements)
        for number in range(rounds):
            for copier in copiers if number % 2 == 0 else reversed(copiers):
                if copier.slow and number:
                    continue
                scratch.mkdir(parents=True, exist_ok=True)
                try:
                    measurement = measure(copier.command(url, scratch), scratch, limit_seconds=LIMIT_SECONDS, server=server.pid)
                except OverdueError as error:
                    results.put_absent("postgres", copier.key, str(error))
                    continue
                finally:
                    subprocess.run(["rm", "-rf", str(scratch)], check=True)
                runs.setdefault(copier.key, []).append(measurement)
                print(f"{'postgres':10} {copier.key:40} {measurement}", file=sys.stderr, flush=True)
    for key, measured in runs.items():
        results.put("postgres", count, 0, key, measured)
