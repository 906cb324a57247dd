"""Builds the images that tests run, once a machine: `python -m tests.images.build [NAME…]` prints the archive of each.

They lie in `~/.cache/dativo-tests/images` (`DATIVO_TEST_CACHE` moves it), as archives that `docker load` reads and that are OCI
layouts as well. Only the first build pays; others wait for it. An archive whose recipe has changed is built anew.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.images import rootfs
from tests.images.archive import architecture, write_archive

# Raised when what is below changes what the layers hold.
FORMAT = 2
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Recipe:
    """An image.

    Attributes:
        tag: Its name in Docker.
        requirement: The package in it, or None for the program.
        program: A file beside this one.
        user: Who it runs as; nothing is root.
    """

    tag: str
    requirement: str | None = None
    program: str | None = None
    user: str = rootfs.USER

    def content(self) -> list[object]:
        """What decides what is in the layer."""
        source = (HERE / self.program).read_text() if self.program else None
        return [FORMAT, rootfs.SUITE, rootfs.PACKAGES, rootfs.STRIPPED, self.requirement, source]


RECIPES = {
    "faker": Recipe("dativo-test/source-faker:7.2.1", "airbyte-source-faker==7.2.1"),
    "declarative-manifest": Recipe("dativo-test/source-declarative-manifest:6.5.2", "airbyte-source-declarative-manifest==6.5.2"),
    "hostile": Recipe("dativo-test/hostile:1", program="hostile.py"),
    "hostile-root": Recipe("dativo-test/hostile-root:1", program="hostile.py", user=""),
    "crash": Recipe("dativo-test/crash:1", program="../crash/source.py"),
}


@dataclass(frozen=True)
class Image:
    """A built image.

    Attributes:
        tag: Its name in Docker.
        id: `sha256:…` of its configuration: what Docker calls its id.
        archive: The file.
    """

    tag: str
    id: str
    archive: Path


def built(name: str) -> Image:
    """The image, built now unless it was before. Needs no Docker.

    Raises:
        CannotBuildError: Something is missing on this machine.
    """
    recipe = RECIPES[name]
    key = _key([recipe.content(), recipe.tag, recipe.user])
    cache = _cache()
    path = cache / f"{name}-{key}.tar"
    known, layer = path.with_suffix(".json"), path.with_suffix(".layer")
    with _locked(path):
        if not (path.exists() and known.exists()):
            base = _base(cache)
            if recipe.requirement:
                rootfs.package(layer, base, recipe.requirement)
            else:
                rootfs.program(layer, base, HERE / str(recipe.program), setuid_python=True)
            image_id = write_archive(path, recipe.tag, _config(recipe), [base, layer])
            layer.unlink()
            known.write_text(json.dumps({"id": image_id}))
            for old in cache.glob(f"{name}-????????????.*"):
                if key not in old.name:
                    old.unlink()
        return Image(recipe.tag, json.loads(known.read_text())["id"], path)


def archive(name: str) -> Path:
    """Path of the image's archive."""
    return built(name).archive


def loaded(name: str) -> Image:
    """The image, in the Docker Engine as well.

    Raises:
        CannotBuildError: Something is missing on this machine, or the engine does not take it.
    """
    import docker

    image = built(name)
    with contextlib.closing(docker.from_env(timeout=600)) as client, _locked(image.archive):
        try:
            old = client.images.get(image.tag)
            if old.id == image.id:
                return image
            # Another run of the tests may still use it.
            with contextlib.suppress(docker.errors.APIError):
                client.images.remove(old.id, force=True)
        except docker.errors.ImageNotFound:
            pass
        with image.archive.open("rb") as file:
            found = client.images.load(file)
    if image.id not in [one.id for one in found]:
        raise rootfs.CannotBuildError(f"`docker load` of {image.archive} did not give {image.id}")
    return image


def _base(cache: Path) -> Path:
    base = cache / f"debian-{_key([rootfs.SUITE, rootfs.PACKAGES, rootfs.STRIPPED])}.tar"
    with _locked(base):
        if not base.exists():
            rootfs.debian(base)
            for old in set(cache.glob("debian-*.tar")) - {base}:
                old.unlink()
    return base


def _config(recipe: Recipe) -> dict[str, Any]:
    """As Airbyte's own images have it."""
    entry = ["python", f"/{rootfs.CODE}/main.py"]
    return {
        "User": recipe.user,
        "WorkingDir": f"/{rootfs.CODE}",
        "Entrypoint": entry,
        "Env": [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            f"AIRBYTE_ENTRYPOINT={' '.join(entry)}",
            "LANG=C.UTF-8",
        ],
        "Labels": {"io.airbyte.name": recipe.tag.partition(":")[0], "io.airbyte.version": recipe.tag.partition(":")[2]},
    }


def _cache() -> Path:
    path = Path(os.environ.get("DATIVO_TEST_CACHE") or Path.home() / ".cache" / "dativo-tests") / "images"
    path.mkdir(parents=True, exist_ok=True)
    return path


def _key(content: object) -> str:
    return hashlib.sha256(json.dumps([content, architecture()]).encode()).hexdigest()[:12]


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.with_name(path.name + ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main(names: list[str]) -> None:
    for name in names or RECIPES:
        began = time.monotonic()
        image = built(name)
        seconds, size = time.monotonic() - began, image.archive.stat().st_size / 2**20
        print(f"{name}: {image.id[:19]}, {size:.0f} MiB, {seconds:.1f} s", file=sys.stderr)
        print(image.archive)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except rootfs.CannotBuildError as error:
        sys.exit(f"cannot build the test images: {error}")
