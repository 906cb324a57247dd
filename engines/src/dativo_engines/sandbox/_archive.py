"""Images as files: an OCI layout (a directory or a tar archive of it), or what `docker save` writes."""

from __future__ import annotations

import io
import json
import posixpath
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from dativo_protocols import ConfigError, SandboxError, frozen

from dativo_engines.sandbox._blobs import CHUNK_BYTES, Verified, checked, unpacked
from dativo_engines.sandbox._files import NOT_AN_IMAGE, open_files
from dativo_engines.sandbox._platform import choose, platform_of

DOCUMENT_BYTES = 16 << 20
NAME_ANNOTATIONS = ("io.containerd.image.name", "org.opencontainers.image.ref.name")


@frozen
class Layer:
    """One layer.

    Attributes:
        name: Of its file in the archive.
        digest: Of the file, or None where the archive does not say.
        content_digest: Of the tar stream in it.
    """

    name: str
    digest: str | None
    content_digest: str


@frozen
class ArchivedImage:
    """An image in an archive.

    Attributes:
        digest: Of its configuration, which names the digest of every layer: Docker's image ID.
        config: The configuration: `config`, `os`, `architecture`, `rootfs`.
        layers: Lowest first.
        names: As it was tagged: `airbyte/source-faker:7.2.1`; often none.
    """

    digest: str
    config: Mapping[str, Any]
    layers: tuple[Layer, ...]
    names: tuple[str, ...]


