"""A name means the same image in every run, and images of all kinds find what they need."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import secrets
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dativo_engines import ContainerOptions
from dativo_protocols import ConfigError
from docker.errors import ImageNotFound

from tests.images.archive import write_archive
from tests.images.registry import registry
from tests.images.sources import Source

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("docker")]
Make = Callable[..., Source]
# Runs of the tests that share an engine do not meet.
TAG = f"dativo-test/variant-{os.getpid()}:1"
CODE = "/airbyte/integration_code"
# The head of a program for IBM Z.
FOREIGN = b"\x7fELF\x02\x02\x01" + bytes(9) + b"\x00\x02\x00\x16" + bytes(44)


@pytest.fixture
def variant(engine: Any, source: Make) -> Iterator[Callable[..., Source]]:
    """The misbehaving source's image with other settings, written as in a Dockerfile."""

    made: list[str] = []

    def make(*changes: str, **options: Any) -> Source:
        container = engine.create_container(source("hostile").image)["Id"]
        try:
            made.append(engine.commit(container, *TAG.split(":"), changes="\n".join(changes))["Id"])
        finally:
            engine.remove_container(container)
        return source(TAG, **options)

    yield make
    for image in made:
        with contextlib.suppress(ImageNotFound):
            engine.remove_image(image, force=True)


def warnings(source: Source) -> list[str]:
    return [line for level, line in source.log if level == "warning"]


def test_a_name_that_came_to_mean_another_image_is_told_and_the_first_one_is_used(engine: Any, variant: Make) -> None:
    moving = variant("ENV AGE=first")
    assert moving.attempt("identity").got["environment"]["AGE"] == "first"
    variant("ENV AGE=second")
    assert moving.attempt("identity").got["environment"]["AGE"] == "first"
    (warning,) = warnings(moving)
    assert warning.startswith(
        f"`{TAG}` means another image now, {engine.inspect_image(TAG)['Id'][:19]}: the one of the first run"
    )


def test_what_the_warning_says_takes_the_new_image(variant: Make) -> None:
    moving = variant("ENV AGE=first")
    moving.attempt("identity")
    variant("ENV AGE=second")
    moving.attempt("identity")
    Path(warnings(moving)[0].split("remove `")[1].split("`")[0]).unlink()
    assert moving.attempt("identity").got["environment"]["AGE"] == "second"


def test_an_image_that_was_pinned_and_removed_is_not_replaced_in_silence(engine: Any, variant: Make) -> None:
    moving = variant("ENV AGE=first")
    moving.run("spec")
    first = engine.inspect_image(TAG)["Id"]
    variant("ENV AGE=second")
    engine.remove_image(first)
    with pytest.raises(ConfigError, match="was pinned to is not there any more: sha256:") as caught:
        moving.run("spec")
    assert "remove `" in str(caught.value.hint)


def test_a_pin_that_cannot_be_read_is_made_again(variant: Make) -> None:
    again = variant("ENV AGE=first")
    again.run("spec")
    (pin,) = (again.tmp_path / "cache" / "docker").iterdir()
    for garbage in (b"", b"[]", b'{"format": 1}', pin.read_bytes()[:-20]):
        pin.write_bytes(garbage)
        assert again.run("spec").messages("SPEC")


def test_a_user_without_an_account_reads_its_files_and_has_a_home(variant: Make) -> None:
    got = variant("USER 4711").attempt("identity").got
    assert (got["uid"], got["home"]) == (4711, "/tmp")
    assert set(got["files"].values()) == {"0o400"}


def test_a_user_with_a_group_of_its_own_reads_its_files(variant: Make) -> None:
    assert variant("USER nobody:games").attempt("identity").got["uid"] == 65534


def test_a_user_that_the_image_does_not_know_is_named(variant: Make) -> None:
    with pytest.raises(ConfigError, match="it runs as user `stranger`, whom it does not know"):
        variant("USER stranger").run("spec")


def test_a_home_that_holds_something_is_left_as_it_is(variant: Make) -> None:
    got = variant(f"ENV HOME={CODE}").attempt("write_root")
    assert f"{CODE} (Read-only file system)" in got.error


def test_volumes_that_the_image_declares_are_limited_where_they_are_empty_and_read_only_elsewhere(variant: Make) -> None:
    hostile = variant(f'VOLUME ["/data", "/tmp", "{CODE}"]')
    assert hostile.attempt("write_disk").error == "cannot find a writable place without a limit"
    assert f"{CODE} (Read-only file system)" in hostile.attempt("write_root").error


def test_the_program_is_the_one_that_airbyte_would_start(variant: Make) -> None:
    answer = variant('ENTRYPOINT ["false"]').run("spec")
    assert answer.messages("SPEC")


