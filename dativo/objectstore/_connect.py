"""A place as obstore's store object. Credentials that are not given are found as each cloud's tools find them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dativo_protocols.errors import ConfigError

from dativo.objectstore._options import Place

if TYPE_CHECKING:
    from obstore.store import ObjectStore

RETRY_SECONDS = 60.0
TIMEOUT_SECONDS = 60.0
CONNECT_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 5.0


def connect(place: Place) -> ObjectStore:
    """The store at the place; nothing is sent yet.

    Requests that fail for the moment (5xx, broken connections) are made again for `retry_timeout_seconds`.

    Raises:
        ConfigError: `obstore` is not installed, or refuses an option.
    """
    try:
        from obstore.exceptions import BaseError
        from obstore.store import AzureStore, GCSStore, S3Store
    except ImportError as error:
        raise ConfigError("object stores need `obstore`, which is not installed", hint="pip install 'dativo[s3]'") from error
    client = place.client
    options: dict[str, Any] = {
        "allow_http": client.get("allow_http", False),
        "timeout": timedelta(seconds=client.get("timeout_seconds", TIMEOUT_SECONDS)),
        "connect_timeout": timedelta(seconds=client.get("connect_timeout_seconds", CONNECT_SECONDS)),
    }
    if "proxy_url" in client:
        options["proxy_url"] = client["proxy_url"]
    if "root_certificate" in client:
        options["root_certificate"] = _certificate(client["root_certificate"])
    retry: dict[str, Any] = {
        "max_retries": client.get("max_retries", 30),
        "retry_timeout": timedelta(seconds=client.get("retry_timeout_seconds", RETRY_SECONDS)),
        "backoff": {
            "init_backoff": timedelta(milliseconds=100),
            "max_backoff": timedelta(seconds=LONGEST_PAUSE_SECONDS),
            "base": 2,
        },
    }
    kind: Any = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}[place.service]
    named = dict(place.store)
    if place.service == "s3" and "endpoint" in named:
        # A server of one's own has no regions, and yet signatures name one.
        named.setdefault("region", "us-east-1")
    try:
        store: ObjectStore = kind(place.bucket, prefix=place.prefix or None, client_options=options, retry_config=retry, **named)
    except (BaseError, ValueError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"cannot use `{place.url}` with these `storage_options`: {reason}", facts={"path": place.url}) from None
    return store


def _certificate(path: str) -> bytes:
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read `root_certificate`: {error.strerror}", facts={"key": "root_certificate"}) from error
