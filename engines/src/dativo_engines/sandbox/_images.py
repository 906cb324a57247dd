"""Unpacked images: each once, by its digest, shared by all runs.

Layout below the cache directory, beside the isolated environments:

    images/sha256-DIGEST/              an image: `root/`, and `dativo-image.json`
    images/sha256-DIGEST.lock          shared lock: in use; exclusive: being unpacked or removed
    images/sha256-DIGEST.new/          being unpacked; it gets its name when it is whole
    images/names/QUOTED-NAME           the digest of the image that was last unpacked under this name
    images/archives/HASH               the digest of the image in an archive, as long as the archive's size and time are the same
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from dativo_protocols import ConfigError, ConnectorError, frozen

from dativo_engines._cache import CacheFolders, InUse, write_whole
from dativo_engines.sandbox._archive import Archive, ArchivedImage
from dativo_engines.sandbox._blobs import damage
from dativo_engines.sandbox._layers import apply_layer
from dativo_engines.sandbox._program import writable_directories
from dativo_engines.sandbox._root import Root

METADATA = "dativo-image.json"
FORMAT = 1
# What the sandbox mounts something on; the image itself is read-only by then.
MOUNT_DIRECTORIES = ("proc", "sys", "dev", "tmp", "dativo")
MOUNT_FILES = ("etc/resolv.conf", "etc/hosts", "etc/hostname")


@frozen
class ImageInfo:
    """What is known of an unpacked image.

    Attributes:
        digest: Of its configuration: Docker's image ID.
        path: Its directory.
        names: Under which it was unpacked.
        config: As images have it: `Entrypoint`, `Cmd`, `Env`, `User`, `WorkingDir`.
        writable: Directories that a run may write to, in memory: its home, and volumes.
        platform: `linux/amd64`.
        created: When it was unpacked, seconds since 1970.
        size_bytes: Of its files.
    """

    digest: str
    path: Path
    names: tuple[str, ...]
    config: Mapping[str, Any]
    writable: tuple[str, ...]
    platform: str
    created: float
    size_bytes: int

    @property
    def root(self) -> Path:
        """Its root file system."""
        return self.path / "root"


class Image(InUse):
    """An unpacked image in use: it cannot be removed before `close`."""

    def __init__(self, info: ImageInfo, lock: int) -> None:
        super().__init__(lock)
        self.info = info


class ImageStore:
    """All unpacked images below one cache directory.

    Args:
        cache_dir: Made when first needed.
        log: Called with level and line while something is unpacked.
    """

    def __init__(self, cache_dir: Path, log: Callable[[str, str], None] | None = None) -> None:
        self._root = cache_dir.absolute() / "images"
        self._log = log or (lambda level, line: None)
        self._folders = CacheFolders(
            self._root, _load, metadata=METADATA, making="unpacks", log=self._log, shown=len("sha256-") + 12
        )

    def find(self, name: str) -> Image | None:
        """The image that was last unpacked under this name, or has this digest; None when there is none."""
        try:
            digest = name if name.startswith("sha256:") else self._name(name).read_text()
        except OSError:
            return None
        path = self._path(digest)
        # Nothing may be there, not even the folder for its lock.
        found = self._folders.use(path) if _load(path) is not None else None
        return Image(*found) if found is not None else None

    def unpack(self, archive: Path, platform: str, *, file: IO[bytes] | None = None, name: str | None = None) -> Image:
        """The image in an archive; unpacked now unless it was before. Waits while somebody else unpacks it.

        Args:
            archive: An OCI layout (directory or tar archive) or what `docker save` wrote.
            platform: The wanted one, `linux/amd64`.
            file: The archive's content, when it does not come from a file of that path.
            name: Under which it is to be found, besides its own.

        Raises:
            ConfigError: The archive is none, or has no image for this platform.
            SandboxError: A digest is wrong, or a layer reaches for something outside the image.
            ConnectorError: The disk is full (retryable).
        """
        self._folders.make_root()
        note = self._note(archive, platform) if file is None else None
        known = self._noted(note)
        if known is not None:
            return known
        try:
            with Archive(archive, scratch=self._root, file=file) as opened:
                image = opened.image(platform)
                found = self._ensure(opened, image, platform, name)
            for path in (note, *(self._name(each) for each in {*image.names, *([name] if name else ())})):
                if path is not None:
                    write_whole(path, image.digest)
        except damage() as error:
            raise _failure(archive, error) from error
        return found

    def list(self) -> list[ImageInfo]:
        """The whole images, by digest."""
        paths = sorted(self._root.glob("sha256-*/")) if self._root.is_dir() else []
        return [info for path in paths if (info := _load(path)) is not None]

    def named(self, name: str) -> tuple[ImageInfo, ...]:
        """The images that a name it was unpacked under means, or the start of a digest."""
        with suppress(OSError):
            name = self._name(name).read_text()
        bare = name.removeprefix("sha256:")
        return tuple(info for info in self.list() if len(bare) >= 6 and info.digest.removeprefix("sha256:").startswith(bare))

    def remove(self, name: str) -> tuple[ImageInfo, ...]:
        """Removes an image: by a name it was unpacked under, or the start of its digest.

        Returns:
            What was removed.

        Raises:
            ConfigError: There is none of that name, or one is in use.
        """
        found = self.named(name)
        if not found:
            known = ", ".join(f"`{known}`" for info in self.list() for known in info.names or (info.digest[:19],)) or "none"
            raise ConfigError(f"no unpacked image `{name}`", hint=f"there are: {known}")
        for info in found:
            self._folders.remove(info.path, what=f"the image `{info.digest[:19]}`")
            for named in (self._root / "names").glob("*"):
                if named.read_text() == info.digest:
                    named.unlink(missing_ok=True)
        return found

    def _ensure(self, archive: Archive, image: ArchivedImage, platform: str, name: str | None) -> Image:
        path = self._path(image.digest)
        return Image(*self._folders.ensure(path, lambda: self._build(path, archive, image, platform, name)))

    def _path(self, digest: str) -> Path:
        return self._root / digest.replace(":", "-").replace("/", "-")

    def _name(self, name: str) -> Path:
        return self._root / "names" / quote(normal_name(name), safe="")

    def _note(self, archive: Path, platform: str) -> Path | None:
        try:
            found = archive.stat()
        except OSError:
            return None
        if not archive.is_file():
            return None
        key = json.dumps([os.path.realpath(archive), found.st_size, found.st_mtime_ns, found.st_ino, platform])
        return self._root / "archives" / hashlib.sha256(key.encode()).hexdigest()

    def _noted(self, note: Path | None) -> Image | None:
        if note is None:
            return None
        try:
            return self.find(note.read_text())
        except OSError:
            return None

    def _build(self, path: Path, archive: Archive, image: ArchivedImage, platform: str, name: str | None) -> None:
        started = time.monotonic()
        shown = name or (image.names[0] if image.names else image.digest[:19])
        self._log("info", f"unpacking {shown}")
        partial = path.with_name(path.name + ".new")
        # Left by one that was killed.
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(path, ignore_errors=True)
        try:
            (partial / "root").mkdir(parents=True)
            os.chmod(partial / "root", 0o755)
            root = Root(partial / "root")
            devices = privileges = 0
            for layer in image.layers:
                stream, finish = archive.open_layer(layer)
                skipped = apply_layer(root, stream)
                finish()
                devices, privileges = devices + skipped.devices, privileges + skipped.privileges
            config, writable = _prepare(root, image)
            names = tuple(dict.fromkeys([*([name] if name else ()), *image.names]))
            _store(partial, ImageInfo(image.digest, path, names, config, writable, platform, time.time(), _size(partial)))
            partial.rename(path)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        self._log("info", f"unpacked {shown} in {time.monotonic() - started:.1f} s")
        if devices or privileges:
            self._log("debug", f"{shown}: left out {devices} device nodes, and the privileges of {privileges} programs")


def normal_name(name: str) -> str:
    """An image's name in full: `docker.io/airbyte/source-faker:7.2.1`."""
    first, _, rest = name.partition("/")
    if not rest or not ("." in first or ":" in first or first == "localhost"):
        name = f"docker.io/{name}" if rest else f"docker.io/library/{name}"
    name = name.replace("index.docker.io/", "docker.io/", 1)
    last = name.rpartition("/")[2]
    return name if ":" in last or "@" in last else f"{name}:latest"