class Archive:
    """An image's archive, open for reading.

    Args:
        path: Of the archive, for messages as well.
        file: Its content, when it was not read from `path`.
        scratch: Where a compressed archive is unpacked to a file without a name.

    Raises:
        ConfigError: There is no such file, or it is no archive of an image.
    """

    def __init__(self, path: Path, *, scratch: Path, file: IO[bytes] | None = None) -> None:
        self.path = path
        self._stack = ExitStack()
        with ExitStack() as opening:
            self._files = open_files(path, file, scratch, opening)
            self._stack = opening.pop_all()

    def image(self, platform: str) -> ArchivedImage:
        """The image for a platform.

        Raises:
            ConfigError: There is none, there are several, or it is no archive of an image.
            SandboxError: A digest is wrong.
        """
        index = self._document("index.json") if self._document("oci-layout") is not None else None
        if isinstance(index, dict) and isinstance(index.get("manifests"), list):
            return self._from_index(index, platform)
        saved = self._document("manifest.json")
        if isinstance(saved, list) and saved:
            return self._from_saved(saved, platform)
        raise ConfigError(f"`{self.path}` is no archive of an image", hint=NOT_AN_IMAGE)

    def open_layer(self, layer: Layer) -> tuple[IO[bytes], Callable[[], None]]:
        """The layer's tar stream, and what to call at its end: it raises SandboxError when the digests are wrong."""
        file = self._files.open(layer.name)
        if file is None:
            raise ConfigError(
                f"`{self.path}` lacks the layer `{layer.digest or layer.name}`",
                hint="save the whole image again, for this machine's platform",
            )
        # One look is enough where the file is the content.
        stored_digest = None if layer.digest == layer.content_digest else layer.digest
        stored = Verified(file, stored_digest, f"layer `{layer.name}` of `{self.path}`")
        content = Verified(unpacked(io.BufferedReader(stored, CHUNK_BYTES)), layer.content_digest, f"a layer of `{self.path}`")

        def finish() -> None:
            content.finish()
            stored.finish()
            file.close()

        return io.BufferedReader(content, CHUNK_BYTES), finish

    def close(self) -> None:
        """May be called twice."""
        self._stack.close()

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def _from_index(self, index: Mapping[str, Any], platform: str) -> ArchivedImage:
        manifests = [entry for entry in index["manifests"] if isinstance(entry, dict)]
        names = _names(manifests)
        if len(names) > 1 and len({entry.get("digest") for entry in manifests}) > 1:
            raise self._several(names)
        # An index in an index, as buildx writes; deeper ones are nobody's.
        for _ in range(4):
            entry = choose(manifests, platform, str(self.path))
            digest = checked(entry.get("digest"))
            manifest = self._blob(digest)
            if not isinstance(manifest.get("manifests"), list):
                break
            manifests = [entry for entry in manifest["manifests"] if isinstance(entry, dict)]
        config = manifest.get("config")
        if not isinstance(config, dict) or not isinstance(manifest.get("layers"), list):
            raise ConfigError(f"`{self.path}` holds something else than an image", hint=NOT_AN_IMAGE)
        files = [(_blob_name(layer.get("digest")), checked(layer.get("digest"))) for layer in manifest["layers"]]
        return self._described(checked(config.get("digest")), self._blob(checked(config.get("digest"))), files, names, platform)

    def _from_saved(self, saved: list[Any], platform: str) -> ArchivedImage:
        names = tuple(name for entry in saved for name in entry.get("RepoTags") or ())
        if len(saved) > 1:
            raise self._several(names)
        name = str(saved[0].get("Config"))
        digest = "sha256:" + posixpath.basename(name).removesuffix(".json")
        config = self._document(name, checked(digest))
        if not isinstance(config, dict):
            raise ConfigError(f"`{self.path}` lacks the configuration `{name}`", hint="save the image again")
        return self._described(digest, config, [(str(file), None) for file in saved[0].get("Layers") or ()], names, platform)

    def _described(
        self,
        digest: str,
        config: Mapping[str, Any],
        files: Sequence[tuple[str, str | None]],
        names: tuple[str, ...],
        platform: str,
    ) -> ArchivedImage:
        stated = platform_of(config)
        if stated and stated.split("/")[:2] != platform.split("/")[:2]:
            raise ConfigError(
                f"`{self.path}` is an image for `{stated}`, and this machine is `{platform}`",
                hint=f"get it for `{platform}`: `docker pull --platform {platform} …`, then `docker save`",
                facts={"platform": platform, "image_platform": stated},
            )
        contents = (config.get("rootfs") or {}).get("diff_ids")
        if not isinstance(contents, list) or len(contents) != len(files):
            raise ConfigError(f"`{self.path}` does not say what is in the layers of its image", hint="save the image again")
        layers = [Layer(name, stored, checked(content)) for (name, stored), content in zip(files, contents, strict=True)]
        return ArchivedImage(digest, config, tuple(layers), names)

    def _several(self, names: tuple[str, ...]) -> ConfigError:
        listed = ", ".join(f"`{name}`" for name in names) or "images without names"
        return ConfigError(f"`{self.path}` holds several images: {listed}", hint="save one image to an archive of its own")

    def _blob(self, digest: str) -> dict[str, Any]:
        found = self._document(_blob_name(digest), digest)
        if not isinstance(found, dict):
            raise ConfigError(f"`{self.path}` lacks the blob `{digest}`", hint="save the whole image again, for this platform")
        return found

    def _document(self, name: str, digest: str | None = None) -> Any:
        """A JSON file of the archive; None where there is none."""
        file = self._files.open(name)
        if file is None:
            return None
        with file:
            stream = Verified(file, digest, f"`{name}` of `{self.path}`")
            data = io.BufferedReader(stream).read(DOCUMENT_BYTES + 1)
            if len(data) > DOCUMENT_BYTES:
                raise SandboxError(f"`{name}` of `{self.path}` is too long to be what it should be")
            stream.finish()
        try:
            return json.loads(data)
        except ValueError:
            raise ConfigError(f"`{name}` of `{self.path}` is no JSON", hint="save the image again") from None


def _blob_name(digest: object) -> str:
    return "blobs/" + checked(digest).replace(":", "/")


def _names(manifests: list[dict[str, Any]]) -> tuple[str, ...]:
    """One a manifest: the whole name rather than the tag alone."""
    found = []
    for entry in manifests:
        annotations = entry.get("annotations") or {}
        found += [annotations[key] for key in NAME_ANNOTATIONS if isinstance(annotations.get(key), str)][:1]
    return tuple(dict.fromkeys(found))