def test_a_program_may_be_written_for_a_shell(variant: Make) -> None:
    answer = variant('ENV AIRBYTE_ENTRYPOINT="python \\$PWD/main.py"').run("spec")
    assert answer.messages("SPEC")


def test_health_checks_of_the_image_do_not_run(engine: Any, variant: Make) -> None:
    with variant("HEALTHCHECK --interval=1s CMD touch /tmp/x").running("read", config={"attempt": "wait"}) as running:
        assert "Health" not in engine.inspect_container(running._container)["State"]


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[..., Path]:
    """Writes the archive of an image with nothing in it but a program for another processor."""

    def make(*, entrypoint: tuple[str, ...] = ("/x",), **options: Any) -> Path:
        with tarfile.open(tmp_path / "layer.tar", "w") as tar:
            entry = tarfile.TarInfo("x")
            entry.mode, entry.size = 0o755, len(FOREIGN)
            tar.addfile(entry, io.BytesIO(FOREIGN))
        write_archive(tmp_path / "image.tar", TAG, {"Entrypoint": entrypoint}, [tmp_path / "layer.tar"], **options)
        return tmp_path / "image.tar"

    return make


def prepare(source: Source) -> None:
    with source.prepared():
        pass


def test_an_image_for_another_processor_is_refused_with_both_named(engine: Any, source: Make, tiny: Make) -> None:
    with pytest.raises(ConfigError) as caught:
        prepare(source(str(tiny(processor="s390x"))))
    assert re.search(r"is for linux/s390x, but this Docker Engine runs linux/\w+$", caught.value.message)
    assert "`platform: linux/s390x`" in str(caught.value.hint)
    engine.remove_image(TAG)


def test_a_platform_that_was_asked_for_but_is_not_emulated_is_named(engine: Any, source: Make, tiny: Make) -> None:
    container = ContainerOptions(network="none", platform="linux/s390x")
    answer = source(str(tiny(processor="s390x")), container=container).run("spec")
    assert "`/x` is for another processor: the image is for linux/s390x" in answer.error
    engine.remove_image(TAG)


def test_an_image_without_a_program_is_refused(engine: Any, source: Make, tiny: Make) -> None:
    with pytest.raises(ConfigError, match="names no program: it has neither `ENTRYPOINT` nor `AIRBYTE_ENTRYPOINT`"):
        source(str(tiny(entrypoint=()))).run("spec")
    engine.remove_image(TAG)


def test_a_missing_image_is_pulled_once_and_pinned_by_digest(engine: Any, source: Make, tiny: Make, tmp_path: Path) -> None:
    with registry(tiny()) as name:
        pulled = source(name)
        prepare(pulled)
        prepare(pulled)
    assert [line for level, line in pulled.log if line.startswith("pulling")] == [f"pulling `{name}`"]
    (pin,) = (tmp_path / "cache" / "docker").iterdir()
    assert json.loads(pin.read_text())["digest"].startswith(f"{name.removesuffix(':1')}@sha256:")
    engine.remove_image(name)


def test_a_pinned_image_that_was_removed_is_pulled_by_its_digest(engine: Any, source: Make, tiny: Make) -> None:
    # An image of its own: one that another test left would be there already.
    with registry(tiny(entrypoint=(f"/{secrets.token_hex(4)}",))) as name:
        pulled = source(name)
        prepare(pulled)
        engine.remove_image(name)
        prepare(pulled)
    (pull,) = [line for level, line in pulled.log[1:] if line.startswith("pulling")]
    assert "@sha256:" in pull
    engine.remove_image(pull.split("`")[1])


def test_a_name_may_carry_a_digest(engine: Any, source: Make, tiny: Make) -> None:
    archive = tiny()
    with tarfile.open(archive) as tar:
        index = tar.extractfile("index.json")
        assert index is not None
        digest = json.load(index)["manifests"][0]["digest"]
    with registry(archive) as name:
        exact = f"{name.removesuffix(':1')}@{digest}"
        prepare(source(exact))
    engine.remove_image(exact)


@pytest.mark.parametrize(("status", "said"), [(404, "manifest unknown"), (401, "unauthorized")])
def test_a_registry_that_does_not_give_the_image(source: Make, status: int, said: str) -> None:
    with registry(status=status) as name, pytest.raises(ConfigError, match=f"^cannot pull `{name}`: .*{said}") as caught:
        prepare(source(name))
    assert "`docker login`" in str(caught.value.hint)


def test_an_image_pulled_for_another_processor_is_refused(engine: Any, source: Make, tiny: Make) -> None:
    with registry(tiny(processor="s390x")) as name, pytest.raises(ConfigError, match="s390x"):
        prepare(source(name))
    with contextlib.suppress(Exception):
        engine.remove_image(name)
