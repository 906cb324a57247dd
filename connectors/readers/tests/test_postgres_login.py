"""How the reader gets in, whom it trusts, and what it says when it does not get in."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from dativo_protocols import ConfigError, ConnectorError, StreamId
from dativo_sdk import ReadCatalog, Selection

from tests.servers.postgres import PASSWORD, USER, PostgresServer, postgres_server
from tests.taps.servers import free_port

from .database import Database, PostgresReader, drain

_NOW = dt.datetime.now(dt.UTC)


@dataclass
class Authority:
    """Who vouches for servers and users."""

    name: str
    folder: Path

    def __post_init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        self.certificate = (
            self._begin(subject, subject, self.key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )
        self.file = self.folder / f"{self.name}.crt"
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def _begin(self, subject: x509.Name, issuer: x509.Name, key: Any) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(_NOW - dt.timedelta(days=1))
            .not_valid_after(_NOW + dt.timedelta(days=1))
        )

    def issue(self, name: str, *addresses: str) -> tuple[Path, Path]:
        """Files with a certificate for a name and addresses, and with its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names = [x509.DNSName(name), *(x509.IPAddress(ipaddress.ip_address(address)) for address in addresses)]
        certificate = (
            self._begin(subject, self.certificate.subject, key.public_key())
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        files = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        files[1].chmod(0o600)
        return files


@dataclass
class Secured:
    """A server with TLS, and who vouches for whom."""

    server: PostgresServer
    authority: Authority
    stranger: Authority

    def config(self, **settings: Any) -> dict[str, Any]:
        return Database(self.server, "postgres").config(**settings)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("tls")
    authority, stranger = Authority("authority", folder), Authority("stranger", folder)
    certificate, key = authority.issue("db.internal", "127.0.0.1")
    authority.issue("certified")
    with postgres_server() as server:
        data = Path(server.command[server.command.index("-D") + 1])
        owner = data.stat()
        for name, file in (("server.crt", certificate), ("server.key", key), ("root.crt", authority.file)):
            (data / name).write_bytes(file.read_bytes())
            os.chown(data / name, owner.st_uid, owner.st_gid)
            (data / name).chmod(0o600)
        server.sql("CREATE ROLE certified LOGIN; CREATE ROLE plain LOGIN PASSWORD 'plain'")
        server.sql("SET password_encryption = 'md5'; CREATE ROLE old LOGIN PASSWORD 'md5 word'")
        server.sql("CREATE ROLE one LOGIN PASSWORD 'one' CONNECTION LIMIT 0")
        rules = [
            "hostssl all certified 127.0.0.1/32 cert",
            "host all old 127.0.0.1/32 md5",
            "host all plain 127.0.0.1/32 password",
            "hostssl all one 127.0.0.1/32 scram-sha-256",
            "local all all trust",
            "host all all 127.0.0.1/32 scram-sha-256",
        ]
        (data / "pg_hba.conf").write_text("\n".join(rules) + "\n")
        server.kill()
        server.command += ["-c", "ssl=on", "-c", "ssl_ca_file=root.crt"]
        server.start()
        yield Secured(server, authority, stranger)


def read_one(config: dict[str, Any], sql: str) -> Any:
    """The only value, named `v`, of a query."""
    config = {**config, "queries": {"q": {"sql": sql}}, "tables": []}
    asked, reader = PostgresReader(), PostgresReader()
    try:
        asked.initialize(config, None, None)
        reader.initialize(config, ReadCatalog(asked.get_schema(), {StreamId("q"): Selection()}), None)
        (value,) = drain(reader).column("q", "v", None)
        return value
    finally:
        asked.close()
        reader.close()


def encrypted(config: dict[str, Any]) -> bool:
    """Gets in, and whether the connection is encrypted."""
    found: str = read_one(config, "SELECT ssl::text AS v FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    return found == "true"


def refused(config: dict[str, Any]) -> ConfigError | ConnectorError:
    with pytest.raises((ConfigError, ConnectorError)) as caught:
        encrypted(config)
    assert PASSWORD not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("sslmode", "is_encrypted"),
    [("disable", False), ("prefer", True), (None, True), ("require", True)],
)
def test_tls_is_used_as_libpq_would(secured: Secured, sslmode: str | None, is_encrypted: bool) -> None:
    assert encrypted(secured.config(sslmode=sslmode)) == is_encrypted


def test_the_authority_is_asked_where_it_is_named(secured: Secured) -> None:
    trusted, strange = str(secured.authority.file), str(secured.stranger.file)
    for mode in ("require", "verify-ca", "verify-full"):
        assert encrypted(secured.config(sslmode=mode, sslrootcert=trusted))
        assert "certificate" in str(refused(secured.config(sslmode=mode, sslrootcert=strange)))
    assert "`sslrootcert` is missing" in str(refused(secured.config(sslmode="verify-ca")))
    assert "certificate" in str(refused(secured.config(sslmode="verify-full", sslrootcert="system")))


def test_the_name_matters_to_verify_full_alone(secured: Secured) -> None:
    named = secured.config(host="localhost", sslrootcert=str(secured.authority.file))
    assert encrypted({**named, "sslmode": "verify-ca"})
    assert "certificate" in str(refused({**named, "sslmode": "verify-full"}))


def test_a_certificate_lets_a_user_in(secured: Secured) -> None:
    folder = secured.authority.folder
    files = {"sslcert": str(folder / "certified.crt"), "sslkey": str(folder / "certified.key")}
    assert encrypted(secured.config(user="certified", password=None, sslmode="require", **files))
    assert "certificate" in str(refused(secured.config(user="certified", password=None, sslmode="require")))


def test_a_server_without_tls_is_refused_where_it_is_demanded(postgres: PostgresServer) -> None:
    config = Database(postgres, "postgres").config()
    assert not encrypted({**config, "sslmode": "prefer"})
    assert "offers no TLS" in str(refused({**config, "sslmode": "require"}))


@pytest.mark.parametrize(("user", "password"), [("old", "md5 word"), ("plain", "plain"), (USER, PASSWORD)])
def test_passwords_of_every_kind_let_a_user_in(secured: Secured, user: str, password: str) -> None:
    assert encrypted(secured.config(user=user, password=password))
    error = refused(secured.config(user=user, password="wrong"))
    assert isinstance(error, ConfigError)
    assert "password" in str(error)


def test_urls_pairs_and_sockets_lead_there(secured: Secured) -> None:
    server = secured.server
    folder = Path(server.command[server.command.index("-D") + 1]).parent
    for url in (
        f"{server.url()}?sslmode=require&application_name=a%20b&connect_timeout=5&keepalives_idle=30",
        f"host=127.0.0.1 port={server.port} user={USER} password='correct horse' dbname=postgres",
        f"postgresql://{USER}:correct%20horse@127.0.0.1:{free_port()},127.0.0.1:{server.port}/postgres",
    ):
        assert encrypted({"url": url})
    assert not encrypted({"host": str(folder), "port": server.port, "user": USER, "database": "postgres"})


def test_settings_of_the_session_reach_the_server(secured: Secured) -> None:
    config = secured.config(application_name="truck", options="-c search_path=here", statement_timeout=77)
    shown = (f"current_setting('{name}')" for name in ("application_name", "search_path", "statement_timeout"))
    query = f"SELECT {' || '.join(shown)} AS v"
    assert read_one(config, query) == "truckhere77s"


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"database": "nowhere"}, ConfigError, "3D000"),
        ({"user": "nobody"}, ConfigError, "28P01"),
        ({"password": None}, ConfigError, "asks for a password"),
        ({"sslmode": "maybe"}, ConfigError, "`sslmode` is none of disable"),
        ({"sslrootcert": "/nowhere.crt", "sslmode": "verify-ca"}, ConfigError, "/nowhere.crt"),
        ({"sslcert": "/nowhere.crt"}, ConfigError, "go together"),
        ({"user": None}, ConfigError, "`user` is missing"),
        ({"surprise": 1}, ConfigError, "surprise"),
        ({"numeric": "roman"}, ConfigError, "numeric"),
        ({"options": "-c nothing_such=1"}, ConfigError, "nothing_such"),
        ({"user": "one", "password": "one"}, ConnectorError, "too many connections"),
    ],
)
def test_what_is_wrong_is_said(secured: Secured, settings: dict[str, Any], kind: type[Exception], message: str) -> None:
    error = refused(secured.config(**settings))
    assert isinstance(error, kind)
    assert message in str(error)


def test_too_many_connections_may_pass(secured: Secured) -> None:
    error = refused(secured.config(user="one", password="one"))
    assert isinstance(error, ConnectorError)
    assert error.retryable


def test_a_server_that_is_away_may_come_back(secured: Secured) -> None:
    error = refused(secured.config(port=free_port()))
    assert isinstance(error, ConnectorError)
    assert error.retryable
    assert "127.0.0.1" in str(error)


def test_a_server_that_says_nothing_is_not_waited_for(secured: Secured) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = refused(secured.config(port=silent.getsockname()[1], connect_timeout=1))
    assert isinstance(error, ConnectorError)
    assert error.retryable
    assert "no answer in time" in str(error)


def test_what_is_no_postgres_is_told(secured: Secured) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer() -> None:
            client, _ = other.accept()
            with client:
                client.recv(100)
                client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        error = refused(secured.config(port=other.getsockname()[1]))
    assert "does not answer as PostgreSQL does" in str(error)
