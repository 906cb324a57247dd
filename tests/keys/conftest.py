"""Key services, one of each a session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.keys.servers import Aws, Token, Vault, moto_kms, openbao, softhsm


@pytest.fixture(scope="session")
def token() -> Iterator[Token]:
    with softhsm() as found:
        yield found


@pytest.fixture(scope="session")
def vault() -> Iterator[Vault]:
    with openbao() as found:
        yield found


@pytest.fixture(scope="session")
def aws_server() -> Iterator[Aws]:
    with moto_kms() as found:
        yield found


@pytest.fixture
def aws(aws_server: Aws, monkeypatch: pytest.MonkeyPatch) -> Aws:
    """With credentials in the environment while the test runs: other tests start servers that would take them for their own."""
    for name, value in aws_server.environment.items():
        monkeypatch.setenv(name, value)
    return aws_server


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """With keys `footer` and `pii`, each of version 1."""
    from dativo.keys._local import add_key

    file = tmp_path / "keys.json"
    add_key(file, "footer")
    add_key(file, "pii")
    return file
