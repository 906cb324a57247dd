"""What can be wrong with an engine, an image or its limits is said clearly, with what to do."""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dativo_engines import ContainerOptions
from dativo_protocols import ConfigError, ConnectorError, DativoError

from tests.images.build import archive
from tests.images.sources import Source

Make = Callable[..., Source]
needs_engine = [pytest.mark.engine, pytest.mark.xdist_group("docker")]
MIB = 1 << 20
NO_NETWORK = ContainerOptions(network="none")


def fails(source: Source, **options: Any) -> DativoError:
    """The error that preparing and starting ends in."""
    if options:
        source.container = ContainerOptions(**{"network": "none", **options})
    with pytest.raises(DativoError) as caught:
        source.run("spec")
    return caught.value


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    """A source whose engine's socket is `docker.sock` in the temporary directory."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    return Source("dativo-test/hostile:1", tmp_path)


def test_no_engine(nowhere: Source) -> None:
    error = fails(nowhere)
    assert isinstance(error, ConfigError)
    assert error.message == f"there is no Docker Engine: `unix://{nowhere.tmp_path}/docker.sock` does not exist"
    assert "`runtime: sandbox`" in str(error.hint)


def test_an_engine_that_is_not_running(nowhere: Source) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(f"{nowhere.tmp_path}/docker.sock")
    error = fails(nowhere)
    assert isinstance(error, ConnectorError)
    assert error.message.endswith("cannot be reached: Connection refused")
    assert error.retryable


@pytest.fixture
def not_root(tmp_path: Path) -> Iterator[None]:
    """What follows happens as a user whom files can be kept from."""
    for folder in (tmp_path, *tmp_path.parents[:2]):
        with contextlib.suppress(PermissionError):
            folder.chmod(0o755)
    if os.geteuid() == 0:
        os.seteuid(65534)
        yield
        os.seteuid(0)
    else:
        yield


def test_no_permission_for_the_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    from dativo_engines.containers._client import connect

    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    connect_once = pytest.raises(DativoError)
    with socket.socket(socket.AF_UNIX) as listening, connect_once as caught:
        listening.bind(f"{tmp_path}/docker.sock")
        os.chmod(f"{tmp_path}/docker.sock", 0)
        listening.listen()
        request.getfixturevalue("not_root")
        connect()
    assert isinstance(caught.value, ConfigError)
    assert caught.value.message.startswith("no permission to use the Docker Engine at")
    assert "group `docker`" in str(caught.value.hint)


class TestWithAnEngine:
    pytestmark = needs_engine

    def test_an_image_that_is_not_there_and_whose_registry_is_out_of_reach(self, source: Make) -> None:
        error = fails(source("127.0.0.1:9/dativo-test/none:1", container=NO_NETWORK))
        assert isinstance(error, ConnectorError)
        assert error.message.startswith("image `127.0.0.1:9/dativo-test/none:1` is not here, and its registry cannot be reached")
        assert error.retryable

    def test_an_image_that_may_not_be_pulled(self, source: Make) -> None:
        error = fails(source("dativo-test/none:1"), pull=False)
        assert isinstance(error, ConfigError)
        assert error.message == "there is no image `dativo-test/none:1`, and it may not be pulled"

    def test_a_name_that_is_none(self, source: Make) -> None:
        error = fails(source("Dativo/UPPER CASE"))
        assert isinstance(error, ConfigError)
        assert error.message == "not an image: `Dativo/UPPER CASE`"

    def test_a_network_that_does_not_exist(self, source: Make) -> None:
        error = fails(source("hostile"), network="dativo-none")
        assert isinstance(error, ConfigError)
        assert error.message == "there is no Docker network `dativo-none`"
        assert "`bridge`" in str(error.hint)

    def test_less_memory_than_a_container_can_have(self, source: Make) -> None:
        error = fails(source("hostile"), memory_bytes=MIB)
        assert isinstance(error, ConfigError)
        assert re.match(r"cannot run `hostile:1` with these limits: Minimum memory limit allowed is \d+MB", error.message)

    def test_more_processors_than_there_are(self, source: Make) -> None:
        error = fails(source("hostile"), cpus=4096.0)
        assert isinstance(error, ConfigError)
        assert "Range of CPUs is from" in error.message

    def test_an_image_for_another_platform_than_asked_for(self, source: Make) -> None:
        error = fails(source("hostile"), platform="linux/s390x", pull=False)
        assert isinstance(error, ConfigError)
        assert error.message == "there is no image `dativo-test/hostile:1`, and it may not be pulled"

    def test_a_program_that_is_not_in_the_image(self, source: Make) -> None:
        answer = source("hostile", executable="no-such-program", container=NO_NETWORK).run("spec")
        assert answer.exit.code == 127
        assert "its program `no-such-program` cannot be executed: No such file or directory (exit code 127)" in answer.error

    def test_a_program_that_may_not_be_executed(self, source: Make) -> None:
        answer = source("hostile", executable="/etc/passwd", container=NO_NETWORK).run("spec")
        assert answer.exit.code in (126, 127)
        assert "its program `/etc/passwd` cannot be executed: Permission denied" in answer.error

    def test_an_archive_is_loaded_and_run(self, source: Make) -> None:
        source("hostile")
        answer = source(str(archive("hostile")), container=NO_NETWORK).run("spec")
        assert answer.messages("SPEC")

    def test_a_file_that_is_no_archive(self, source: Make, tmp_path: Path) -> None:
        (tmp_path / "image.tar").write_bytes(b"no archive" * 1000)
        error = fails(source(f"{tmp_path}/image.tar"))
        assert isinstance(error, ConfigError)
        assert "holds 0 images" in error.message or "cannot load" in error.message

    def test_the_layout_of_an_image_needs_the_sandbox(self, source: Make, tmp_path: Path) -> None:
        (tmp_path / "layout").mkdir()
        error = fails(source(f"{tmp_path}/layout"))
        assert isinstance(error, ConfigError)
        assert "runtime: sandbox" in str(error.hint)
