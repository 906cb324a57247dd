"""Servers for the recipes of databases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.taps import servers
from tests.taps.servers import Server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    with servers.postgres() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Server]:
    with servers.mariadb() as server:
        yield server
