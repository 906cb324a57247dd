"""Lays one layer of an image over what the layers below it left.

A layer is a tar archive from anybody: no name and no link in it may reach anything outside the root. Owners are not kept (the
sandbox has one user), nor setuid, setgid and file capabilities; every file can be read by the sandbox's user, whoever that
is. Device nodes, sockets and pipes are left out.
"""

from __future__ import annotations

import os
import tarfile
from dataclasses import dataclass
from typing import IO, cast

from dativo_protocols import SandboxError

from dativo_engines.sandbox._blobs import Forward
from dativo_engines.sandbox._root import Root

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
AUFS = ".wh..wh."
CHUNK_BYTES = 1 << 20


@dataclass(slots=True)
class Skipped:
    """What a layer holds and a sandbox does without.

    Attributes:
        devices: Device nodes, pipes and sockets.
        privileges: Files that would have run as somebody else, now without that.
    """

    devices: int = 0
    privileges: int = 0


def apply_layer(root: Root, layer: IO[bytes]) -> Skipped:
    """Unpacks a layer.

    Args:
        root: With the layers below.
        layer: Its tar stream, uncompressed; read to the end of the archive.

    Raises:
        SandboxError: A name or link leads out of the root, or the archive is broken.
        OSError: The disk is full, a name is too long.
    """
    return _Layer(root).apply(layer)


class _Layer:
    def __init__(self, root: Root) -> None:
        self._root = root
        self._skipped = Skipped()
        # Whiteouts hide what is below this layer, not what is in it.
        self._own: set[str] = set()
        self._directory_times: dict[str, float] = {}

    def apply(self, layer: IO[bytes]) -> Skipped:
        try:
            with tarfile.open(fileobj=cast(IO[bytes], Forward(layer)), mode="r:", errorlevel=2) as tar:
                for member in tar:
                    self._add(tar, member)
                    # Else it keeps every header.
                    tar.members.clear()  # type: ignore[attr-defined]
        except tarfile.TarError as error:
            if "empty" not in str(error):
                raise SandboxError(f"a layer of the image is no tar archive: {error}") from error
        except ValueError as error:
            raise SandboxError(f"a layer of the image has a name that cannot be: {error}") from error
        for path, time in self._directory_times.items():
            if os.path.isdir(path) and not os.path.islink(path):
                os.utime(path, (time, time))
        return self._skipped

    def _add(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        name = os.path.normpath(member.name.lstrip("/"))
        if name == "..":
            raise _outside(member.name)
        if name == ".":
            return
        if name.startswith("../"):
            raise _outside(member.name)
        parent_name, base = os.path.split(name)
        if base == OPAQUE:
            self._hide_below(self._root.real(parent_name))
        elif base.startswith(AUFS):
            return
        elif base.startswith(WHITEOUT):
            hidden = base[len(WHITEOUT) :]
            if hidden in ("", ".", ".."):
                raise _outside(member.name)
            self._hide(f"{self._root.real(parent_name)}/{hidden}")
        else:
            self._put(tar, member, f"{self._parent(parent_name)}/{base}")

    def _parent(self, name: str) -> str:
        path = self._root.directory(name)
        above = path
        while above not in self._own and len(above) > len(str(self._root.path)):
            self._own.add(above)
            above = os.path.dirname(above)
        return path

    def _put(self, tar: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> None:
        if member.isdev():
            self._skipped.devices += 1
            self._root.remove(path)
            return
        if not (member.isdir() and os.path.isdir(path) and not os.path.islink(path)):
            source = self._linked(member, path) if member.islnk() else None
            self._root.remove(path)
            if member.isdir():
                os.mkdir(path)
            elif source is not None:
                os.link(source, path, follow_symlinks=False)
            elif member.issym():
                os.symlink(member.linkname, path)
            else:
                self._write(tar, member, path)
        if member.isdir():
            os.chmod(path, 0o755)
            self._directory_times[path] = max(0.0, member.mtime)
        elif member.issym():
            os.utime(path, (max(0, member.mtime),) * 2, follow_symlinks=False)
        self._own.add(path)

    def _linked(self, member: tarfile.TarInfo, path: str) -> str:
        """What a hard link names, in the root."""
        name = os.path.normpath(member.linkname.lstrip("/"))
        if name == ".." or name.startswith("../"):
            raise _outside(member.name, member.linkname)
        source = self._root.real(name, follow=False)
        if not os.path.lexists(source) or source == path:
            raise SandboxError(f"the image links `{member.name}` to `{member.linkname}`, which it does not have")
        if os.path.isdir(source) and not os.path.islink(source):
            raise SandboxError(f"the image links `{member.name}` to the directory `{member.linkname}`")
        return source

    def _write(self, tar: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> None:
        if member.mode & 0o6000:
            self._skipped.privileges += 1
        content = tar.extractfile(member)
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(fd, "wb", buffering=0) as file:
            while content is not None and (data := content.read(CHUNK_BYTES)):
                file.write(data)
            os.fchmod(fd, 0o755 if member.mode & 0o111 else 0o644)
            # Python takes its compiled files only where the time of the source is right.
            os.utime(fd, (max(0, member.mtime),) * 2)

    def _hide_below(self, directory: str) -> None:
        """Removes what the layers below put into a directory."""
        if os.path.isdir(directory):
            for entry in list(os.scandir(directory)):
                self._hide(entry.path)

    def _hide(self, path: str) -> None:
        if path not in self._own:
            self._root.remove(path)
        elif not os.path.islink(path):
            self._hide_below(path)


def _outside(name: str, link: str | None = None) -> SandboxError:
    what = f"links `{name}` to `{link}`" if link else f"has the name `{name}`"
    return SandboxError(
        f"a layer of the image {what}, which is outside its root",
        hint="nothing was unpacked: do not trust the image, or wherever it came from",
        facts={"entry": name},
    )
