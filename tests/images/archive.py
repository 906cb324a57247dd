"""Writes an image as one tar file: what `docker save` writes, and an OCI layout as well."""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CREATED = "2026-01-01T00:00:00Z"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def architecture() -> str:
    """This machine's, as images name it."""
    return ARCHITECTURES.get(platform.machine(), platform.machine())


def digest(path: Path) -> str:
    """`sha256:…` of a file."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def write_archive(path: Path, tag: str, config: Mapping[str, Any], layers: Sequence[Path], processor: str = "") -> str:
    """Writes the archive, whole or not at all, and returns the image's id.

    Args:
        path: Where to; replaced.
        tag: `name:version`.
        config: User, Env, Entrypoint… as in an image's configuration.
        layers: Tar files, lowest first.
        processor: Which one it is for; this machine's if none is named.
    """
    digests = [digest(layer) for layer in layers]
    image = _json(
        {
            "architecture": processor or architecture(),
            "os": "linux",
            "created": CREATED,
            "config": dict(config),
            "rootfs": {"type": "layers", "diff_ids": digests},
            "history": [{"created": CREATED, "created_by": layer.stem} for layer in layers],
        }
    )
    image_id = "sha256:" + hashlib.sha256(image).hexdigest()
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": _descriptor("application/vnd.oci.image.config.v1+json", image),
            "layers": [
                {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": name, "size": layer.stat().st_size}
                for name, layer in zip(digests, layers, strict=True)
            ],
        }
    )
    reference = {"org.opencontainers.image.ref.name": tag.rpartition(":")[2], "io.containerd.image.name": tag}
    index = {
        "schemaVersion": 2,
        "manifests": [{**_descriptor("application/vnd.oci.image.manifest.v1+json", manifest), "annotations": reference}],
    }
    docker = [{"Config": _blob(image_id), "RepoTags": [tag], "Layers": [_blob(name) for name in digests]}]
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with tarfile.open(temporary, "w") as tar:
            _add(tar, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
            _add(tar, "index.json", _json(index))
            _add(tar, "manifest.json", _json(docker))
            _add(tar, _blob("sha256:" + hashlib.sha256(manifest).hexdigest()), manifest)
            _add(tar, _blob(image_id), image)
            for name, layer in zip(digests, layers, strict=True):
                tar.add(layer, _blob(name), filter=_plain)
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
    return image_id


def _blob(name: str) -> str:
    return "blobs/" + name.replace(":", "/")


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _descriptor(media_type: str, data: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": "sha256:" + hashlib.sha256(data).hexdigest(), "size": len(data)}


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o644
    tar.addfile(info, io.BytesIO(data))


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mode, info.mtime = 0o644, 0
    return info
