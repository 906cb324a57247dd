"""An image by its name: out of a Docker Engine the first time, without one from then on."""

from __future__ import annotations

from pathlib import Path

import pytest
from dativo_engines import ContainerOptions
from dativo_engines.containers._client import connect
from dativo_protocols import ConfigError, DativoError

from tests.images.build import loaded
from tests.images.rootfs import CannotBuildError
from tests.sandbox.sources import SandboxSource

pytestmark = pytest.mark.engine


@pytest.fixture
def name(bubblewrap: str) -> str:
    """Of an image that the Docker Engine has."""
    try:
        connect().close()
        return loaded("hostile").tag
    except (DativoError, CannotBuildError) as error:
        pytest.skip(f"no Docker Engine with the image: {error}")


def test_a_name_is_taken_out_of_the_engine_once(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = SandboxSource(name, tmp_path, cache=tmp_path / "cache")
    assert source.attempt("identity").got["uid"] == 1000
    assert ("info", f"taking `{name}` out of the Docker Engine") in source.log
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    again = SandboxSource(name, tmp_path, cache=tmp_path / "cache")
    assert (again.attempt("identity").got["uid"], again.log) == (1000, [])


def test_what_the_engine_does_not_have_says_how_to_get_an_archive(name: str, tmp_path: Path) -> None:
    source = SandboxSource("airbyte/source-none:1", tmp_path, container=ContainerOptions(pull=False), cache=tmp_path)
    with pytest.raises(ConfigError, match="no image `airbyte/source-none:1` for a sandbox") as caught, source.prepared():
        pass
    assert "`docker pull airbyte/source-none:1 && docker save -o image.tar" in str(caught.value.hint)
