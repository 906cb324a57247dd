"""`python -m dativo_sdk.flight TARGET LOCATION`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from dativo_sdk._plugin import load_class
from dativo_sdk.flight._server import serve


def main() -> None:
    """Serves until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m dativo_sdk.flight", description="Serves a reader over Arrow Flight.")
    parser.add_argument("target", help="`module:Class` or `path.py:Class`")
    parser.add_argument("location", help="`grpc+unix:///path`, `grpc://host:port` or `grpc+tls://host:port`")
    parser.add_argument("--certificate", type=Path, help="of TLS, as PEM")
    parser.add_argument("--key", type=Path, help="of TLS, as PEM")
    said = parser.parse_args()
    token = os.environ.get("DATIVO_FLIGHT_TOKEN")
    certificate, key = (None if file is None else file.read_bytes() for file in (said.certificate, said.key))
    serve(load_class(said.target), said.location, token=token, certificate=certificate, key=key)


if __name__ == "__main__":
    main()
