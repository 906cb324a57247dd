"""Images as archives, made here: layers from a few lines, in either format, also broken and hostile ones."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dativo_engines.sandbox._platform import this_platform

Entry = tuple[str, dict[str, Any]]


def file(name: str, content: bytes | str = b"", **more: Any) -> Entry:
    return name, {"content": content.encode() if isinstance(content, str) else content, **more}


def link(name: str, target: str) -> Entry:
    return name, {"type": tarfile.SYMTYPE, "linkname": target}


def hard_link(name: str, target: str) -> Entry:
    return name, {"type": tarfile.LNKTYPE, "linkname": target}


def directory(name: str) -> Entry:
    return name, {"type": tarfile.DIRTYPE, "mode": 0o755}


def layer(*entries: Entry) -> bytes:
    """A layer's tar stream; entries are written as they are told, however absurd."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        for name, facts in entries:
            info = tarfile.TarInfo(name)
            content = facts.get("content", b"")
            info.size, info.mode, info.mtime = len(content), facts.get("mode", 0o644), facts.get("mtime", 1_000_000_000)
            info.type, info.linkname = facts.get("type", tarfile.REGTYPE), facts.get("linkname", "")
            tar.addfile(info, io.BytesIO(content))
    return written.getvalue()


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def plain(data: bytes) -> bytes:
    return data


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, 1, mtime=0)


class ImageFiles:
    """The files of an image's archive, by name; what is wrong with it is up to the test.

    Args:
        layers: Tar streams, lowest first.
        config: `Entrypoint`, `Env`…
        names: As it is tagged.
        platform: `linux/arm64`; None for this machine's.
        compress: Of the layers in the OCI layout.
    """

    def __init__(
        self,
        layers: Sequence[bytes],
        config: Mapping[str, Any] | None = None,
        *,
        names: Sequence[str] = (),
        platform: str | None = None,
        compress: Callable[[bytes], bytes] = plain,
    ) -> None:
        self.blobs: dict[str, bytes] = {}
        self.names = list(names)
        self.platform = platform or this_platform()
        system, architecture = self.platform.split("/")[:2]
        self.layers = [self.add(compress(data)) for data in layers]
        self.config = self.add_json(
            {
                "os": system,
                "architecture": architecture,
                "config": {"Entrypoint": ["/bin/true"], **(config or {})},
                "rootfs": {"type": "layers", "diff_ids": [digest(data) for data in layers]},
            }
        )
        self.manifest = self.add_json(
            {"schemaVersion": 2, "config": {"digest": self.config}, "layers": [{"digest": name} for name in self.layers]}
        )

    def add(self, data: bytes) -> str:
        self.blobs[digest(data)] = data
        return digest(data)

    def add_json(self, value: object) -> str:
        return self.add(json.dumps(value).encode())

    def descriptor(self, **more: Any) -> dict[str, Any]:
        system, architecture = self.platform.split("/")[:2]
        return {"digest": self.manifest, "platform": {"os": system, "architecture": architecture}, **more}

    def oci(self, index: Sequence[Mapping[str, Any]] | None = None) -> dict[str, bytes]:
        """An OCI layout."""
        named = [self.descriptor(annotations={"io.containerd.image.name": name}) for name in self.names]
        entries = list(index if index is not None else named or [self.descriptor()])
        return {
            "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
            "index.json": json.dumps({"schemaVersion": 2, "manifests": entries}).encode(),
            **{"blobs/" + name.replace(":", "/"): data for name, data in self.blobs.items()},
        }

    def saved(self) -> dict[str, bytes]:
        """What `docker save` wrote before Docker 25: no layout, layers in directories of their own."""
        folders = [f"{name.partition(':')[2][:12]}/layer.tar" for name in self.layers]
        config = self.config.partition(":")[2] + ".json"
        manifest = [{"Config": config, "RepoTags": self.names or None, "Layers": folders}]
        return {
            **{folder: self.blobs[name] for folder, name in zip(folders, self.layers, strict=True)},
            config: self.blobs[self.config],
            "manifest.json": json.dumps(manifest).encode(),
        }


def write_tar(path: Path, files: Mapping[str, bytes]) -> Path:
    path.write_bytes(layer(*(file(name, data) for name, data in files.items())))
    return path


def write_directory(path: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path