def _prepare(root: Root, image: ArchivedImage) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Makes what the sandbox mounts on; gives what says how to run the image, and the directories to write to."""
    config = image.config.get("config") or {}
    for name in MOUNT_DIRECTORIES:
        root.mount_directory(name)
    for name in MOUNT_FILES:
        root.mount_file(name)
    if isinstance(config.get("WorkingDir"), str):
        root.directory(config["WorkingDir"])
    kept = ("Entrypoint", "Cmd", "Env", "User", "WorkingDir", "Volumes")
    return {key: config[key] for key in kept if config.get(key)}, tuple(writable_directories(root, config))


def _failure(archive: Path, error: Exception) -> ConfigError | ConnectorError:
    if isinstance(error, OSError) and error.errno is not None:
        return ConnectorError(
            f"cannot unpack the image `{archive}`: {error.strerror}",
            hint="make room on the disk, or set `DATIVO_CACHE` to a larger one",
            retryable=True,
            facts={"errno": error.errno},
        )
    return ConfigError(f"the image `{archive}` is damaged: {error}", hint="save the image again")


def _size(path: Path) -> int:
    return sum(os.lstat(os.path.join(folder, name)).st_size for folder, _, names in os.walk(path) for name in names)


def _store(path: Path, info: ImageInfo) -> None:
    with (path / METADATA).open("w", encoding="utf-8") as file:
        json.dump({"format": FORMAT, **asdict(info), "path": str(info.path)}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())


def _load(path: Path) -> ImageInfo | None:
    try:
        data = json.loads((path / METADATA).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if data.pop("format", None) != FORMAT or not (path / "root").is_dir():
        return None
    # Unlike an environment, an image may move: nothing in it names its place.
    return ImageInfo(**{**data, "path": path, "names": tuple(data["names"]), "writable": tuple(data["writable"])})
