"""What every KMS does alike: each provider against the real thing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from dativo_protocols.errors import ConfigError, DativoError, TargetError
from pydantic import TypeAdapter

from dativo.keys import Kms, KmsConfig, Wrapped, open_kms
from dativo.keys._local import add_key
from tests.keys.servers import Aws, Token, Vault

KINDS = ["local", "vault", "aws", "pkcs11"]
CONTEXT = {"tenant": "acme"}
pytestmark = pytest.mark.xdist_group("keys")


def kms_of(config: dict[str, Any]) -> Kms:
    return open_kms(TypeAdapter(KmsConfig).validate_python(config))


@dataclass
class Case:
    """A KMS, and how its key is made a version newer."""

    config: dict[str, Any]
    key: str
    rotate: Callable[[], object]


@pytest.fixture(params=KINDS)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    if request.param == "local":
        file: Path = request.getfixturevalue("key_file")
        return Case({"type": "local", "file": str(file)}, "pii", lambda: add_key(file, "pii"))
    if request.param == "vault":
        vault: Vault = request.getfixturevalue("vault")
        return Case(vault.config, "pii", lambda: vault.client().secrets.transit.rotate_key("pii"))
    if request.param == "aws":
        aws: Aws = request.getfixturevalue("aws")
        return Case(aws.config, "alias/pii", lambda: aws.client().enable_key_rotation(KeyId=_key_id(aws)))
    token: Token = request.getfixturevalue("token")
    return Case(token.config, "pii", lambda: token.add_key("pii", 2))


def _key_id(aws: Aws) -> str:
    return str(aws.client().describe_key(KeyId="alias/pii")["KeyMetadata"]["KeyId"])


@pytest.fixture
def kms(case: Case) -> Iterator[Kms]:
    opened = kms_of(case.config)
    yield opened
    opened.close()


def test_what_is_wrapped_is_unwrapped_by_another_session(case: Case, kms: Kms) -> None:
    kms.check(case.key)
    wrapped = Wrapped.read(kms.wrap(case.key, b"k" * 32, CONTEXT).document())
    assert b"k" * 32 not in wrapped.payload
    assert (wrapped.kms, wrapped.key_id, wrapped.context) == (case.config["type"], case.key, CONTEXT)
    kms.close()
    other = kms_of(case.config)
    try:
        assert other.unwrap(wrapped) == b"k" * 32
    finally:
        other.close()


def test_wrapping_twice_gives_two_texts(case: Case, kms: Kms) -> None:
    assert kms.wrap(case.key, b"k" * 32, CONTEXT).payload != kms.wrap(case.key, b"k" * 32, CONTEXT).payload


def test_another_context_does_not_unwrap(case: Case, kms: Kms) -> None:
    wrapped = kms.wrap(case.key, b"k" * 32, CONTEXT)
    with pytest.raises(TargetError, match="does not open this") as raised:
        kms.unwrap(replace(wrapped, context={"tenant": "other"}))
    assert not raised.value.retryable


def test_a_changed_payload_does_not_unwrap(case: Case, kms: Kms) -> None:
    wrapped = kms.wrap(case.key, b"k" * 32, CONTEXT)
    middle = len(wrapped.payload) // 2
    changed = bytes([wrapped.payload[middle] ^ 1])
    damaged = wrapped.payload[:middle] + changed + wrapped.payload[middle + 1 :]
    with pytest.raises(TargetError):
        kms.unwrap(replace(wrapped, payload=damaged))


def test_another_key_does_not_unwrap(case: Case, kms: Kms) -> None:
    wrapped = kms.wrap(case.key, b"k" * 32, CONTEXT)
    # AWS says `IncorrectKeyException`, its emulation `AccessDeniedException`.
    with pytest.raises(DativoError, match=r"does not open this|does not let this user"):
        kms.unwrap(replace(wrapped, key_id=case.key.replace("pii", "footer"), version=_version(case, wrapped)))


def test_a_key_that_is_not_there_is_an_error_of_the_configuration(case: Case, kms: Kms) -> None:
    missing = case.key.replace("pii", "absent")
    with pytest.raises(ConfigError, match=r"no (AES )?key `(alias/)?absent`") as raised:
        kms.check(missing)
    assert raised.value.hint
    wrapped = kms.wrap(case.key, b"k" * 32, CONTEXT)
    with pytest.raises(DativoError):
        kms.unwrap(replace(wrapped, key_id=missing, version=_version(case, wrapped)))


def _version(case: Case, wrapped: Wrapped) -> str:
    """With AWS the version alone says which key it is."""
    return "" if case.config["type"] == "aws" else wrapped.version


@pytest.mark.parametrize("case", ["aws"], indirect=True)
def test_an_alias_that_moves_on_leaves_old_keys_readable(case: Case, aws: Aws) -> None:
    client = aws.client()
    first, second = (client.create_key()["KeyMetadata"]["KeyId"] for _ in range(2))
    client.create_alias(AliasName="alias/moving", TargetKeyId=first)
    kms = kms_of(case.config)
    old = kms.wrap("alias/moving", b"k" * 32, CONTEXT)
    client.update_alias(AliasName="alias/moving", TargetKeyId=second)
    new = kms.wrap("alias/moving", b"n" * 32, CONTEXT)
    assert (old.version.rpartition("/")[2], new.version.rpartition("/")[2]) == (first, second)
    assert [kms.unwrap(old), kms.unwrap(new)] == [b"k" * 32, b"n" * 32]
    kms.close()
    client.close()


def test_after_rotation_old_keys_still_unwrap(case: Case, kms: Kms) -> None:
    old = kms.wrap(case.key, b"k" * 32, CONTEXT)
    kms.close()
    case.rotate()
    fresh = kms_of(case.config)
    try:
        new = fresh.wrap(case.key, b"n" * 32, CONTEXT)
        assert fresh.unwrap(old) == b"k" * 32
        assert fresh.unwrap(new) == b"n" * 32
        if case.config["type"] != "aws":
            assert int(new.version) > int(old.version)
    finally:
        fresh.close()


@pytest.mark.parametrize("case", ["vault", "pkcs11"], indirect=True)
def test_secrets_are_not_shown(case: Case) -> None:
    secret = case.config["pin" if case.config["type"] == "pkcs11" else "token"]
    config = TypeAdapter(KmsConfig).validate_python(case.config)
    assert secret not in repr(config) + str(config) + repr(kms_of(case.config))
