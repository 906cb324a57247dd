from __future__ import annotations

from pathlib import Path

import pytest
from dativo_sdk.conformance import CHECKS, Check, run_check

from tests.servers.postgres import PostgresServer
from tests.servers.postgres_case import PostgresCase


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_conformance(check: Check, tmp_path: Path, postgres: PostgresServer) -> None:
    run_check(check, PostgresCase(postgres), tmp_path)
