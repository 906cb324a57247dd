"""Images that tests run, in a sandbox; what this machine lacks for that is said by the tests that are skipped."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dativo_engines import ContainerOptions
from dativo_engines.sandbox import ImageStore
from dativo_engines.sandbox._bubblewrap import find_bubblewrap, probe
from dativo_engines.sandbox._groups import Groups
from dativo_engines.sandbox._limits import outside_user
from dativo_protocols import ConfigError, SandboxError

from tests.images.build import RECIPES, built
from tests.images.rootfs import CannotBuildError
from tests.sandbox.sources import SandboxSource, cache_dir

pytest.register_assert_rewrite("tests.images.confinement", "tests.images.real_sources")


@pytest.fixture(scope="session")
def bubblewrap() -> str:
    """Path of `bwrap`, which works here."""
    try:
        path = find_bubblewrap()
        probe(path, outside_user())
    except SandboxError as error:
        pytest.skip(f"no sandbox can be made here: {error}")
    return path


@pytest.fixture(scope="session")
def control_groups() -> None:
    """Memory and processes can be limited together."""
    groups = Groups("dativo-test", memory_bytes=1 << 30, pids=100, cpus=None)
    groups.remove()
    if groups.held != {"memory", "pids"}:
        pytest.skip("no control groups can be made here")


@pytest.fixture
def together(control_groups: None) -> None:
    """All processes of a sandbox are limited together where control groups can be made."""


@pytest.fixture(scope="session")
def image(bubblewrap: str) -> Callable[[str], Path]:
    """The archive of a test image, built now unless it was before."""

    def find(name: str) -> Path:
        try:
            built_now = built(name)
        except CannotBuildError as error:
            pytest.skip(f"the image cannot be built: {error}")
        store = ImageStore(cache_dir())
        for old in store.list():
            if built_now.tag in old.names and old.digest != built_now.id:
                with contextlib.suppress(ConfigError):
                    store.remove(old.digest)
        return built_now.archive

    return find


@pytest.fixture
def source(image: Callable[[str], Path], tmp_path: Path) -> Callable[..., SandboxSource]:
    """Makes a source from a test image's name, or from the path of an archive."""

    def make(name: str, **options: Any) -> SandboxSource:
        own = name in RECIPES
        options.setdefault("container", ContainerOptions(network="none"))
        return SandboxSource(str(image(name)) if own else name, tmp_path, cache=cache_dir() if own else tmp_path, **options)

    return make
