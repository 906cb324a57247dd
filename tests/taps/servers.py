"""Database servers of a test session: own folder, free loopback port, not root, gone with the process that started them."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pwd
import shutil
import socket
import subprocess
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


def as_user(name: str, folder: Path) -> list[str]:
    """A command prefix: the process ends with this one and, when this one is root, runs as `name`, who gets `folder`."""
    prefix = ["setpriv", "--pdeathsig", "KILL"]
    if os.getuid() != 0:
        return prefix
    try:
        account = pwd.getpwnam(name)
    except KeyError:
        account = pwd.getpwnam("nobody")
    folder.mkdir(parents=True, exist_ok=True)
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, account.pw_uid, account.pw_gid)
    for parent in folder.parents:
        if parent.stat().st_uid == 0 and parent != Path("/") and "pytest" in str(parent):
            parent.chmod(parent.stat().st_mode | 0o011)
    return [*prefix, "--reuid", str(account.pw_uid), "--regid", str(account.pw_gid), "--clear-groups"]


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
def running(command: list[str], server: Server, folder: Path) -> Iterator[Server]:
    log = folder.with_suffix(".log")
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


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[Server]:
    """A new, empty PostgreSQL; durability off, since nothing outlives the session."""
    initdb, server_program, psql = (program(name, "postgresql") for name in ("initdb", "postgres", "psql"))
    data = folder / "postgres"
    prefix = as_user("postgres", data)
    arguments = [
        "--pgdata",
        str(data),
        "--username",
        "tester",
        "--auth",
        "trust",
        "--encoding",
        "UTF8",
        "--locale",
        "C.UTF-8",
        "--no-sync",
    ]
    subprocess.run([*prefix, initdb, *arguments], cwd="/", check=True, capture_output=True)
    port = free_port()
    settings = [
        "-c",
        "fsync=off",
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        f"unix_socket_directories={data}",
        "-c",
        "timezone=UTC",
    ]
    uri = f"host=127.0.0.1 port={port} user=tester dbname=postgres"
    server = Server(port, "tester", "postgres", (psql, uri, "-v", "ON_ERROR_STOP=1", "-XqAt"))
    with running([*prefix, server_program, "-D", str(data), "-p", str(port), *settings], server, data) as ready:
        yield ready


@contextlib.contextmanager
def mariadb(folder: Path) -> Iterator[Server]:
    """A new MariaDB with one empty database, `shop`."""
    daemon, install, client = (program(name, "mariadb-server") for name in ("mariadbd", "mariadb-install-db", "mariadb"))
    data = folder / "mariadb"
    prefix = as_user("mysql", data)
    common = ["--no-defaults", f"--datadir={data}"]
    subprocess.run(
        [*prefix, install, *common, "--auth-root-authentication-method=normal", "--skip-test-db"],
        cwd="/",
        check=True,
        capture_output=True,
    )
    port = free_port()
    init = data / "init.sql"
    init.write_text(
        "CREATE DATABASE shop CHARACTER SET utf8mb4;\n"
        "CREATE USER tester@'%' IDENTIFIED BY 'correct horse';\n"
        "GRANT ALL ON *.* TO tester@'%';\n"
    )
    init.chmod(0o644)
    options = [
        f"--port={port}",
        "--bind-address=127.0.0.1",
        "--skip-name-resolve",
        f"--socket={data}/socket",
        f"--init-file={init}",
    ]
    command = (
        client,
        "--no-defaults",
        "--protocol=tcp",
        "--host=127.0.0.1",
        f"--port={port}",
        "--user=tester",
        "-BN",
        "--default-character-set=utf8mb4",
        "shop",
    )
    server = Server(port, "tester", "shop", command)
    with running(
        [*prefix, daemon, *common, *options, "--default-time-zone=+00:00", "--innodb-flush-log-at-trx-commit=0"], server, data
    ) as ready:
        yield ready
