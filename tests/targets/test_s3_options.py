"""What `path` and `storage_options` mean, for each service; nothing is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import obstore.store
import pytest
from dativo_protocols.errors import ConfigError

from dativo._environment import secret_values
from dativo.objectstore import connect, read_place
from dativo.objectstore._options import CLIENT, OPTIONS
from dativo.targets._local_store import LocalStore
from dativo.targets._place import open_store

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("url", "options", "service", "bucket", "prefix", "store"),
    [
        ("s3://shop/a/b/", {"region": "eu-west-1"}, "s3", "shop", "a/b", {"region": "eu-west-1"}),
        ("s3a://shop", {}, "s3", "shop", "", {}),
        ("gs://shop/x", {"service_account_file": "key.json"}, "gs", "shop", "x", {"service_account": "key.json"}),
        ("gcs://shop/x%20y", {"endpoint": "https://x"}, "gs", "shop", "x y", {"base_url": "https://x"}),
        ("az://box/x", {"account_name": "acme", "sas_token": "t"}, "az", "box", "x", {"account_name": "acme", "sas_key": "t"}),
        (
            "abfss://box@acme.dfs.core.windows.net/x",
            {"bearer_token": "t"},
            "az",
            "box",
            "x",
            {"account_name": "acme", "token": "t"},
        ),
    ],
)
def test_urls_and_options(
    url: str, options: dict[str, Any], service: str, bucket: str, prefix: str, store: dict[str, Any]
) -> None:
    place = read_place(url, options)
    assert (place.service, place.bucket, place.prefix, place.store) == (service, bucket, prefix, store)


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        ("ftp://shop/x", {}, "there is no store for `ftp://`"),
        ("s3:///x", {}, "must look like `s3://bucket/folder`"),
        ("s3://shop/x?versionId=1", {}, "must look like"),
        ("s3://shop/a/../b", {}, "a folder in `path`"),
        ("s3://key:secret@shop/x", {}, "must not hold credentials"),
        ("s3://shop/x", {"acess_key_id": "k"}, "unknown key `acess_key_id`"),
        ("gs://shop/x", {"region": "eu"}, "unknown key `region` in `storage_options` for `gs://`"),
        ("s3://shop/x", {"endpoint": "http://store"}, "the `endpoint` is not encrypted"),
        ("s3://shop/x", {"allow_http": "yes"}, "`allow_http` in `storage_options` must be true or false"),
        ("s3://shop/x", {"secret_access_key": 12345}, "must be text"),
        ("s3://shop/x", {"timeout_seconds": 0}, "must be a number above 0"),
        ("s3://shop/x", {"max_retries": -1}, "must be a whole number"),
    ],
)
def test_what_is_wrong_is_named_and_no_value_is_shown(url: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        read_place(url, options)
    assert not any(str(value) in f"{caught.value}{caught.value.hint}" for value in ("12345", "secret@"))


def test_each_service_has_its_store() -> None:
    azure = {"account_name": "acme", "account_key": "c2VjcmV0", "timeout_seconds": 5}
    google = {"service_account_key": '{"disable_oauth": true, "client_email": "", "private_key": "", "private_key_id": ""}'}
    assert isinstance(connect(read_place("s3://shop/x", {"region": "eu-west-1"})), obstore.store.S3Store)
    assert isinstance(connect(read_place("gs://shop/x", google)), obstore.store.GCSStore)
    assert isinstance(connect(read_place("az://box/x", azure)), obstore.store.AzureStore)


def test_an_option_that_the_library_refuses_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match=r"cannot use `gs://shop`") as caught:
        connect(read_place("gs://shop", {"service_account_key": "not-json-but-secret"}))
    assert "not-json-but-secret" not in str(caught.value)


def test_secrets_are_masked_wherever_they_are_shown() -> None:
    secrets = [
        "secret_access_key",
        "session_token",
        "service_account_key",
        "account_key",
        "sas_token",
        "client_secret",
        "bearer_token",
    ]
    values = {key: f"value of {key}" for key in secrets}
    assert set(values.values()) <= set(secret_values([{"storage_options": values}]))
    assert "value of" not in repr(read_place("s3://shop/x", {"secret_access_key": values["secret_access_key"]}))


@pytest.mark.parametrize("path", ["/data/shop", "file:///data/shop", "file://localhost/data/shop"])
def test_local_paths(path: str) -> None:
    store = open_store(path)
    assert isinstance(store, LocalStore)
    assert store.location == "/data/shop"


def test_a_file_url_of_another_machine_is_refused() -> None:
    with pytest.raises(ConfigError, match="names another machine"):
        open_store("file://server/data")


def test_storage_options_are_for_object_stores() -> None:
    with pytest.raises(ConfigError, match="`storage_options` are for object stores"):
        open_store("/data/shop", {"region": "eu"})


def test_the_documentation_lists_every_option() -> None:
    text = (ROOT / "docs" / "object-stores.md").read_text()
    for key in {*CLIENT, *(key for known in OPTIONS.values() for key in known)}:
        assert f"`{key}`" in text, key
