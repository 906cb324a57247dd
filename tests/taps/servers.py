"""Database servers of a test session: own folder, free loopback port, not root, gone with the process that started them."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Server:
    """Where a server listens, and how to talk to it.

    Attributes:
        client: The client's command line; SQL goes to its standard input.
    """

    port: int
    user: str
    database: str
    client: tuple[str, ...]
    password: str = "correct horse"

    def within(self, database: str) -> Server:
        """The same server, its client in another database."""
        client = tuple(part.replace(f"dbname={self.database}", f"dbname={database}") for part in self.client)
        if client == self.client:
            client = (*self.client[:-1], database)
        return dataclasses.replace(self, database=database, client=client)

    def sql(self, text: str) -> str:
        """Runs statements, fails on the first error, returns what they print."""
        environment = os.environ | {"PGPASSWORD": self.password, "MYSQL_PWD": self.password}
        return subprocess.run(self.client, input=text, capture_output=True, text=True, check=True, env=environment).stdout


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def program(name: str, package: str) -> str:
    """Where a server's program is; skips the test when it is missing."""
    found = [
        shutil.which(name),
        *map(str, Path("/usr/sbin").glob(name)),
        *map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{name}")),
    ]
    for path in found:
        if path and not Path(path).resolve().name.startswith("pg_wrapper"):
            return path
    pytest.skip(f"`{name}` is missing: install Debian's package `{package}`")


@contextlib.contextmanager
def folder_of(name: str) -> Iterator[tuple[Path, list[str]]]:
    """A data folder, and the prefix of commands that work in it: they end with this process and, when it is root, run as `name`.

    The folder is not below pytest's own: each pytest that starts closes those of the user to everybody else.
    """
    folder, prefix = Path(tempfile.mkdtemp(prefix="dativo-server-")), ["setpriv", "--pdeathsig", "KILL"]
    if os.getuid() == 0:
        account = pwd.getpwnam(name)
        os.chown(folder, account.pw_uid, account.pw_gid)
        prefix += ["--reuid", str(account.pw_uid), "--regid", str(account.pw_gid), "--clear-groups"]
    try:
        yield folder, prefix
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def wait_until_ready(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while not answers(server):
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"the server did not start:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.1)


def answers(server: Server) -> bool:
    try:
        return server.sql("select 1;").strip() == "1"
    except subprocess.CalledProcessError:
        return False


@contextlib.contextmanager
def running(command: list[str], server: Server, log: Path) -> Iterator[Server]:
    with log.open("wb") as output, subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output) as process:
        try:
            wait_until_ready(server, process, log)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def prepare(command: list[str]) -> None:
    made = subprocess.run(command, cwd="/", capture_output=True, text=True)
    assert made.returncode == 0, f"{command}\n{made.stdout}\n{made.stderr}"


@contextlib.contextmanager
def postgres() -> Iterator[Server]:
    """A new, empty PostgreSQL; durability off, since nothing outlives the session."""
    initdb, server_program, psql = (program(name, "postgresql") for name in ("initdb", "postgres", "psql"))
    with folder_of("postgres") as (folder, prefix):
        data, port = folder / "data", free_port()
        arguments = ["--username", "tester", "--auth", "trust", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"]
        prepare([*prefix, initdb, "--pgdata", str(data), *arguments])
        settings = ["fsync=off", "listen_addresses=127.0.0.1", f"unix_socket_directories={folder}", "timezone=UTC"]
        options = [word for setting in settings for word in ("-c", setting)]
        uri = f"host=127.0.0.1 port={port} user=tester dbname=postgres"
        server = Server(port, "tester", "postgres", (psql, uri, "-v", "ON_ERROR_STOP=1", "-XqAt"))
        with running([*prefix, server_program, "-D", str(data), "-p", str(port), *options], server, folder / "log") as ready:
            yield ready


@contextlib.contextmanager
def mariadb() -> Iterator[Server]:
    """A new MariaDB with one empty database, `shop`."""
    daemon, install, client = (program(name, "mariadb-server") for name in ("mariadbd", "mariadb-install-db", "mariadb"))
    with folder_of("mysql") as (folder, prefix):
        port, init = free_port(), folder / "init.sql"
        common = ["--no-defaults", f"--datadir={folder / 'data'}"]
        prepare([*prefix, install, *common, "--auth-root-authentication-method=normal", "--skip-test-db"])
        init.write_text(
            "CREATE DATABASE shop CHARACTER SET utf8mb4;\n"
            "CREATE USER tester@'%' IDENTIFIED BY 'correct horse';\n"
            "GRANT ALL ON *.* TO tester@'%';\n"
        )
        init.chmod(0o644)
        listen = [f"--port={port}", "--bind-address=127.0.0.1", "--skip-name-resolve", f"--socket={folder / 'socket'}"]
        settings = [f"--init-file={init}", "--default-time-zone=+00:00", "--innodb-flush-log-at-trx-commit=0"]
        connect = ["--protocol=tcp", "--host=127.0.0.1", f"--port={port}", "--user=tester", "--default-character-set=utf8mb4"]
        server = Server(port, "tester", "shop", (client, "--no-defaults", *connect, "-BN", "shop"))
        with running([*prefix, daemon, *common, *listen, *settings], server, folder / "log") as ready:
            yield ready
