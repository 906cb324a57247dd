"""Objects of a real S3 server, read by the readers of files."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from tests.servers.seaweedfs import S3Server

from .files import Files, Reading

RANGE = re.compile(rb"^(GET|HEAD) (\S+) .*?^range: bytes=(\d+)-(\d+)\r$", re.IGNORECASE | re.MULTILINE | re.DOTALL)


class Objects(Files):
    """A folder of a bucket, read in one way.

    Attributes:
        options: The `storage_options` by which it is read; few retries, for tests are impatient.
    """

    def __init__(self, reader: type[Any], server: S3Server, folder: Path, port: int | None = None) -> None:
        super().__init__(reader, folder)
        self.prefix = secrets.token_hex(6)
        self.server = server
        self.options: dict[str, Any] = {
            "endpoint": f"http://127.0.0.1:{port or server.port}",
            "allow_http": True,
            "access_key_id": server.access_key,
            "secret_access_key": server.secret_key,
            "max_retries": 2,
            "retry_timeout_seconds": 5,
        }
        self.store = S3Store(
            server.bucket,
            prefix=self.prefix,
            endpoint=server.endpoint,
            region=server.region,
            access_key_id=server.access_key,
            secret_access_key=server.secret_key,
            client_options={"allow_http": True},
        )

    def url(self, name: str) -> str:
        return f"s3://{self.server.bucket}/{self.prefix}/{name}"

    def put(self, name: str, data: str | bytes) -> str:
        """An object's URL."""
        obstore.put(self.store, name, data if isinstance(data, bytes) else data.encode())
        return self.url(name)

    def wait_for(self, name: str) -> None:
        """Until a server that was started anew gives an object's bytes."""
        deadline = time.monotonic() + 60
        while True:
            try:
                obstore.get(self.store, name).bytes()
            except BaseError:
                assert time.monotonic() < deadline
                time.sleep(0.2)
            else:
                return

    def put_all(self, objects: Iterable[tuple[str, bytes]]) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda each: self.put(*each), objects))

    def with_options(self, settings: dict[str, Any]) -> dict[str, Any]:
        return {"storage_options": self.options, **settings}

    def read(self, path: str | list[str], **settings: Any) -> Reading:
        return super().read(path, **self.with_options(settings))

    def parts(self, path: str, count: int, target_bytes: int, **settings: Any) -> list[Any]:
        return super().parts(path, count, target_bytes, **self.with_options(settings))


class Ranges:
    """What a proxy sees: which bytes of which object are asked for.

    Attributes:
        stop_after: Of ranges that begin behind so many bytes, none is passed on.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, int]] = []
        self.stop_after: int | None = None
        self.is_down: Callable[[bytes], bool] = lambda _: False

    def __call__(self, request: bytes) -> str | None:
        if self.is_down(request):
            return "before"
        found = RANGE.search(request)
        if found is not None:
            start = int(found[3])
            if self.stop_after is not None and start >= self.stop_after:
                return "before"
            self.asked.append((found[2].decode(), start, int(found[4]) + 1))
        return None

    @property
    def fetched(self) -> int:
        """Bytes in all."""
        return sum(end - start for _, start, end in self.asked)
