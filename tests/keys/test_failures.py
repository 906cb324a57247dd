"""What goes wrong with each KMS, and what the user is told."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from dativo_protocols.errors import ConfigError, TargetError
from pydantic import TypeAdapter

from dativo.keys import KmsConfig
from dativo.keys._local import add_key, read_keys
from tests.keys.servers import Aws, Token, Vault, free_port, openbao
from tests.keys.test_kms import CONTEXT, kms_of

pytestmark = pytest.mark.xdist_group("keys")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_file_that_others_may_use_is_refused(key_file: Path, mode: int) -> None:
    key_file.chmod(mode)
    with pytest.raises(ConfigError, match="others than its owner may use it") as raised:
        read_keys(key_file)
    assert "chmod 600" in str(raised.value)


def test_a_new_key_file_is_the_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        assert add_key(tmp_path / "keys.json", "pii") == 1
        assert add_key(tmp_path / "keys.json", "pii") == 2
    finally:
        os.umask(before)
    assert (tmp_path / "keys.json").stat().st_mode & 0o777 == 0o600
    assert sorted(read_keys(tmp_path / "keys.json")["pii"]) == [1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["keys.json"]


def test_versions_that_are_made_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: add_key(tmp_path / "keys.json", "pii"), range(24)))
    assert sorted(made) == sorted(read_keys(tmp_path / "keys.json")["pii"]) == list(range(1, 25))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"version": 2, "keys": {}}',
        '{"version": 1, "keys": {"a": {"1": "c2hvcnQ="}}}',
        '{"version": 1, "keys": {"a": {}}}',
    ],
)
def test_a_key_file_of_another_form_is_refused_without_a_word_of_it(tmp_path: Path, content: str) -> None:
    file = tmp_path / "keys.json"
    file.touch(0o600)
    file.write_text(content)
    with pytest.raises(ConfigError, match="does not hold keys") as raised:
        read_keys(file)
    assert "c2hvcnQ" not in str(raised.value)
    assert raised.value.__suppress_context__


def test_a_key_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file") as raised:
        kms_of({"type": "local", "file": str(tmp_path / "nothing.json")})
    assert "dativo keys new" in str(raised.value)


def test_a_version_that_was_taken_out_of_the_file_is_named(key_file: Path) -> None:
    wrapped = kms_of({"type": "local", "file": str(key_file)}).wrap("pii", b"k" * 32, CONTEXT)
    add_key(key_file, "pii")
    document = json.loads(key_file.read_text())
    del document["keys"]["pii"]["1"]
    key_file.write_text(json.dumps(document))
    with pytest.raises(TargetError, match="no version 1 of key `pii`"):
        kms_of({"type": "local", "file": str(key_file)}).unwrap(wrapped)


def test_a_vault_token_without_permission(vault: Vault) -> None:
    client = vault.client()
    policy = 'path "transit/encrypt/pii" { capabilities = ["update"] }'
    client.sys.create_or_update_policy("writer", policy)
    limited = client.auth.token.create(policies=["writer"])["auth"]["client_token"]
    kms = kms_of({**vault.config, "token": limited})
    kms.check("pii")
    wrapped = kms.wrap("pii", b"k" * 32, CONTEXT)
    with pytest.raises(ConfigError, match="does not let this token unwrap") as raised:
        kms.unwrap(wrapped)
    assert "transit/decrypt/pii" in str(raised.value)
    assert limited not in str(raised.value)
    kms.close()


def test_a_vault_token_that_is_worth_nothing_is_found_out_at_once(vault: Vault) -> None:
    kms = kms_of({**vault.config, "token": "s.nothing"})
    with pytest.raises(ConfigError, match="does not let this token"):
        kms.check("pii")
    kms.close()


def test_an_approle_logs_in_again_when_its_token_has_ended(vault: Vault) -> None:
    client = vault.client()
    if "approle/" not in client.sys.list_auth_methods()["data"]:
        client.sys.enable_auth_method("approle")
    client.sys.create_or_update_policy("both", 'path "transit/*" { capabilities = ["update", "read"] }')
    client.auth.approle.create_or_update_approle("job", token_policies=["both"])
    role = client.auth.approle.read_role_id("job")["data"]["role_id"]
    secret = client.auth.approle.generate_secret_id("job")["data"]["secret_id"]
    config = {"type": "vault", "address": vault.address, "role_id": role, "secret_id": secret}
    kms = kms_of(config)
    wrapped = kms.wrap("pii", b"k" * 32, CONTEXT)
    kms._client.auth.token.revoke_self()  # type: ignore[attr-defined]
    assert kms.unwrap(wrapped) == b"k" * 32
    kms.close()
    wrong = kms_of({**config, "secret_id": "wrong"})
    with pytest.raises(ConfigError, match="refuses the AppRole login"):
        wrong.check("pii")


def test_a_vault_that_is_sealed_or_gone_is_worth_another_attempt() -> None:
    with openbao() as own:
        kms = kms_of(own.config)
        wrapped = kms.wrap("pii", b"k" * 32, CONTEXT)
        own.client().sys.seal()
        with pytest.raises(TargetError, match="is sealed") as raised:
            kms.unwrap(wrapped)
        assert raised.value.retryable
        assert "unseal" in str(raised.value)
        own.stop()
        with pytest.raises(TargetError, match="cannot be reached") as raised:
            kms.wrap("pii", b"k" * 32, CONTEXT)
        assert raised.value.retryable
        kms.close()


def test_a_vault_whose_authority_nobody_knows_but_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    with openbao(tls=True) as own:
        kms = kms_of({**own.config, "ca_file": str(own.authority)})
        assert kms.unwrap(kms.wrap("pii", b"k" * 32, CONTEXT)) == b"k" * 32
        kms.close()
        stranger = kms_of(own.config)
        with pytest.raises(ConfigError, match="is not trusted") as raised:
            stranger.check("pii")
        assert "ca_file" in str(raised.value)
        stranger.close()


def test_a_vault_without_a_token_or_an_address(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VAULT_TOKEN", raising=False)
    monkeypatch.delenv("VAULT_ADDR", raising=False)
    with pytest.raises(ConfigError, match="there is no token"):
        kms_of({"type": "vault", "address": vault.address}).check("pii")
    with pytest.raises(ValueError, match="is not set"):
        kms_of({"type": "vault"})


@pytest.mark.parametrize("kind", [{"type": "vault", "name": "address"}, {"type": "aws", "name": "endpoint"}])
def test_keys_do_not_travel_in_the_clear(kind: dict[str, str]) -> None:
    def check(address: str, **more: Any) -> None:
        TypeAdapter(KmsConfig).validate_python({"type": kind["type"], kind["name"]: address, **more})

    for refused in ("http://vault.example.org:8200", "http://127.0.0.1.example.org", "vault.example.org", "ftp://vault"):
        with pytest.raises(ValueError, match=kind["name"]):
            check(refused)
    for taken in ("https://vault.example.org", "http://127.0.0.1:8200", "http://localhost", "http://[::1]:8200"):
        check(taken)
    check("http://vault.example.org", allow_http=True)


def test_aws_that_cannot_be_reached_is_worth_another_attempt(aws: Aws) -> None:
    kms = kms_of({**aws.config, "endpoint": f"http://127.0.0.1:{free_port()}"})
    with pytest.raises(TargetError, match="cannot be reached") as raised:
        kms.wrap("alias/pii", b"k" * 32, CONTEXT)
    assert raised.value.retryable
    kms.close()


@pytest.mark.parametrize(
    ("code", "status", "kind", "retryable"),
    [
        ("AccessDeniedException", 400, ConfigError, False),
        ("UnrecognizedClientException", 400, ConfigError, False),
        ("ThrottlingException", 400, TargetError, True),
        ("KeyUnavailableException", 500, TargetError, True),
        ("DisabledException", 400, TargetError, False),
        ("IncorrectKeyException", 400, TargetError, False),
        ("SomethingNewException", 503, TargetError, True),
        ("SomethingNewException", 400, TargetError, False),
    ],
)
def test_what_aws_says_is_told_apart(aws: Aws, code: str, status: int, kind: type[Exception], retryable: bool) -> None:
    """The emulation refuses nobody, so these answers are put in the client's mouth."""
    from botocore.exceptions import ClientError

    kms: Any = kms_of(aws.config)
    answer = {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}}

    def fail(**_: object) -> None:
        raise ClientError(answer, "Encrypt")

    kms._client.encrypt = fail
    with pytest.raises(kind) as raised:
        kms.wrap("alias/pii", b"k" * 32, CONTEXT)
    assert raised.value.retryable is retryable  # type: ignore[attr-defined]
    kms.close()


