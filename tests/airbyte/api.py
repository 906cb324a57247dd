"""The API behind `things.yaml`: pages, a key, rate limits and failures as a test orders them."""

from __future__ import annotations

import json
import threading
import urllib.parse
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PAGE = 3
KEY = "k3y-of-the-api"


@dataclass
class Answer:
    """In place of the rows, once."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: str = "{}"


@dataclass
class Api:
    """A running server.

    Attributes:
        url: Where it listens.
        things: Rows of `/things`.
        changes: Rows of `/changes`, with the day of their change.
        orders: Answers in place of rows, by path: the first for the next request, and so on; None lets one request through.
        requests: What was asked for, in order.
    """

    url: str = ""
    things: list[dict[str, Any]] = field(default_factory=list)
    changes: list[dict[str, Any]] = field(default_factory=list)
    orders: dict[str, deque[Answer | None]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    @property
    def config(self) -> dict[str, Any]:
        """For the manifest: everything up to the third of January."""
        return {"url": self.url, "api_key": KEY, "until": "2024-01-03T23:59:59Z"}

    def answers(self, path: str, *answers: Answer | None) -> None:
        """Orders answers for the next requests of a path."""
        self.orders.setdefault(path, deque()).extend(answers)

    def page(self, path: str, query: dict[str, str]) -> list[dict[str, Any]]:
        rows = self.things if path == "/things" else self.changes
        if "since" in query:
            rows = [row for row in rows if query["since"] <= row["updated_at"] <= query["until"]]
        start = int(query.get("page", 0)) * PAGE
        return rows[start : start + PAGE]


def row(number: int, updated_at: str) -> dict[str, Any]:
    return {"id": number, "name": f"thing {number}", "price": number / 10, "updated_at": updated_at}


@contextmanager
def serving() -> Iterator[Api]:
    """Eight things, and four changes on each of three days."""
    api = Api(
        things=[row(number, "2024-01-01T00:00:00Z") for number in range(1, 9)],
        changes=[row(number, f"2024-01-{(number - 1) // 4 + 1:02}T0{number % 4}:00:00Z") for number in range(1, 13)],
    )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urllib.parse.urlsplit(self.path)
            api.requests.append(self.path)
            ordered = api.orders.get(parts.path)
            answer = ordered.popleft() if ordered else None
            if self.headers.get("Authorization") != f"Bearer {KEY}":
                answer = Answer(403, body='{"detail": "wrong key"}')
            if answer is None:
                answer = Answer(200, body=json.dumps({"items": api.page(parts.path, dict(urllib.parse.parse_qsl(parts.query)))}))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(answer.body.encode())

        def log_message(self, *arguments: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        api.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield api
        server.shutdown()
