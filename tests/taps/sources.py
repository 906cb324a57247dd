"""What the taps read: files, an API, databases; made anew for each test, with rows that come later."""

from __future__ import annotations

import csv
import itertools
import json
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.taps import tables
from tests.taps.servers import Server

NUMBER = itertools.count()


@dataclass(frozen=True)
class Source:
    """A tap's source.

    Attributes:
        config: Of the tap.
        streams: What discovery must list.
        stream: The one that is read.
        keys: Its primary key.
        cursor: What orders its changes.
        identity: SQL over the stream's table that tells rows apart.
        add: Adds rows, and may change old ones.
    """

    config: dict[str, Any]
    streams: set[str]
    stream: str
    keys: list[str]
    cursor: str
    identity: str
    add: Callable[[], None] = field(repr=False)


def jsonl_files(folder: Path) -> Source:
    lines = [
        {"id": 1, "name": "plain", "price": 1.10, "at": "2024-02-29T12:00:00+02:00", "nested": {"a": [1, None]}},
        {"id": 2, "name": "Ünïcödé 🚚\u0000", "price": 2, "at": None, "nested": {}},
        {"id": "three", "name": None, "flag": True},
    ]
    (folder / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def add() -> None:
        (folder / "b.jsonl").write_text('{"id": 4, "name": "later"}\n{"id": 1, "name": "renamed"}\n')

    config = {"path": f"{folder}/*.jsonl", "stream_name": "things", "primary_keys": ["id"]}
    return Source(config, {"things"}, "things", ["id"], "_sdc_last_modified", "id", add)


def csv_folder(folder: Path) -> Source:
    def write(name: str, *rows: tuple[str, ...]) -> None:
        with (folder / name).open("w", newline="") as file:
            csv.writer(file).writerows(rows)

    write(
        "orders.csv",
        ("id", "name", "price"),
        ("1", "plain", "1.10"),
        ("2", 'a "quoted", one\nof two lines', ""),
        ("3", "東京", "1e3"),
    )
    write("cities.csv", ("id", "city"), ("1", "Berlin"))

    def add() -> None:
        write(
            "orders.csv",
            ("id", "name", "price"),
            ("1", "renamed", "1.10"),
            ("2", "b", ""),
            ("3", "東京", "1e3"),
            ("4", "later", "0"),
        )

    config = {"filesystem": "local", "path": str(folder), "read_mode": "one_stream_per_file"}
    keys = ["_sdc_path", "_sdc_line_number"]
    return Source(config, {"orders", "cities"}, "orders", keys, "_sdc_modified_at", "_sdc_line_number", add)


@contextmanager
def rest_api() -> Iterator[Source]:
    """Things in pages of four, ordered by change; `since` is inclusive."""
    things = [{"id": n, "name": f"thing {n}", "price": n / 10, "updated": f"2024-01-{n:02}T00:00:00Z"} for n in range(1, 11)]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
            page = int(query.get("page", 1))
            wanted = sorted(
                (t for t in things if t["updated"] >= query.get("since", "")), key=lambda thing: str(thing["updated"])
            )
            body = {"items": wanted[page * 4 - 4 : page * 4], "next": page + 1 if page * 4 < len(wanted) else None}
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *arguments: object) -> None:
            """Says nothing."""

    def add() -> None:
        things.append({"id": 11, "name": "later", "price": 1.1, "updated": "2024-01-11T00:00:00Z"})
        things[0] |= {"name": "renamed", "updated": "2024-01-12T00:00:00Z"}

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        stream = {"name": "things", "path": "/things", "primary_keys": ["id"], "replication_key": "updated"}
        searched = {"start_date": "2020-01-01T00:00:00Z", "source_search_field": "since", "source_search_query": "$last_run_date"}
        config = {
            "api_url": f"http://127.0.0.1:{server.server_address[1]}",
            "records_path": "$.items[*]",
            "next_page_token_path": "$.next",
            "pagination_request_style": "jsonpath_paginator",
            "pagination_response_style": "page",
            "streams": [stream | searched],
        }
        yield Source(config, {"things"}, "things", ["id"], "updated", "id", add)
        server.shutdown()


def postgres_database(server: Server, **config: Any) -> Source:
    """A database of its own; `config` is what the tap needs besides."""
    name = f"test{next(NUMBER)}"
    if "t" not in server.sql("select exists(select from pg_database where datname = 'seed');"):
        server.sql("create database seed;")
        server.within("seed").sql(tables.POSTGRES)
    server.sql(f"create database {name} template seed;")
    database = server.within(name)
    base = {"host": "127.0.0.1", "port": server.port, "user": server.user, "password": server.password}
    whole = base | {key: name if value == "DATABASE" else value for key, value in config.items()}
    streams = {"shop-items", "shop-orders"}
    return Source(whole, streams, "shop-items", ["id"], "changed", "id", lambda: void(database.sql(tables.POSTGRES_LATER)))


def mariadb_database(server: Server) -> Source:
    name = f"test{next(NUMBER)}"
    server.sql(f"create database {name} character set utf8mb4;")
    database = server.within(name)
    database.sql(tables.MARIADB)
    base = {"host": "127.0.0.1", "port": str(server.port), "user": server.user, "password": server.password}
    config = base | {"database": name, "filter_dbs": name}
    return Source(config, {"items", "orders"}, "items", ["id"], "changed", "id", lambda: void(database.sql(tables.MARIADB_LATER)))


def void(value: object) -> None:
    del value
