"""A job whose source is a server: the example, in a process of its own, killed and started anew in the midst of a run."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import json
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import duckdb
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

import dativo
from dativo._progress import Progress

EXAMPLES = Path(__file__).parents[2] / "examples"
SERVER = EXAMPLES / "flight-server" / "measurements.py"
WRITER = EXAMPLES / "python-writer" / "encrypted_files.py"


class Server:
    """The example's process."""

    def __init__(self, folder: Path) -> None:
        self.location = f"grpc+unix://{folder}/measurements.sock"
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, str(SERVER), self.location], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.kill()


def job(server: Server, count: int, **parts: Any) -> dict[str, Any]:
    source = {"connector": f"flight:{server.location}", "config": {"count": count}}
    return {"name": "shop", "source": source, "target": {"connector": "duckdb", "config": {"path": "shop.duckdb"}}, **parts}


def counted() -> tuple[Any, ...]:
    with duckdb.connect("shop.duckdb", read_only=True) as database:
        found = database.execute("SELECT count(*), count(DISTINCT id), max(id) FROM measurements").fetchone()
    assert found is not None
    return found


def test_a_second_run_reads_what_came_since(server: Server, project: Path) -> None:
    dativo.run(job(server, 2500))
    report = dativo.run(job(server, 4000))
    assert (report.streams[0].rows_in, counted()) == (1500, (4000, 4000, 3999))


def test_a_server_that_dies_in_the_midst_is_read_on_and_no_row_is_lost_or_doubled(server: Server, project: Path) -> None:
    progress, killed = Progress(), threading.Event()
    logged: list[str] = []

    def kill() -> None:
        while not any(stream.rows for stream in progress.snapshot().streams.values()):
            if killed.wait(0.005):
                return
        server.kill()
        server.start()
        killed.set()

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        report = dativo.run(
            job(server, 3_000_000, checkpoint={"rows": 200_000}),
            progress=progress,
            log=lambda level, line: logged.append(line),
        )
    finally:
        killed.set()
        thread.join()
    assert counted() == (3_000_000, 3_000_000, 2_999_999)
    assert len(report.attempts) == 1
    assert any("trying again from the last state" in line for line in logged)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The writer of the other example, as a server."""
    command = [sys.executable, "-m", "dativo_sdk.flight", f"{WRITER}:EncryptedFiles", f"grpc+unix://{tmp_path}/writer.sock"]
    process = subprocess.Popen(command)
    for _ in range(200):
        if (tmp_path / "writer.sock").exists():
            break
        time.sleep(0.1)
    yield process
    process.kill()
    process.wait()


def written(tap: Any, folder: Path, *numbers: int, **parts: Any) -> Any:
    """A run that writes these rows to the server."""
    schema = {"type": "object", "properties": {"id": {"type": "integer"}}}
    lines: list[dict[str, Any]] = [{"type": "SCHEMA", "stream": "orders", "schema": schema, "key_properties": []}]
    for number in numbers:
        lines.append({"type": "RECORD", "stream": "orders", "record": {"id": number}})
        lines.append({"type": "STATE", "value": {"bookmarks": {"orders": {"id": number}}}})
    tap.says(*lines)
    key = b64encode(bytes(32)).decode()
    target = {"connector": f"flight:grpc+unix://{folder}/writer.sock", "config": {"path": str(folder / "out"), "key": key}}
    return dativo.run(tap.job(target, retry={"attempts": 1}, **parts))


def test_a_writer_behind_a_server_commits_rows_and_state(writer: Any, tmp_path: Path, project: Path, tap: Any) -> None:
    assert written(tap, tmp_path, 1, 2).streams[0].written == 2
    written(tap, tmp_path, 3)
    assert json.loads(tap.handed_state) == {"bookmarks": {"orders": {"id": 2}}}
    files = json.loads((tmp_path / "out" / "default.shop.json").read_text())["files"]["orders"]
    assert (len(files) >= 2, all((tmp_path / "out" / file).exists() for file in files)) == (True, True)


def test_a_writer_that_is_away_may_be_tried_again(writer: Any, tmp_path: Path, project: Path, tap: Any) -> None:
    writer.kill()
    writer.wait()
    with pytest.raises(dativo.TargetError, match="cannot be reached") as caught:
        written(tap, tmp_path, 1)
    assert caught.value.exit_code == 75


def test_what_a_writer_behind_a_server_refuses_is_said(writer: Any, tmp_path: Path, project: Path, tap: Any) -> None:
    (tmp_path / "out").write_text("no folder")
    with pytest.raises(dativo.TargetError, match="FileExistsError"):
        written(tap, tmp_path, 1)


KILLING = """
import os, signal, time
from encrypted_files import EncryptedFiles

