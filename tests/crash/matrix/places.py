"""The targets of the matrix: how a job names each, where its commits can be interrupted, and how others read it."""

from __future__ import annotations

import contextlib
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from dativo._target import load_target, write_modes
from tests.servers.postgres import PostgresServer, postgres_server
from tests.servers.proxy import Proxy
from tests.servers.seaweedfs import S3Server, seaweedfs

__all__ = ["PLACES", "Place", "Server", "fault_points", "modes", "opened", "removed"]

ROOT = Path(__file__).parents[3]
FAULT = re.compile(r'fault_point\(f?"([^"]+)\.([a-z_]+)"\)')
FILES = ("parquet", "jsonl", "csv", "arrow", "s3")


class Server(Protocol):
    """A target's server, behind a network that can be cut."""

    def kill(self) -> None:
        """SIGKILL to all of it."""
        ...

    def start(self) -> None:
        """Brings it back with its data."""
        ...


class Network(Protocol):
    """What is between Dativo and the server."""

    def cut(self) -> None:
        """Ends all connections at once."""
        ...


@dataclass
class Place:
    """A target.

    Attributes:
        name: In the matrix.
        connector: In the job.
        server: None where there is none.
        proxy: Its network.
    """

    name: str
    connector: str
    server: Server | None = None
    proxy: Network | None = None
    _more: dict[str, Any] = field(default_factory=dict)

    def config(self, folder: Path) -> dict[str, Any]:
        """The target's configuration for a trial in this folder."""
        if self.connector == "postgres":
            return {**self._more, "schema": _schema(folder)}
        if self.name == "iceberg_rest":
            return {**self._more, "namespace": _schema(folder), "path": str(folder / "out")}
        if self.name == "s3":
            return {**self._more, "path": f"{self._more['path']}/{_schema(folder)}"}
        return {"path": str(folder / ("out.duckdb" if self.connector == "duckdb" else "out"))}

    def tables(self, folder: Path) -> dict[str, pa.Table]:
        """Every table, and every quarantine as `<stream> rejected`, as somebody else reads it."""
        return READERS[self.name](self, folder)


def _schema(folder: Path) -> str:
    """A name for what a trial has on a shared server."""
    mark = folder / "schema"
    if not mark.exists():
        mark.write_text(f"t{secrets.token_hex(8)}")
    return mark.read_text()


def modes(place: Place) -> list[str]:
    """The write modes of the target."""
    return sorted(write_modes(load_target(place.connector)))


def fault_points(place: Place) -> list[str]:
    """Names of the steps of the target's commit, as its source has them."""
    own = "files" if place.name in FILES else place.connector
    # What several targets share takes the name of the one that it works for.
    areas = {own, "{table_format.name}"} if own in ("delta", "iceberg") else {own}
    found = (match for path in (ROOT / "dativo").rglob("*.py") for match in FAULT.findall(path.read_text()))
    return sorted({f"{own}.{step}" for area, step in found if area in areas})


def _duckdb(place: Place, folder: Path) -> dict[str, pa.Table]:
    import duckdb

    with duckdb.connect(str(folder / "out.duckdb"), read_only=True) as db:
        names = [name for (name,) in db.execute("select table_name from duckdb_tables()").fetchall() if not name.startswith("_")]
        return {_shown(name): db.sql(f'from "{name}"').to_arrow_table() for name in names}


def _files(place: Place, folder: Path) -> dict[str, pa.Table]:
    import dativo

    return _dataset(dativo.dataset(place.config(folder)["path"]))


def _s3(place: Place, folder: Path) -> dict[str, pa.Table]:
    import dativo

    config = place.config(folder)
    return _dataset(dativo.dataset(config["path"], config["storage_options"]))


def _dataset(data: Any) -> dict[str, pa.Table]:
    found = {}
    for name in data.tables:
        found[name] = data.scan(name).read_all()
        found[f"{name} rejected"] = data.quarantine(name).to_arrow()
    return found


def _postgres(place: Place, folder: Path) -> dict[str, pa.Table]:
    assert isinstance(place.server, PostgresServer)
    schema = _schema(folder)
    found = {}
    with place.server.connect() as connection:
        listing = "select table_name from information_schema.tables where table_schema = %s and table_type = 'BASE TABLE'"
        names = [name for (name,) in connection.execute(listing, [schema]).fetchall() if not name.startswith("_")]
        for name in names:
            cursor = connection.execute(f'select * from "{schema}"."{name}"'.encode())
            columns = [column.name for column in cursor.description or ()]
            rows = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
            found[_shown(name)] = pa.Table.from_pylist(rows) if rows else pa.table({column: pa.nulls(0) for column in columns})
    return found


