"""Images that tests run, in a Docker Engine."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dativo_engines.containers._client import connect
from dativo_protocols import DativoError

from tests.images.build import RECIPES, loaded
from tests.images.rootfs import CannotBuildError
from tests.images.sources import Source

pytest.register_assert_rewrite("tests.images.confinement", "tests.images.real_sources")


@pytest.fixture(scope="session")
def engine() -> Iterator[Any]:
    """A client of the Docker Engine; what a test leaves there it must remove."""
    try:
        client = connect()
    except DativoError as error:
        pytest.skip(f"no Docker Engine: {error.message}")
    with contextlib.closing(client):
        yield client


@pytest.fixture
def together() -> None:
    """The engine limits all processes of a container together."""


@pytest.fixture
def gateway(engine: Any) -> str:
    """This machine's address on the network that containers have by default."""
    subnet = engine.inspect_network("bridge")["IPAM"]["Config"][0]["Subnet"]
    return str(next(ipaddress.ip_network(subnet).hosts()))


@pytest.fixture
def source(engine: Any, tmp_path: Path) -> Callable[..., Source]:
    """Makes a source from an image's name, built and loaded now unless it was before."""

    def make(name: str, **options: Any) -> Source:
        try:
            image = loaded(name).tag if name in RECIPES else name
        except CannotBuildError as error:
            pytest.skip(f"the image cannot be built: {error}")
        return Source(image, tmp_path, **options)

    return make
