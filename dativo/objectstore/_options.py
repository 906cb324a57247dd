"""`path` and `storage_options`: the same keys for every store as far as they mean the same; see `docs/object-stores.md`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from dativo_protocols import frozen
from dativo_protocols.errors import ConfigError

Service = Literal["s3", "gs", "az"]

SCHEMES: Mapping[str, Service] = {
    "s3": "s3",
    "s3a": "s3",
    "gs": "gs",
    "gcs": "gs",
    "az": "az",
    "azure": "az",
    "abfs": "az",
    "abfss": "az",
}

# The option's name for users: what obstore calls it, and what it must be.
CLIENT: Mapping[str, type] = {
    "allow_http": bool,
    "proxy_url": str,
    "root_certificate": str,
    "connect_timeout_seconds": float,
    "timeout_seconds": float,
    "max_retries": int,
    "retry_timeout_seconds": float,
}
OPTIONS: Mapping[Service, Mapping[str, tuple[str, type]]] = {
    "s3": {
        "endpoint": ("endpoint", str),
        "region": ("region", str),
        "access_key_id": ("access_key_id", str),
        "secret_access_key": ("secret_access_key", str),
        "session_token": ("session_token", str),
        "role_arn": ("role_arn", str),
        "web_identity_token_file": ("web_identity_token_file", str),
        "skip_signature": ("skip_signature", bool),
        "virtual_hosted_style_request": ("virtual_hosted_style_request", bool),
        "server_side_encryption": ("server_side_encryption", str),
        "sse_kms_key_id": ("sse_kms_key_id", str),
        "unsigned_payload": ("unsigned_payload", bool),
    },
    "gs": {
        "endpoint": ("base_url", str),
        "service_account_key": ("service_account_key", str),
        "service_account_file": ("service_account", str),
        "application_credentials": ("application_credentials", str),
        "bearer_token": ("bearer_token", str),
        "skip_signature": ("skip_signature", bool),
    },
    "az": {
        "endpoint": ("endpoint", str),
        "account_name": ("account_name", str),
        "account_key": ("account_key", str),
        "sas_token": ("sas_key", str),
        "bearer_token": ("token", str),
        "client_id": ("client_id", str),
        "client_secret": ("client_secret", str),
        "tenant_id": ("tenant_id", str),
        "federated_token_file": ("federated_token_file", str),
        "use_azure_cli": ("use_azure_cli", bool),
        "use_emulator": ("use_emulator", bool),
        "skip_signature": ("skip_signature", bool),
    },
}


@frozen
class Place:
    """A folder in a bucket or container, and how to reach it.

    Attributes:
        url: As given, without a `/` at its end; it never holds a secret.
        prefix: The folder, without `/` at its ends; empty for the whole bucket.
        store: Options of the service, under obstore's names.
        client: Options of the connection, under ours.
    """

    service: Service
    bucket: str
    prefix: str
    url: str
    store: dict[str, Any] = field(repr=False)
    client: dict[str, Any] = field(repr=False)


def read_place(url: str, options: Mapping[str, Any]) -> Place:
    """What a URL and options mean.

    Args:
        url: `s3://bucket/folder`, `gs://bucket/folder`, `az://container/folder`, or
            `abfss://container@account.dfs.core.windows.net/folder`.

    Raises:
        ConfigError: The URL or an option is not valid; the message holds no value of an option.
    """
    parts = urlsplit(url)
    service = SCHEMES.get(parts.scheme.lower())
    if service is None:
        raise ConfigError(
            f"there is no store for `{parts.scheme}://`",
            hint="write a directory, `file://`, `s3://`, `gs://`, `az://` or `abfss://`",
            facts={"key": "path"},
        )
    implied: dict[str, Any] = {}
    bucket = parts.netloc
    if "@" in bucket:
        bucket, _, host = bucket.partition("@")
        if service != "az" or ":" in bucket:
            raise ConfigError(
                "the URL in `path` must not hold credentials", hint="put them under `storage_options`", facts={"key": "path"}
            )
        implied["account_name"] = host.partition(".")[0]
    if not bucket or parts.query or parts.fragment:
        raise ConfigError(f"`path` must look like `{parts.scheme}://bucket/folder`", facts={"key": "path"})
    prefix = unquote(parts.path).strip("/")
    if any(part in ("", ".", "..") for part in prefix.split("/")) and prefix:
        raise ConfigError("a folder in `path` is empty, `.` or `..`", facts={"key": "path"})
    known = OPTIONS[service]
    store, client = implied, {}
    for key, value in options.items():
        if key in CLIENT:
            client[key] = _checked(key, value, CLIENT[key])
        elif key in known:
            name, kind = known[key]
            store[name] = _checked(key, value, kind)
        else:
            valid = ", ".join(f"`{each}`" for each in sorted({*known, *CLIENT}))
            raise ConfigError(
                f"unknown key `{key}` in `storage_options` for `{parts.scheme}://`",
                hint=f"valid keys: {valid}",
                facts={"key": key},
            )
    endpoint = options.get("endpoint")
    if isinstance(endpoint, str) and endpoint.startswith("http://") and not client.get("allow_http"):
        raise ConfigError(
            "the `endpoint` is not encrypted", hint="use `https://`, or set `allow_http: true`", facts={"key": "endpoint"}
        )
    location = f"{parts.scheme}://{parts.netloc}" + (f"/{prefix}" if prefix else "")
    return Place(service, bucket, prefix, location, store, client)


def _checked(key: str, value: Any, kind: type) -> Any:
    right = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    if kind is float:
        right = isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0
    if kind is int:
        right = right and value >= 0
    if not right:
        text = {bool: "true or false", str: "text", int: "a whole number", float: "a number above 0"}[kind]
        raise ConfigError(f"`{key}` in `storage_options` must be {text}", facts={"key": key})
    return value
