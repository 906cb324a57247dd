"""A host with what attackers look for: files of others, processes, services."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HALF = "half"


class Service:
    """Accepts TCP and keeps what arrives."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.server = socket.create_server((address, 0))
        self.port = int(self.server.getsockname()[1])
        self.arrived: list[bytes] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.server.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            while data := connection.recv(65536):
                self.arrived.append(data)
                connection.sendall(b"heard " + data[:64])


def _own_address() -> str:
    """One of this machine's that is not its loopback's, if there is one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        try:
            made.connect(("192.0.2.1", 9))
            return str(made.getsockname()[0])
        except OSError:
            return "127.0.0.1"


@contextlib.contextmanager
def host(folder: Path) -> Iterator[tuple[dict[str, Any], Service]]:
    """What is attacked, as the plugin's configuration names it; and the service, which must hear nothing.

    Everything in it can be read by everybody, so that no right of a file's is what stops an attack.
    """
    tenant, project, private = folder / "tenant", folder / "project", folder / "other-run"
    for made in (tenant, project / ".dativo", private, folder / "writable"):
        made.mkdir(parents=True)
    files = {"tenant": tenant / "orders.csv", "state": project / ".dativo" / "state.db", "secret": private / "config.json"}
    for path in files.values():
        path.write_text(f"{HALF}-of-the-host")
        path.chmod(0o666)
    service = Service()
    environment = {**os.environ, "SECRET": f"{HALF}-of-the-host"}
    abstract = f"dativo-test-{os.getpid()}-{service.port}"
    with (
        contextlib.closing(service.server),
        socket.socket(socket.AF_UNIX) as by_name,
        socket.socket(socket.AF_UNIX) as by_path,
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env=environment) as victim,
    ):
        by_name.bind("\0" + abstract)
        by_path.bind(str(project / "socket"))
        (project / "socket").chmod(0o777)
        for listening in (by_name, by_path):
            listening.listen()
        config = {
            **{name: str(path) for name, path in files.items()},
            "private": str(private),
            "socket": str(project / "socket"),
            "writable": str(folder / "writable"),
            "folders": [str(project), str(tenant), str(Path.home()), "/home", "/root", "/var", "/mnt", "/srv", "/opt"],
            "code": [str(Path(__file__).parent), *(path for path in sys.path if path)],
            "half": HALF,
            "pid": victim.pid,
            "dativo": os.getpid(),
            "abstract": abstract,
            "port": service.port,
            "address": _own_address(),
        }
        try:
            yield config, service
        finally:
            victim.kill()
