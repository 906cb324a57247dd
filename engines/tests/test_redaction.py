"""No secret comes through, however it is written."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, quote_plus

import pytest
from dativo_engines._redaction import Redactor, secrets_in
from hypothesis import given
from hypothesis import strategies as st

SECRET = 'p"ä ss/w+rd\\é'


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        json.dumps({"password": SECRET}),
        json.dumps({"password": SECRET}, ensure_ascii=False),
        repr(SECRET),
        f"postgres://u:{quote(SECRET, safe='')}@h",
        quote_plus(SECRET).lower(),
        SECRET.encode().hex(),
    ],
)
def test_escaped_secrets_are_masked(written: str) -> None:
    assert "***" in Redactor([SECRET])(written)
    assert "ss" not in Redactor([SECRET])(written).replace("password", "")


@given(before=st.binary(max_size=8), secret=st.text("abcXYZ019-_/+", min_size=9, max_size=40), after=st.binary(max_size=8))
def test_base64_is_masked_at_any_alignment(before: bytes, secret: str, after: bytes) -> None:
    redactor = Redactor([secret])
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        assert "***" in redactor(encode(before + secret.encode() + after).decode())


def test_private_key_is_masked_line_by_line() -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END PRIVATE KEY-----\n"
    redactor = Redactor([key])
    assert redactor("line: MIIEvQIBADANBg") == "line: ***"
    assert redactor(json.dumps(key)) == '"***"'


def test_short_secrets_are_masked_as_words_only() -> None:
    redactor = Redactor(["ab", ""])
    assert redactor("tab ab=ab; cab") == "tab ***=***; cab"


def test_longer_secret_wins() -> None:
    assert Redactor(["secret", "secret-longer"])("x secret-longer y") == "x *** y"


def test_secrets_written_into_a_configuration_are_found() -> None:
    config = {
        "user": "joe",
        "db_password": "one",
        "nested": [{"api_key": "two"}],
        "url": "postgresql://u:three@host/db",
        "token_url": "https://host/token",
        "tokens": ["four"],
        "start_date": "2020-01-01",
    }
    assert set(secrets_in(config)) == {"one", "two", "three", "four"}


def test_secrets_that_several_threads_add_are_all_masked() -> None:
    redactor = Redactor()
    added = [[f"s3cret-{thread}-{number}-value" for number in range(6)] for thread in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda secrets: [redactor.add([secret]) for secret in secrets], added))
    assert redactor(" ".join(secret for secrets in added for secret in secrets)) == " ".join(["***"] * 24)