class Killing(EncryptedFiles):
    def commit(self, state, *, final=False):
        if os.path.exists(MARK):
            os.remove(MARK)
            os.kill(os.getpid(), signal.SIGKILL)
        return super().commit(state, final=final)

class Hanging(EncryptedFiles):
    def commit(self, state, *, final=False):
        time.sleep(982.25)
"""


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Any]:
    """Starts a server of a plugin and waits until it listens; ends all of them."""
    with contextlib.ExitStack() as stack:

        def start(target: str, location: str, *more: str, **environment: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-m", "dativo_sdk.flight", target, location, *more]
            process = subprocess.Popen(command, env={**os.environ, **environment})
            stack.callback(process.wait)
            stack.callback(process.kill)
            place = urlsplit(location)
            for _ in range(300):
                with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX if place.path else socket.AF_INET) as probe:
                    probe.connect(place.path or (place.hostname, place.port))
                    return process
                time.sleep(0.1)
            raise TimeoutError(location)

        yield start


def hostile(folder: Path, name: str) -> str:
    (folder / "mine.py").write_text(f"MARK = {str(folder / 'kill')!r}\n{KILLING}")
    (folder / "encrypted_files.py").write_text(WRITER.read_text())
    return f"{folder / 'mine.py'}:{name}"


def ids(folder: Path) -> list[int]:
    """What the writer has committed."""
    sys.path.insert(0, str(WRITER.parent))
    try:
        import encrypted_files  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(WRITER.parent))
    table = encrypted_files.read(folder / "out", "default.shop", b64encode(bytes(32)).decode(), "orders")
    return sorted(table.column("id").to_pylist())


def test_a_writer_that_is_killed_is_gone_on_with_and_no_row_is_lost_or_doubled(
    serve: Any, tmp_path: Path, project: Path, tap: Any
) -> None:
    target, location = hostile(tmp_path, "Killing"), f"grpc+unix://{tmp_path}/writer.sock"
    serve(target, location)
    written(tap, tmp_path, 1, 2, checkpoint={"rows": 1})
    (tmp_path / "kill").touch()
    with pytest.raises(dativo.TargetError, match="cannot be reached, or broke off") as caught:
        written(tap, tmp_path, 3, 4, checkpoint={"rows": 1})
    assert (caught.value.exit_code, ids(tmp_path)) == (75, [1, 2])
    serve(target, location)
    written(tap, tmp_path, 3, 4, checkpoint={"rows": 1})
    assert ids(tmp_path) == [1, 2, 3, 4]


def test_a_writer_that_hangs_is_given_up(serve: Any, tmp_path: Path, project: Path, tap: Any) -> None:
    serve(hostile(tmp_path, "Hanging"), f"grpc+unix://{tmp_path}/writer.sock")
    with pytest.raises(dativo.TargetError, match="said nothing for 2 s") as caught:
        written(tap, tmp_path, 1, source={"timeouts": {"stall_seconds": 2, "stop_seconds": 1}})
    assert (caught.value.exit_code, "stall_seconds" in str(caught.value)) == (75, True)


def certificate(folder: Path, name: str, issuer: tuple[Any, Any] | None = None, days: int = 1) -> tuple[Any, Any]:
    """A certificate of 127.0.0.1 and its key, of itself or of an authority; in `NAME.pem` and `NAME.key`."""
    now = datetime.datetime.now(datetime.UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder(subject_name=subject, public_key=key.public_key(), serial_number=x509.random_serial_number())
        .issuer_name(subject if issuer is None else issuer[0].subject)
        .not_valid_before(now - datetime.timedelta(days=30))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key if issuer is None else issuer[1], hashes.SHA256())
    )
    (folder / f"{name}.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / f"{name}.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return made, key


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def authority(tmp_path: Path) -> tuple[Any, Any]:
    return certificate(tmp_path, "authority")


def over_tls(location: str, **environment: str) -> dict[str, Any]:
    source = {"connector": f"flight:{location}", "config": {"path": "shop.sqlite"}, "environment": environment}
    target = {"connector": "duckdb", "config": {"path": "shop.duckdb"}}
    return {"name": "shop", "source": source, "target": target, "retry": {"attempts": 1}}


def test_tls_and_a_token_let_in_who_knows_both(serve: Any, tmp_path: Path, project: Path, authority: Any) -> None:
    certificate(tmp_path, "server", authority)
    certificate(tmp_path, "other")
    with contextlib.closing(sqlite3.connect("shop.sqlite")) as database, database:
        database.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
        database.execute("INSERT INTO orders VALUES (1), (2)")
    location = f"grpc+tls://127.0.0.1:{free_port()}"
    own = ("--certificate", str(tmp_path / "server.pem"), "--key", str(tmp_path / "server.key"))
    serve(f"{EXAMPLES}/python-reader/sqlite_tables.py:SqliteTables", location, *own, DATIVO_FLIGHT_TOKEN="t0ken-of-tests")
    trusted = {"DATIVO_FLIGHT_CERTIFICATES": str(tmp_path / "authority.pem")}
    token = {"DATIVO_FLIGHT_TOKEN": "t0ken-of-tests"}
    report = dativo.run(over_tls(location, **trusted, **token))
    assert [stream.rows_in for stream in report.streams] == [2]
    for wrong in ({"DATIVO_FLIGHT_TOKEN": "t0ken-of-others"}, {}):
        with pytest.raises(dativo.ConfigError, match="refuses the token") as caught:
            dativo.run(over_tls(location, **trusted, **wrong))
        assert (caught.value.exit_code, "t0ken" in str(caught.value)) == (2, False)
    for named in ({"DATIVO_FLIGHT_CERTIFICATES": str(tmp_path / "other.pem")}, {}):
        with pytest.raises(dativo.ConfigError, match="certificate is not trusted") as caught:
            dativo.run(over_tls(location, **named, **token))
        assert (caught.value.exit_code, "DATIVO_FLIGHT_CERTIFICATES" in str(caught.value)) == (2, True)
    with pytest.raises(dativo.ConfigError, match="cannot read the certificates"):
        dativo.run(over_tls(location, DATIVO_FLIGHT_CERTIFICATES=str(tmp_path / "none.pem"), **token))


def test_a_certificate_that_is_over_is_refused(serve: Any, tmp_path: Path, project: Path, authority: Any) -> None:
    certificate(tmp_path, "server", authority, days=-1)
    location = f"grpc+tls://127.0.0.1:{free_port()}"
    own = ("--certificate", str(tmp_path / "server.pem"), "--key", str(tmp_path / "server.key"))
    serve(f"{EXAMPLES}/python-reader/sqlite_tables.py:SqliteTables", location, *own)
    with pytest.raises(dativo.ConfigError, match="certificate has expired"):
        dativo.run(over_tls(location, DATIVO_FLIGHT_CERTIFICATES=str(tmp_path / "authority.pem")))


def test_a_server_without_tls_is_no_server_with_it(serve: Any, tmp_path: Path, project: Path, authority: Any) -> None:
    port = free_port()
    serve(f"{EXAMPLES}/python-reader/sqlite_tables.py:SqliteTables", f"grpc://127.0.0.1:{port}")
    whole = over_tls(f"grpc+tls://127.0.0.1:{port}", DATIVO_FLIGHT_CERTIFICATES=str(tmp_path / "authority.pem"))
    with pytest.raises(dativo.ConnectorError, match="cannot be reached") as caught:
        dativo.run(whole)
    assert caught.value.exit_code == 75
