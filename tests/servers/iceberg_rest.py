"""A small Iceberg REST catalog: the calls that a writer makes, over pyiceberg's own SQL catalog."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from pyiceberg.catalog.rest import CreateTableRequest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchNamespaceError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC
from pyiceberg.table import CommitTableRequest, StagedTable, Table

TOKEN = "a-token-that-nobody-may-see"
_STATUS = {
    NoSuchTableError: 404,
    NoSuchNamespaceError: 404,
    TableAlreadyExistsError: 409,
    NamespaceAlreadyExistsError: 409,
    CommitFailedException: 409,
}


class RestServer:
    """A catalog that is served.

    Attributes:
        uri: Of the catalog.
        lose_answers: So many answers to commits get lost, after the commit has been made.
    """

    def __init__(self, folder: Path, **properties: str) -> None:
        properties = {"warehouse": f"file://{folder}", **properties}
        self.catalog = SqlCatalog("served", uri=f"sqlite:///{folder}/served.db", **properties)
        self.config = {key: value for key, value in properties.items() if key.startswith("s3.")}
        self.lose_answers = 0
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"rest": self}))
        self.uri = f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, method: str, parts: list[str], body: bytes) -> Any:
        """What the catalog says to a call; raises pyiceberg's errors."""
        match method, parts:
            case "GET", ["config"]:
                return {"defaults": {}, "overrides": {}}
            case "POST", ["namespaces"]:
                self.catalog.create_namespace(tuple(json.loads(body)["namespace"]))
                return json.loads(body)
            case "GET" | "HEAD", ["namespaces", name]:
                return {"namespace": [name], "properties": self.catalog.load_namespace_properties(name)}
            case "GET", ["namespaces", name, "tables"]:
                return {"identifiers": [{"namespace": [name], "name": each[-1]} for each in self.catalog.list_tables(name)]}
            case "POST", ["namespaces", name, "tables"]:
                return self._created(
                    (name,),
                    CreateTableRequest(**{"location": None, "partition-spec": None, "write-order": None, **json.loads(body)}),
                )
            case "GET" | "HEAD", ["namespaces", name, "tables", table]:
                return self._told(self.catalog.load_table((name, table)))
            case "POST", ["namespaces", name, "tables", table]:
                return self._committed((name, table), CommitTableRequest.model_validate_json(body))
        raise LookupError(f"{method} {parts}")

    def _created(self, namespace: tuple[str, ...], request: CreateTableRequest) -> Any:
        identifier = (*namespace, request.name)
        if self.catalog.table_exists(identifier):
            raise TableAlreadyExistsError(f"there is {identifier}")
        spec = request.partition_spec or UNPARTITIONED_PARTITION_SPEC
        made = self.catalog.create_table_transaction(
            identifier, request.table_schema, request.location, spec, properties=request.properties
        )
        return self._told(made._table)

    def _committed(self, identifier: tuple[str, ...], request: CommitTableRequest) -> Any:
        with self.lock:
            try:
                table: Table = self.catalog.load_table(identifier)
            except NoSuchTableError:
                table = StagedTable(identifier, None, "", None, self.catalog)  # type: ignore[arg-type]
            self.catalog.commit_table(table, tuple(request.requirements), tuple(request.updates))
        return self._told(self.catalog.load_table(identifier))

    def _told(self, table: Table) -> Any:
        metadata = json.loads(table.metadata.model_dump_json())
        return {"metadata-location": table.metadata_location, "metadata": metadata, "config": self.config}


class _Handler(BaseHTTPRequestHandler):
    rest: RestServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = self.path.partition("?")[0].strip("/").split("/")[1:]
        status, answer = 200, None
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            status, answer = 401, _error(401, "NotAuthorizedException", "who are you?")
        else:
            try:
                answer = self.rest.answer(self.command, parts, body)
            except tuple(_STATUS) as error:
                status = _STATUS[type(error)]
                answer = _error(status, type(error).__name__, str(error))
        if self.command == "POST" and len(parts) == 4 and status == 200 and self.rest.lose_answers:
            self.rest.lose_answers -= 1
            status, answer = 503, _error(503, "ServiceUnavailableException", "the answer got lost")
        payload = b"" if self.command == "HEAD" else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)


def _error(code: int, kind: str, message: str) -> Any:
    return {"error": {"message": message, "type": kind, "code": code}}


@contextmanager
def iceberg_rest(folder: Path, **properties: str) -> Iterator[RestServer]:
    """A catalog served from this process, on a free port of the loopback interface."""
    rest = RestServer(folder, **properties)
    thread = threading.Thread(target=rest.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield rest
    finally:
        rest.server.shutdown()
        thread.join()
        rest.server.server_close()
        rest.catalog.close()
