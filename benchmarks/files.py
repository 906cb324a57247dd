"""The cases of files: CSV and JSON lines, read to Parquet, beside others that read them.

The rows are those of the case `postgres`, as text: numbers, dates, times with microseconds, quotes around delimiters and quotes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from benchmarks.contenders import DLT, PEERS, environment, own
from benchmarks.copiers import Copier, alone, job, python_program, run_copiers, sling
from benchmarks.mergers import SLING
from benchmarks.report import Results

Kind = Literal["csv", "jsonl"]

ROWS = """SELECT i AS id, i % 50000 AS customer, 'SKU-' || lpad((i % 9973)::text, 6, '0') AS sku,
    CASE WHEN i % 10 = 0 THEN 'Item "' || i || '", large' ELSE 'Name of item ' || i END AS name,
    'user' || i || '@example.com' AS email, i % 17 AS quantity, ((i * 7919) % 1000000 / 100.0)::decimal(12,2) AS price,
    round((i % 1000)::double / 997, 6) AS discount, i % 3 = 0 AS paid, date '2020-01-01' + (i % 2000)::int AS day,
    timestamp '2024-01-01 00:00:00' + to_microseconds(i * 1234567) AS created,
    CASE WHEN i % 5 = 0 THEN NULL ELSE repeat('note ', (i % 7)::int) END AS note
FROM range(1, {rows} + 1) AS numbers(i)"""

POLARS = ("polars==2.1.0",)
PYARROW = ("pyarrow==26.0.1",)
DUCKDB = ("duckdb==1.5.5", "pyarrow==26.0.1")


def made(cache: Path, kind: Kind, rows: int) -> Path:
    """The file of so many rows, the same bytes every time."""
    import duckdb

    path = cache / "files" / f"orders-{rows}.{kind}"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        how = "format csv, header" if kind == "csv" else "format json"
        how += ", timestampformat '%Y-%m-%dT%H:%M:%S.%f'"
        with duckdb.connect() as connection:
            connection.execute("SET enable_progress_bar = false")
            connection.execute(f"COPY ({ROWS.format(rows=rows)}) TO '{new}' ({how})")
        new.rename(path)
    return path


def built_in(kind: Kind, **more: Any) -> Callable[[str, Path], list[str]]:
    return lambda path, folder: job(folder, {"connector": kind, "config": {"path": path}, **more})


def sandboxed(path: str, folder: Path) -> list[str]:
    return built_in("csv", isolation="sandbox", sandbox={"files": [{"path": str(Path(path).parent)}]})(path, folder)


def row_by_row(path: str, folder: Path) -> list[str]:
    writer = f"native:{PEERS / 'python_parquet_writer.py'}:RowsToParquet"
    return job(folder, {"connector": "csv", "config": {"path": path}}, connector=writer, isolation="in_process")


def in_python(**more: Any) -> Callable[[str, Path], list[str]]:
    reader = f"native:{PEERS / 'python_csv_reader.py'}:CsvRows"
    return lambda path, folder: job(folder, {"connector": reader, "config": {"path": path}, **more})


def peer(requirements: tuple[str, ...], name: str, kind: Kind) -> Callable[[str, Path], list[str]]:
    return lambda path, folder: [
        str(environment(requirements) / "python"),
        *(str(PEERS / "file_copy.py"), name, kind, path, str(folder / "out.parquet")),
    ]


def by_sling(path: str, folder: Path) -> list[str]:
    return sling(folder, ["--src-stream", f"file://{path}"], {})


CSV = [
    Copier("dativo", "parquet", built_in("csv")),
    Copier("polars, 2 threads", "parquet", peer(POLARS, "polars", "csv"), POLARS),
    Copier("DuckDB, 2 threads", "parquet", peer(DUCKDB, "duckdb", "csv"), DUCKDB),
    Copier("pyarrow, streaming", "parquet", peer(PYARROW, "pyarrow", "csv"), PYARROW),
    Copier("Sling", "parquet", by_sling, SLING, slow=True),
    Copier("dlt, by DuckDB", "parquet", peer(DLT, "dlt", "csv"), DLT, slow=True),
]
JSON_LINES = [
    Copier("dativo", "parquet", built_in("jsonl")),
    Copier("polars, 2 threads", "parquet", peer(POLARS, "polars", "jsonl"), POLARS),
    Copier("DuckDB, 2 threads", "parquet", peer(DUCKDB, "duckdb", "jsonl"), DUCKDB),
    Copier("pyarrow, streaming", "parquet", peer(PYARROW, "pyarrow", "jsonl"), PYARROW),
    Copier("dlt", "parquet", peer(DLT, "dlt", "jsonl"), DLT, slow=True),
]
PYTHON = [
    Copier("dativo-csv alone", "nowhere", lambda path, folder: alone([own("dativo-csv")], {"path": path}, folder)),
    Copier(
        "a reader in Python alone",
        "nowhere",
        lambda path, folder: alone(python_program("python_csv_reader.py", "CsvRows"), {"path": path}, folder),
    ),
    Copier("dativo", "parquet", built_in("csv")),
    Copier("a reader in Python", "parquet", in_python(isolation="in_process")),
    Copier("dativo, written row by row in Python", "parquet", row_by_row),
]
"""The yardstick: the same work by a reader in Python, and by a writer in Python."""
WAYS = [
    Copier("dativo", "parquet", built_in("csv")),
    Copier("dativo, in a process", "parquet", built_in("csv", isolation="process")),
    Copier("dativo, in a sandbox", "parquet", sandboxed),
    Copier("dativo, as a program", "parquet", built_in("csv", engine="program")),
]
"""The same reader in Dativo's own process, and in others."""
PARTS = [
    Copier("a reader in Python, 1 process", "parquet", in_python(isolation="process")),
    Copier("a reader in Python, 2 processes", "parquet", in_python(isolation="process", parallel=2)),
]
"""What two workers make of a source that is not the limit, and of a target that is not either."""

FILES: dict[str, tuple[Kind, list[Copier]]] = {
    "csv": ("csv", CSV),
    "csv-python": ("csv", PYTHON),
    "isolation": ("csv", WAYS),
    "parts": ("csv", PARTS),
    "jsonl": ("jsonl", JSON_LINES),
}


def run_files(case: str, copiers: list[Copier], rows: int, rounds: int, cache: Path, results: Results) -> None:
    path = made(cache, FILES[case][0], rows)
    how: dict[str, Any] = {"rounds": rounds, "scratch": cache / "copies", "results": results}
    run_copiers(case, copiers, str(path), rows=rows, size=path.stat().st_size, **how)