def _delta(place: Place, folder: Path) -> dict[str, pa.Table]:
    from deltalake import DeltaTable

    root = folder / "out"
    names = [path.parent.name for path in root.glob("*/_delta_log") if not path.parent.name.startswith("_")]
    return {_shown(name): pa.table(DeltaTable(root / name).to_pyarrow_table()) for name in names}


def _iceberg(place: Place, folder: Path) -> dict[str, pa.Table]:
    from pyiceberg.catalog.sql import SqlCatalog

    root = folder / "out"
    catalog = SqlCatalog("dativo", uri=f"sqlite:///{root / 'catalog.db'}", warehouse=f"file://{root}")
    try:
        tables = [name for space in catalog.list_namespaces() for name in catalog.list_tables(space)]
        return {_shown(name[-1]): catalog.load_table(name).scan().to_arrow() for name in tables if not name[-1].startswith("_")}
    finally:
        catalog.engine.dispose()


def _iceberg_rest(place: Place, folder: Path) -> dict[str, pa.Table]:
    from pyiceberg.catalog import load_catalog

    config = place.config(folder)
    catalog = load_catalog("matrix", **config["catalog"])
    if (config["namespace"],) not in catalog.list_namespaces():
        return {}
    names = [name for name in catalog.list_tables(config["namespace"]) if not name[-1].startswith("_")]
    deadline = time.monotonic() + 60
    while True:
        try:
            return {_shown(name[-1]): catalog.load_table(name).scan().to_arrow() for name in names}
        except OSError:
            # A server that has just come back answers before it finds its files.
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


def _shown(table: str) -> str:
    return f"{table.removesuffix('__quarantine')} rejected" if table.endswith("__quarantine") else table


READERS = {
    "duckdb": _duckdb,
    "parquet": _files,
    "jsonl": _files,
    "csv": _files,
    "arrow": _files,
    "s3": _s3,
    "postgres": _postgres,
    "delta": _delta,
    "iceberg": _iceberg,
    "iceberg_rest": _iceberg_rest,
}
PLACES = ("duckdb", "postgres", "parquet", "jsonl", "csv", "arrow", "s3", "delta", "iceberg", "iceberg_rest")
CONNECTORS = {"s3": "parquet", "iceberg_rest": "iceberg"}
"""Of places that are not named after theirs."""


@dataclass(frozen=True)
class _Both:
    """Two ways to one server."""

    one: Proxy
    other: Proxy

    def cut(self) -> None:
        self.one.cut()
        self.other.cut()


@contextlib.contextmanager
def opened(name: str) -> Iterator[Place]:
    """The target, with its server running where it has one."""
    if name == "postgres":
        with postgres_server() as server, Proxy(server.port) as proxy:
            yield Place(name, name, server, proxy, {"url": server.url(port=proxy.port)})
    elif name == "s3":
        with seaweedfs() as server, Proxy(server.port) as proxy:
            yield Place(name, CONNECTORS[name], server, proxy, _s3_config(server, proxy))
    elif name == "iceberg_rest":
        with seaweedfs() as server, Proxy(server.port) as proxy, Proxy(server.catalog_port) as catalog:
            server.table_bucket("matrix")
            properties = server.catalog("matrix", port=proxy.port, catalog_port=catalog.port)
            yield Place(name, CONNECTORS[name], server, _Both(proxy, catalog), {"catalog": properties})
    else:
        yield Place(name, name)


def _s3_config(server: S3Server, proxy: Proxy) -> dict[str, Any]:
    options = {
        "endpoint": f"http://127.0.0.1:{proxy.port}",
        "region": server.region,
        "access_key_id": server.access_key,
        "secret_access_key": server.secret_key,
        "allow_http": True,
        # The server is away for longer than anybody wants to wait here: a run gives up, and is run again.
        "retry_timeout_seconds": 3,
    }
    return {"path": f"s3://{server.bucket}", "storage_options": options}


def removed(place: Place, folder: Path) -> None:
    """Removes what a clean trial has left."""
    if isinstance(place.server, PostgresServer):
        place.server.sql(f'drop schema if exists "{_schema(folder)}" cascade')
    shutil.rmtree(folder)
