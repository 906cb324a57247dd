"""What a run has written, read by others: each target by every reader that can read it, value by value."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import polars
import pyarrow as pa
import pytest

from tests.crash.matrix.places import Place, opened
from tests.servers.postgres import PostgresServer
from tests.taps.servers import program

DATIVO = Path(sys.executable).with_name("dativo")
TEXT = 'é "q", ;\t\\\n日本 \U0001f600'
AT = dt.datetime(2026, 1, 2, 3, 4, 5, 600_007, dt.UTC)
EXPECTED = [(1, TEXT, 1.5, True, AT, dt.date(2026, 1, 2)), (2, "", -2.25, False, AT, None), (3, None, None, None, None, None)]
PROPERTIES = {
    "id": {"type": "integer"},
    "text": {"type": ["null", "string"]},
    "price": {"type": ["null", "number"]},
    "yes": {"type": ["null", "boolean"]},
    "at": {"type": ["null", "string"], "format": "date-time"},
    "day": {"type": ["null", "string"], "format": "date"},
}
COLUMNS = ", ".join(f'"{name}"' for name in PROPERTIES)
SERVERS = ("postgres", "s3", "iceberg_rest")

Rows = list[dict[str, Any]]


def read_table(rows: Any) -> Rows:
    """Of anything that gives Arrow."""
    found: Rows = pa.table(rows).to_pylist()
    return found


def file_of(place: Place, folder: Path) -> str:
    (file,) = (path for path in (folder / "out" / "orders").rglob("*") if path.is_file())
    return str(file)


def in_duckdb(place: Place, folder: Path, query: Callable[[duckdb.DuckDBPyConnection], Any]) -> Rows:
    with duckdb.connect(str(folder / "out.duckdb"), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return read_table(query(connection))


def sql_of_file(reader: str) -> Callable[[Place, Path], Rows]:
    def read(place: Place, folder: Path) -> Rows:
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            return read_table(connection.sql(f"FROM {reader.format(file_of(place, folder))}").to_arrow_table())

    return read


def csv_with_pyarrow(place: Place, folder: Path) -> Rows:
    from pyarrow import csv

    options = csv.ConvertOptions(strings_can_be_null=True, quoted_strings_can_be_null=False)
    return read_table(
        csv.read_csv(file_of(place, folder), parse_options=csv.ParseOptions(newlines_in_values=True), convert_options=options)
    )


def psql(place: Place, folder: Path) -> Rows:
    assert isinstance(place.server, PostgresServer)
    schema = place.config(folder)["schema"]
    query = f'SELECT row_to_json(r) FROM (SELECT {COLUMNS} FROM "{schema}".orders) r'
    command = [program("psql", "postgresql"), place.server.url(), "-XqAt", "-c", query]
    found = subprocess.run(command, capture_output=True, text=True, check=True, encoding="utf-8")
    return [json.loads(line) for line in found.stdout.splitlines()]


def postgres(place: Place, folder: Path) -> polars.DataFrame:
    assert isinstance(place.server, PostgresServer)
    schema = place.config(folder)["schema"]
    return polars.read_database_uri(f'SELECT {COLUMNS} FROM "{schema}".orders', place.server.url(), engine="adbc")


def postgres_with_pyarrow(place: Place, folder: Path) -> Rows:
    import adbc_driver_postgresql.dbapi

    assert isinstance(place.server, PostgresServer)
    with adbc_driver_postgresql.dbapi.connect(place.server.url()) as connection, connection.cursor() as cursor:
        cursor.execute(f'SELECT {COLUMNS} FROM "{place.config(folder)["schema"]}".orders')
        return read_table(cursor.fetch_arrow_table())


def delta(folder: Path) -> Any:
    from deltalake import DeltaTable

    return DeltaTable(folder / "out" / "orders")


def delta_with_duckdb(place: Place, folder: Path) -> Rows:
    orders = delta(folder).to_pyarrow_dataset()  # noqa: F841
    return read_table(duckdb.sql("FROM orders").to_arrow_table())


@contextlib.contextmanager
def iceberg(place: Place, folder: Path) -> Iterator[Any]:
    from pyiceberg.catalog import load_catalog

    config = place.config(folder)
    if "catalog" in config:
        catalog = load_catalog("reader", **config["catalog"])
    else:
        catalog = load_catalog("dativo", type="sql", uri=f"sqlite:///{config['path']}/catalog.db")
    try:
        yield catalog.load_table(f"{config.get('namespace', 'default')}.orders")
    finally:
        catalog.close()


def iceberg_with_pyiceberg(place: Place, folder: Path) -> Rows:
    with iceberg(place, folder) as table:
        return read_table(table.scan().to_arrow())


def iceberg_with_polars(place: Place, folder: Path) -> Rows:
    known = place.config(folder).get("catalog")
    with iceberg(place, folder) as table:
        return read_table(polars.scan_iceberg(table, storage_options=_aws(known) if known else None).collect().to_arrow())


def iceberg_with_duckdb(place: Place, folder: Path) -> Rows:
    with iceberg(place, folder) as table, table.scan().to_duckdb("orders") as connection:
        return read_table(connection.sql("FROM orders").to_arrow_table())


def _aws(catalog: dict[str, str]) -> dict[str, str]:
    return {
        "aws_endpoint_url": catalog["s3.endpoint"],
        "aws_access_key_id": catalog["s3.access-key-id"],
        "aws_secret_access_key": catalog["s3.secret-access-key"],
        "aws_region": catalog["s3.region"],
        "aws_allow_http": "true",
    }


def s3_urls(place: Place, folder: Path) -> tuple[str, dict[str, Any]]:
    config = place.config(folder)
    return f"{config['path']}/orders/*", config["storage_options"]


def s3_with_polars(place: Place, folder: Path) -> Rows:
    url, options = s3_urls(place, folder)
    wanted = {f"aws_{name}": options[name] for name in ("access_key_id", "secret_access_key", "region")}
    more = {"aws_endpoint_url": options["endpoint"], "aws_allow_http": "true"}
    return read_table(polars.read_parquet(url, storage_options=wanted | more).to_arrow())


def s3_with_pyarrow(place: Place, folder: Path) -> Rows:
    import pyarrow.parquet as pq
    from pyarrow import fs

    url, options = s3_urls(place, folder)
    system = fs.S3FileSystem(
        access_key=options["access_key_id"],
        secret_key=options["secret_access_key"],
        region=options["region"],
        endpoint_override=options["endpoint"],
    )
    return read_table(pq.read_table(url.removeprefix("s3://").removesuffix("/*"), filesystem=system))


def _parquet(file: str) -> pa.Table:
    import pyarrow.parquet as pq

    return pq.read_table(file)


def _lines(file: str) -> pa.Table:
    from pyarrow import json as pa_json

    return pa_json.read_json(file)


READERS: dict[str, dict[str, Callable[[Place, Path], Rows]]] = {
    "duckdb": {
        "duckdb": lambda place, folder: in_duckdb(place, folder, lambda db: db.sql("FROM orders").to_arrow_table()),
        "polars": lambda place, folder: in_duckdb(place, folder, lambda db: db.sql("FROM orders").pl().to_arrow()),
    },
    "parquet": {
        "pyarrow": lambda place, folder: read_table(_parquet(file_of(place, folder))),
        "duckdb": sql_of_file("read_parquet('{}')"),
        "polars": lambda place, folder: read_table(polars.read_parquet(file_of(place, folder)).to_arrow()),
    },
    "jsonl": {
        "pyarrow": lambda place, folder: read_table(_lines(file_of(place, folder))),
        "duckdb": sql_of_file("read_json('{}')"),
        "polars": lambda place, folder: read_table(polars.read_ndjson(file_of(place, folder)).to_arrow()),
    },
    "csv": {
        "pyarrow": csv_with_pyarrow,
        "duckdb": sql_of_file("read_csv('{}', allow_quoted_nulls=false)"),
        "polars": lambda place, folder: read_table(polars.read_csv(file_of(place, folder), try_parse_dates=True).to_arrow()),
    },
    "arrow": {
        "pyarrow": lambda place, folder: read_table(pa.ipc.open_file(file_of(place, folder)).read_all()),
        "polars": lambda place, folder: read_table(polars.read_ipc(file_of(place, folder)).to_arrow()),
    },
    "s3": {"pyarrow": s3_with_pyarrow, "polars": s3_with_polars},
    "postgres": {
        "psql": psql,
        "polars": lambda place, folder: read_table(postgres(place, folder).to_arrow()),
        "pyarrow": postgres_with_pyarrow,
    },
    "delta": {
        "deltalake": lambda place, folder: read_table(delta(folder).to_pyarrow_table()),
        "pyarrow": lambda place, folder: read_table(delta(folder).to_pyarrow_dataset().to_table()),
        "polars": lambda place, folder: read_table(polars.read_delta(str(folder / "out" / "orders")).to_arrow()),
        "duckdb": delta_with_duckdb,
    },
    "iceberg": {"pyiceberg": iceberg_with_pyiceberg, "polars": iceberg_with_polars, "duckdb": iceberg_with_duckdb},
    "iceberg_rest": {"pyiceberg": iceberg_with_pyiceberg, "polars": iceberg_with_polars, "duckdb": iceberg_with_duckdb},
}


def plain(row: dict[str, Any]) -> tuple[Any, ...]:
    """A row's values, moments and days also from texts, as JSON has them."""
    at, day = row["at"], row["day"]
    at = dt.datetime.fromisoformat(at) if isinstance(at, str) else at
    day = dt.date.fromisoformat(day) if isinstance(day, str) else day
    if at is not None and at.tzinfo is None:
        at = at.replace(tzinfo=dt.UTC)
    return (row["id"], row["text"], row["price"], row["yes"], at, day.date() if isinstance(day, dt.datetime) else day)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "target", [pytest.param(name, marks=pytest.mark.server) if name in SERVERS else name for name in READERS]
)
def test_every_reader_reads_the_same(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLARS_ICEBERG_PLANNER", "pyiceberg")
    messages = [{"type": "SCHEMA", "stream": "orders", "schema": {"properties": PROPERTIES}, "key_properties": ["id"]}]
    for number, text, price, yes, at, day in EXPECTED:
        record = {"id": number, "text": text, "price": price, "yes": yes, "at": at and at.isoformat(), "day": day and str(day)}
        messages.append({"type": "RECORD", "stream": "orders", "record": record})
    (tmp_path / "messages").write_text("".join(json.dumps(message) + "\n" for message in messages))
    (tmp_path / "tap").write_text(f"#!/bin/sh\nexec cat {tmp_path / 'messages'}\n")
    (tmp_path / "tap").chmod(0o755)
    with opened(target) as place:
        job = {
            "name": "read",
            "source": {"connector": f"singer:{tmp_path / 'tap'}", "discover": False},
            "target": {"connector": place.connector, "config": place.config(tmp_path), "write": "overwrite"},
            "extra": "drop",
        }
        (tmp_path / "job.yaml").write_text(json.dumps(job))
        ended = subprocess.run([str(DATIVO), "run", "job.yaml"], cwd=tmp_path, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
        for name, read in READERS[target].items():
            rows = sorted(read(place, tmp_path), key=lambda row: row["id"])
            assert [plain(row) for row in rows] == EXPECTED, name
