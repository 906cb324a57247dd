"""A registry on this machine that images are pulled from: the part of the distribution protocol that a pull needs."""

from __future__ import annotations

import contextlib
import http.server
import json
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

NAME = "dativo-test/pulled"


class _Handler(http.server.BaseHTTPRequestHandler):
    """Serves one image, whatever its tag."""

    protocol_version = "HTTP/1.1"
    archive: Path | None
    status: int

    def do_GET(self) -> None:
        if self.path == "/v2/":
            self._answer(b"{}", "application/json")
        elif self.status != 200 or self.archive is None or not self.path.startswith(f"/v2/{NAME}/"):
            code = "UNAUTHORIZED" if self.status == 401 else "MANIFEST_UNKNOWN"
            body = json.dumps({"errors": [{"code": code, "message": code.lower().replace("_", " ")}]}).encode()
            self._answer(body, "application/json", self.status if self.status != 200 else 404)
        else:
            kind, _, reference = self.path.removeprefix(f"/v2/{NAME}/").partition("/")
            with tarfile.open(self.archive) as tar:
                manifest = json.loads(_content(tar, "index.json"))["manifests"][0]
                digest = reference if ":" in reference else manifest["digest"]
                media = manifest["mediaType"] if kind == "manifests" else "application/octet-stream"
                self._answer(_content(tar, "blobs/" + digest.replace(":", "/")), media, digest=digest)

    do_HEAD = do_GET

    def log_message(self, format: str, *arguments: object) -> None:
        """Nobody reads it."""

    def _answer(self, body: bytes, media: str, status: int = 200, digest: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(body)))
        if digest:
            self.send_header("Docker-Content-Digest", digest)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


def _content(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    assert file is not None
    return file.read()


@contextlib.contextmanager
def registry(archive: Path | None = None, *, status: int = 200) -> Iterator[str]:
    """Name of the one image that it has.

    Args:
        archive: As `write_archive` writes it.
        status: Of the answers, other than 200 for a registry that refuses.
    """
    handler = type("Handler", (_Handler,), {"archive": archive, "status": status})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}/{NAME}:1"
        finally:
            server.shutdown()
            thread.join()
