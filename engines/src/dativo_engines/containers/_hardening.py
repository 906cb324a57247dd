"""What a container may do: as little as a connector needs."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from dativo_engines._engine import ContainerOptions
from dativo_engines.containers._images import Image
from dativo_engines.containers._user import UserFacts, replaceable

FILES = "/dativo"
TMP = "/tmp"
_CPU = 1_000_000_000


def limits(client: Any, user: UserFacts, options: ContainerOptions, volumes: Mapping[str, str]) -> dict[str, Any]:
    """The host configuration of a container that runs.

    Its root is read-only. It can write to `/tmp`, to its home and to the image's volumes where these hold nothing: in memory, up
    to `tmp_bytes` each, and never more than its limit of memory in all. Programs may be executed from there, since Java's
    libraries unpack native code.

    Args:
        client: Of the engine.
        user: The image's.
        options: What the job allows.
        volumes: Names of volumes, by where they are mounted, read-only.
    """
    private = f"uid={user.uid},gid={user.gid},mode=0700"
    tmpfs = {
        TMP: _tmpfs(options, "mode=1777"),
        **{path: _tmpfs(options, private) for path in user.bare if not _inside(path, TMP)},
    }
    mounts = [_mount(path, name, copy=path != FILES) for path, name in volumes.items()]
    return {
        **_base(client, options.network, mounts, tmpfs),
        "ReadonlyRootfs": True,
        "Memory": options.memory_bytes or 0,
        # The sum with swap: so none.
        "MemorySwap": options.memory_bytes or 0,
        "NanoCpus": int((options.cpus or 0) * _CPU),
        "PidsLimit": options.pids or -1,
        # Something must collect orphans and pass SIGTERM on: a program that is process 1 itself ignores it.
        "Init": True,
    }


def filled_volumes(image: Image, user: UserFacts) -> list[str]:
    """Volumes of the image that hold something: left alone, the engine would make them writable, on disk, without a limit."""
    declared = {posixpath.normpath(path) for path in image.volumes}
    return sorted(path for path in declared - set(user.bare) if replaceable(path) and not _inside(path, TMP))


def looking(client: Any) -> dict[str, Any]:
    """The host configuration of a container that never runs, to look into an image."""
    return _base(client, "none", [], {})


def writing(client: Any, image: Image, volume: str) -> dict[str, Any]:
    """The host configuration of a container that never runs, to put files into a volume."""
    # Else the engine would fill the image's own volumes first.
    skipped = {path: "" for path in map(posixpath.normpath, image.volumes) if replaceable(path)}
    return _base(client, "none", [{**_mount(FILES, volume), "ReadOnly": False}], skipped)


def environment(user: UserFacts) -> dict[str, str]:
    """A home that can be written where the image's own is none at all."""
    return {} if replaceable(posixpath.normpath(user.home)) else {"HOME": TMP}


def _base(client: Any, network: str, mounts: list[dict[str, Any]], tmpfs: dict[str, str]) -> dict[str, Any]:
    config: dict[str, Any] = client.create_host_config(
        network_mode=network,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges:true"],
        ipc_mode="private",
        log_config={"type": "none"},
        mounts=mounts,
        tmpfs=tmpfs,
        # A core file would hold the configuration's secrets.
        ulimits=[{"Name": "core", "Soft": 0, "Hard": 0}],
    )
    return config


def _tmpfs(options: ContainerOptions, more: str) -> str:
    return f"rw,exec,nosuid,nodev,size={options.tmp_bytes},{more}"


def _mount(target: str, volume: str, *, copy: bool = False) -> dict[str, Any]:
    """A volume; filled with what the image has there if it is to be a copy."""
    return {"Type": "volume", "Target": target, "Source": volume, "ReadOnly": True, "VolumeOptions": {"NoCopy": not copy}}


def _inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")
