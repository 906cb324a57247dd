"""Data keys under key-encryption keys, what the KMS is asked for, and what the audit says."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from dativo_protocols.errors import ConfigError, TargetError

from dativo.keys import Keyring, KeysConfig, Wrapped, open_keyring
from dativo.keys._audit import Audit
from dativo.keys._config import read_encryption
from dativo.keys._keyring import Purpose
from dativo.keys._local import LocalKms, add_key

DATA_KEY = bytes(range(32))


class CountingKms(LocalKms):
    """Says how often it was asked, and fails when it is told to."""

    asked = 0
    fails = False

    def wrap(self, key_id: str, plaintext: bytes, context: Mapping[str, str]) -> Wrapped:
        self._answer()
        return super().wrap(key_id, plaintext, context)

    def unwrap(self, wrapped: Wrapped) -> bytes:
        self._answer()
        return super().unwrap(wrapped)

    def _answer(self) -> None:
        self.asked += 1
        if self.fails:
            raise TargetError("the KMS cannot be reached", retryable=True)


@pytest.fixture
def kms(key_file: Path) -> CountingKms:
    return CountingKms(key_file)


def ring(kms: LocalKms, tmp_path: Path, seconds: float = 600) -> Keyring:
    return Keyring(kms, Audit(tmp_path / "audit.jsonl"), tenant="acme", job="shop", run="r1", cache_seconds=seconds)


def lines(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]


def test_the_kms_is_asked_once_for_many_files(kms: CountingKms, tmp_path: Path) -> None:
    writing = ring(kms, tmp_path)
    sealed = [writing.seal("pii", DATA_KEY, Purpose("t", f"t/{i}")) for i in range(10)]
    assert kms.asked == 1
    reading = ring(kms, tmp_path)
    assert [reading.unseal(text, Purpose("t", f"t/{i}")) for i, text in enumerate(sealed)] == [DATA_KEY] * 10
    assert kms.asked == 2


def test_without_a_cache_it_is_asked_for_each(kms: CountingKms, tmp_path: Path) -> None:
    keys = ring(kms, tmp_path, 0)
    sealed = [keys.seal("pii", DATA_KEY, Purpose("t", f"t/{i}")) for i in range(3)]
    assert kms.asked == 3
    for text in sealed:
        keys.unseal(text, Purpose("t", None))
    assert kms.asked == 6


def test_a_kms_that_is_down_is_noticed_when_the_cache_has_ended(kms: CountingKms, tmp_path: Path) -> None:
    keys = ring(kms, tmp_path, 0)
    sealed = keys.seal("pii", DATA_KEY, Purpose("t", "t/1"))
    kms.fails = True
    with pytest.raises(TargetError) as raised:
        keys.seal("pii", DATA_KEY, Purpose("t", "t/2"))
    assert raised.value.retryable
    with pytest.raises(TargetError):
        keys.unseal(sealed, Purpose("t", "t/1"))
    assert [(line["operation"], line["file"], line["outcome"], line["error"]) for line in lines(tmp_path)] == [
        ("wrap", "t/1", "ok", None),
        ("wrap", "t/2", "failed", "the KMS cannot be reached"),
        ("unwrap", "t/1", "failed", "the KMS cannot be reached"),
    ]


def test_a_data_key_belongs_to_its_file(kms: CountingKms, tmp_path: Path) -> None:
    keys = ring(kms, tmp_path)
    sealed = keys.seal("pii", DATA_KEY, Purpose("t", "t/1"))
    with pytest.raises(TargetError, match="another file"):
        keys.unseal(sealed, Purpose("t", "t/2"))
    renamed = sealed.replace('"t/1"', '"t/2"')
    assert renamed != sealed
    with pytest.raises(TargetError, match="does not open this"):
        keys.unseal(renamed, Purpose("t", "t/2"))


@pytest.mark.parametrize("part", ["data_key", "kek"])
def test_a_changed_data_key_is_refused(kms: CountingKms, tmp_path: Path, part: str) -> None:
    keys = ring(kms, tmp_path)
    document = json.loads(keys.seal("pii", DATA_KEY, Purpose("t", "t/1")))
    holder, name = (document, "data_key") if part == "data_key" else (document["kek"], "wrapped")
    first = holder[name][0]
    holder[name] = ("A" if first != "A" else "B") + holder[name][1:]
    with pytest.raises(TargetError, match="does not open this"):
        keys.unseal(json.dumps(document), Purpose("t", "t/1"))


def test_a_changed_context_is_refused_by_a_keyring_that_knows_the_key(kms: CountingKms, tmp_path: Path) -> None:
    keys = ring(kms, tmp_path)
    sealed = keys.seal("pii", DATA_KEY, Purpose("t", "t/1"))
    keys.unseal(sealed, Purpose("t", "t/1"))
    changed = sealed.replace('"tenant":"acme"', '"tenant":"evil"')
    assert changed != sealed
    with pytest.raises(TargetError, match="does not open this"):
        keys.unseal(changed, Purpose("t", "t/1"))


@pytest.mark.parametrize("text", ["", "x", "[]", "{}", '{"dativo": 2}', '{"dativo": 1, "file": "t", "kek": 1, "data_key": ""}'])
def test_what_is_no_data_key_is_told(kms: CountingKms, tmp_path: Path, text: str) -> None:
    with pytest.raises(TargetError, match="damaged"):
        ring(kms, tmp_path).unseal(text, Purpose("t", "t/1"))


def test_keys_of_another_kind_of_kms_are_told_apart(kms: CountingKms, tmp_path: Path) -> None:
    keys = ring(kms, tmp_path)
    text = keys.seal("pii", DATA_KEY, Purpose("t", "t/1")).replace('"kms":"local"', '"kms":"vault"')
    with pytest.raises(TargetError, match="of type `vault`, not `local`"):
        keys.unseal(text, Purpose("t", "t/1"))


def test_a_rotated_key_wraps_what_is_new_and_opens_what_is_old(key_file: Path, tmp_path: Path) -> None:
    old = ring(CountingKms(key_file), tmp_path).seal("pii", DATA_KEY, Purpose("t", "t/1"))
    add_key(key_file, "pii")
    keys = ring(CountingKms(key_file), tmp_path)
    keys.seal("pii", DATA_KEY, Purpose("t", "t/2"))
    assert keys.unseal(old, Purpose("t", "t/1")) == DATA_KEY
    assert [line["version"] for line in lines(tmp_path)] == ["1", "2", "1"]


def test_the_audit_says_who_used_which_key_for_what_and_nothing_secret(kms: CountingKms, tmp_path: Path) -> None:
    keys = ring(kms, tmp_path)
    purpose = Purpose("orders", "orders/1.parquet", {"pii": ["email"], "footer": ["id", "total"]})
    sealed = keys.seal("pii", DATA_KEY, purpose)
    keys.seal("footer", DATA_KEY, purpose)
    keys.seal("footer", DATA_KEY, purpose)
    keys.unseal(sealed, Purpose("orders", None, ["email"]))
    found = lines(tmp_path)
    assert [(line["operation"], line["key"], line["columns"], line["answered"]) for line in found] == [
        ("wrap", "pii", ["email"], "kms"),
        ("wrap", "footer", ["id", "total"], "kms"),
        ("unwrap", "pii", ["email"], "kms"),
    ]
    assert {(line["tenant"], line["job"], line["run"], line["table"], line["outcome"]) for line in found} == {
        ("acme", "shop", "r1", "orders", "ok")
    }
    assert all(line["process"] == os.getpid() and line["user"] and line["time"].endswith("Z") for line in found)
    text = (tmp_path / "audit.jsonl").read_text()
    secrets = [key for versions in kms._keys.values() for key in versions.values()]
    secrets += [DATA_KEY, *(known[0] for known in keys._wrapping.values())]
    import base64

    assert len(secrets) == 5
    assert not [key for key in secrets if base64.b64encode(key).decode() in text or key.hex() in text]
    assert (tmp_path / "audit.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_key_that_cannot_be_recorded_is_not_used(kms: CountingKms, tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").mkdir()
    with pytest.raises(TargetError, match="cannot write the audit"):
        ring(kms, tmp_path).seal("pii", DATA_KEY, Purpose("t", "t/1"))


def test_a_keyring_is_opened_by_a_kms_alone_or_by_a_whole_target(
    key_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    kms = {"type": "local", "file": str(key_file)}
    with open_keyring(kms) as keys:
        sealed = keys.seal("pii", DATA_KEY, Purpose("t", "t/1"))
    assert (tmp_path / ".dativo" / "key-audit.jsonl").exists()
    with open_keyring({"kms": kms, "footer_key": "footer", "audit": str(tmp_path / "audit.jsonl")}) as keys:
        assert keys.unseal(sealed, Purpose("t", "t/1")) == DATA_KEY
    assert [line["operation"] for line in lines(tmp_path)] == ["unwrap"]
    with open_keyring(KeysConfig.model_validate({"kms": kms})) as keys:
        keys.check(["pii"])
        with pytest.raises(ConfigError, match="no key `absent`"):
            keys.check(["absent"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kms": {"type": "lokal"}}, "kms"),
        ({"kms": {"type": "local"}}, "missing"),
        ({"kms": {"type": "local", "file": "k", "extra": 1}}, "unknown key"),
        ({"footer_key": ""}, "footer_key"),
        ({"column_keys": {"pii": ["email"]}}, "needs a `quarantine_key`"),
        ({"column_keys": {"pii": ["email"], "hr": ["email?"]}, "quarantine_key": "pii"}, "column `email` has two keys"),
    ],
)
def test_a_wrong_configuration_is_told(change: dict[str, Any], message: str) -> None:
    config = {"kms": {"type": "local", "file": "keys.json"}, "footer_key": "footer"} | change
    with pytest.raises(ConfigError, match=message):
        read_encryption(config)