def test_an_aws_client_without_region_or_credentials(monkeypatch: pytest.MonkeyPatch, aws: Aws) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    with pytest.raises(ConfigError, match="must specify a region"):
        kms_of({"type": "aws"})
    kms = kms_of(aws.config)
    with pytest.raises(ConfigError, match="no credentials"):
        kms.wrap("alias/pii", b"k" * 32, CONTEXT)
    kms.close()


def test_a_wrong_pin_is_said_once_and_not_tried_again(token: Token) -> None:
    kms = kms_of({**token.config, "pin": "0000"})
    with pytest.raises(ConfigError, match="refuses the PIN") as raised:
        kms.check("pii")
    assert not raised.value.retryable
    assert "0000" not in str(raised.value)


def test_a_token_that_is_not_plugged_in_is_worth_another_attempt(token: Token) -> None:
    with pytest.raises(TargetError, match="there is no token `other`") as raised:
        kms_of({**token.config, "label": "other"}).check("pii")
    assert raised.value.retryable


def test_a_module_that_is_not_there(token: Token, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot load the PKCS#11 module"):
        kms_of({**token.config, "module": str(tmp_path / "none.so")}).check("pii")


def test_two_users_of_one_token_in_one_process(token: Token) -> None:
    first, second = kms_of(token.config), kms_of({**token.config, "pin": None, "pin_file": None} | {"pin": token.config["pin"]})
    wrapped = first.wrap("pii", b"k" * 32, CONTEXT)
    assert second.unwrap(wrapped) == b"k" * 32
    first.close()
    assert second.unwrap(wrapped) == b"k" * 32
    second.close()
