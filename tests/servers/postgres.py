"""A real PostgreSQL that tests may end and start again."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.taps.servers import folder_of, free_port, prepare, program

USER, PASSWORD = "tester", "correct horse"


@dataclass(eq=False)
class PostgresServer:
    """Where the server listens, and how it is made to begin and end."""

    port: int
    command: list[str]
    log: Path
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def url(
        self, database: str = "postgres", user: str = USER, password: str = "correct%20horse", port: int | None = None
    ) -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{port or self.port}/{database}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        """A connection of somebody else, in autocommit mode."""
        return psycopg.connect(self.url(database), autocommit=True)

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of a statement, if it has any."""
        with self.connect() as connection:
            cursor = connection.execute(query)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def start(self) -> None:
        """Starts it, the first time and after `kill`; back when it answers."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        for _ in range(600):
            with contextlib.suppress(psycopg.OperationalError):
                self.sql("SELECT 1")
                return
            if self.process.poll() is not None:
                break
            threading.Event().wait(0.05)
        pytest.fail(f"the server did not start:\n{self.log.read_text(errors='replace')[-2000:]}")

    def kill(self) -> None:
        """As a power cut: SIGQUIT, the immediate shutdown; `start` brings it back."""
        if self.process is not None:
            self.process.send_signal(3)
            self.process.wait(30)
            self.process = None


@contextlib.contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A new, empty one, with passwords; `fsync` off, for what is killed here is the server and not the machine."""
    initdb, daemon = (program(name, "postgresql") for name in ("initdb", "postgres"))
    with folder_of("postgres") as (folder, prefix):
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        arguments = [
            "--username",
            USER,
            "--pwfile",
            str(secret),
            "--auth",
            "scram-sha-256",
            "--encoding",
            "UTF8",
            "--locale",
            "C.UTF-8",
        ]
        prepare([*prefix, initdb, "--pgdata", str(folder / "data"), *arguments, "--no-sync"])
        port = free_port()
        settings = ["fsync=off", "listen_addresses=127.0.0.1", f"unix_socket_directories={folder}", "timezone=Europe/Berlin"]
        options = [word for setting in settings for word in ("-c", setting)]
        command = [*prefix, daemon, "-D", str(folder / "data"), "-p", str(port), *options]
        server = PostgresServer(port, command, folder / "log")
        server.start()
        try:
            yield server
        finally:
            server.kill()
